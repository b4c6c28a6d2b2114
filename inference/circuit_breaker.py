"""Stops asking an endpoint that has failed several times in a row, for a while; then one call tries it again."""

import time
from collections.abc import Callable


class CircuitBreaker:
    """Closed until `failures` in a row; then open for `pause_seconds`; then one call at a time until one succeeds."""

    def __init__(self, *, failures: int, pause_seconds: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._limit = failures
        self._pause_seconds = pause_seconds
        self._clock = clock
        self._failures = 0
        self._try_at = 0.0

    def allows(self) -> bool:
        """Whether a call may be made now; while open, the one that may is counted as the try."""
        if self._failures < self._limit:
            return True
        if self._clock() < self._try_at:
            return False
        self._try_at = self._clock() + self._pause_seconds
        return True

    def succeeded(self) -> None:
        """The endpoint answered, whatever it said."""
        self._failures = 0

    def failed(self) -> None:
        """It did not."""
        self._failures += 1
        self._try_at = self._clock() + self._pause_seconds
