"""Counts requests against a vendor's limits, and writes the headers that tell of them. One count a process."""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from sandbox.vendor import Limit, Vendor


@dataclass(slots=True)
class Verdict:
    """What the limits say of a request. `wait`: seconds until one more is allowed, if this one was too many."""

    wait: float | None = None
    headers: dict[str, str] = field(default_factory=dict)


class Limits:
    """Fixed windows, one per limit and scope. `processes` share a vendor's limit evenly; `enforced` may be off."""

    def __init__(self, *, enforced: bool, processes: int = 1, now: Callable[[], float] = time.time) -> None:
        self._enforced, self._processes, self._now = enforced, processes, now
        self._windows: dict[tuple[str, int, str], tuple[float, int]] = {}

    def count(self, vendor: Vendor, credential: str, endpoint: str) -> Verdict:
        """Counts one request."""
        verdict = Verdict()
        for place, limit in enumerate(vendor.limits):
            scope = f"{credential} {endpoint}" if limit.scope == "endpoint" else credential
            left, ends = self._take((vendor.name, place, scope), limit)
            wait = max(0.0, ends - self._now())
            if left < 0 and self._enforced:
                verdict.wait = max(wait, verdict.wait or 0.0)
            verdict.headers |= told(limit.headers, limit, max(left, 0), wait, ends)
        return verdict

    def _take(self, key: tuple[str, int, str], limit: Limit) -> tuple[int, float]:
        began, used = self._windows.get(key, (-math.inf, 0))
        now = self._now()
        if now - began >= limit.per:
            began, used = now, 0
        self._windows[key] = (began, used + 1)
        return max(1, limit.limit // self._processes) - used - 1, began + limit.per


def told(headers: dict[str, str], limit: Limit | None, left: int, wait: float, ends: float) -> dict[str, str]:
    """`headers` with {limit}, {remaining}, {used}, {seconds} and {reset} (epoch seconds) filled in."""
    most = limit.limit if limit else 0
    words = {
        "limit": most,
        "remaining": left,
        "used": most - left,
        "seconds": max(1, math.ceil(wait)),
        "reset": math.ceil(ends),
    }
    return {name: text.format_map(words) for name, text in headers.items()}
