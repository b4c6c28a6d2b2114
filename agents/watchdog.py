"""Ends a worker that stands still: a batch past its deadline, or an event loop that no longer turns.

A thread, because neither a stuck loop nor a stuck batch thread can end itself. The orchestrator starts the next one.
"""

import os
import threading
import time
from collections.abc import Callable

from observability.metrics import WATCHDOG_EXITS

EXIT_CODE = 70  # EX_SOFTWARE
CHECK_SECONDS = 0.5


class Watchdog(threading.Thread):
    """Watches promises: `expect(name, seconds)` must be followed by `done(name)`; the loop must `beat()`."""

    def __init__(
        self,
        *,
        loop_stall_seconds: float,
        end: Callable[[int], None] = os._exit,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        super().__init__(name="watchdog", daemon=True)
        self._loop_stall_seconds = loop_stall_seconds
        self._end = end
        self._clock = clock
        self._due: dict[str, float] = {}
        self._last_beat: float | None = None
        self._stopped = threading.Event()

    def expect(self, name: str, seconds: float) -> None:
        """From now on `name` has `seconds` to call `done`."""
        self._due[name] = self._clock() + seconds

    def done(self, name: str) -> None:
        self._due.pop(name, None)

    def beat(self) -> None:
        """The event loop turns. The first beat starts the watch over it."""
        self._last_beat = self._clock()

    def overdue(self) -> str | None:
        """Why the process should end now; None while all is well."""
        now = self._clock()
        if self._last_beat is not None and now - self._last_beat > self._loop_stall_seconds:
            return f"the event loop stood still for {now - self._last_beat:.0f} s"
        for name, due in list(self._due.items()):
            if now > due:
                return f"{name} made no progress, {now - due:.0f} s past its deadline"
        return None

    def run(self) -> None:
        while not self._stopped.wait(CHECK_SECONDS):
            reason = self.overdue()
            if reason is not None:
                WATCHDOG_EXITS.labels("loop" if "loop" in reason else "batch").inc()
                # Not through logging: the stuck thread may hold its lock.
                os.write(2, f"CRITICAL watchdog: {reason}; the worker ends\n".encode())
                self._end(EXIT_CODE)

    def stop(self) -> None:
        self._stopped.set()
