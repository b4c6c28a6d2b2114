"""Leaves a connection alone for a while after too many failures in a row, then lets one request try (half open)."""

from connectors.clock import Clock
from connectors.errors import VendorUnavailable


class Circuit:
    """One connection's. A failure here is a page that was given up, its retries included."""

    def __init__(self, failures: int, rest_seconds: float, clock: Clock) -> None:
        self._most = failures
        self._rest_seconds = rest_seconds
        self._clock = clock
        self._failures = 0
        self._open_until = 0.0

    def check(self) -> None:
        """Raises VendorUnavailable while the circuit is open."""
        left = self._open_until - self._clock.now()
        if left > 0:
            raise VendorUnavailable(f"{self._failures} failures in a row; tried again in {left:.0f} s")

    def succeeded(self) -> None:
        """Closes it."""
        self._failures = 0

    def failed(self) -> None:
        """Counts one, and opens the circuit at the limit; after a rest, at the first."""
        self._failures += 1
        if self._failures >= self._most:
            self._open_until = self._clock.now() + self._rest_seconds
