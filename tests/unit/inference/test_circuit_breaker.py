"""When calls are made, and when not."""

from inference.circuit_breaker import CircuitBreaker


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_it_opens_after_failures_in_a_row_and_lets_one_try_through() -> None:
    clock = Clock()
    breaker = CircuitBreaker(failures=2, pause_seconds=10, clock=clock)
    breaker.failed()
    breaker.succeeded()
    breaker.failed()
    assert breaker.allows()
    breaker.failed()
    assert not breaker.allows()
    clock.now = 10
    assert breaker.allows()
    assert not breaker.allows()  # the try is under way
    breaker.succeeded()
    assert breaker.allows()
    assert breaker.allows()
