"""When a worker is given up."""

import pytest

from agents.watchdog import EXIT_CODE, Watchdog


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


def test_a_promise_kept_is_no_reason_and_a_broken_one_is() -> None:
    clock = Clock()
    watchdog = Watchdog(loop_stall_seconds=10, clock=clock)
    watchdog.expect("canonicalize", 5)
    clock.now += 4
    assert watchdog.overdue() is None
    watchdog.done("canonicalize")
    clock.now += 100
    assert watchdog.overdue() is None
    watchdog.expect("canonicalize", 5)
    clock.now += 6
    assert "canonicalize" in (watchdog.overdue() or "")


def test_a_still_loop_is_noticed_once_it_has_begun_to_turn() -> None:
    clock = Clock()
    watchdog = Watchdog(loop_stall_seconds=10, clock=clock)
    clock.now += 60
    assert watchdog.overdue() is None
    watchdog.beat()
    clock.now += 9
    assert watchdog.overdue() is None
    clock.now += 2
    assert "event loop" in (watchdog.overdue() or "")


def test_the_process_is_ended_with_its_own_code(capfd: pytest.CaptureFixture[str]) -> None:
    codes: list[int] = []

    def end(code: int) -> None:
        codes.append(code)
        watchdog.stop()

    watchdog = Watchdog(loop_stall_seconds=10, end=end)
    watchdog.expect("canonicalize", -1)
    watchdog.start()
    watchdog.join(5)
    assert codes == [EXIT_CODE]
    assert "canonicalize" in capfd.readouterr().err
