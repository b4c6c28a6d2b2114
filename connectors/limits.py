"""Keeps to vendors' rate limits: a bucket per limit and scope, shared by all who share the limit at the vendor.

A bucket never lets more through in any period than its limit, and it listens: to headers that tell what is left, and to
Retry-After. Requests wait here; none is dropped. What counts as throttled is decided in `connectors.error_rules`.
"""

from collections import deque
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Final

from connectors.clock import Clock, SystemClock
from connectors.errors import VendorUnavailable
from schemas.connector_spec import ConnectorSpec, EntitySpec, RateLimit
from schemas.spec_part import seconds_of

_GRAINS: Final = 1_000
_LONGEST_RESET_SECONDS: Final = 86_400.0


class Bucket:
    """What one limit has given out in its last period, in a thousand grains of time."""

    def __init__(self, limit: int | None, per_seconds: float, clock: Clock) -> None:
        self._limit = limit
        self._per = per_seconds
        self._clock = clock
        self._given: deque[list[float]] = deque()  # [time, cost], oldest first
        self._used = 0.0
        self._closed_until = 0.0

    def close_until(self, moment: float) -> None:
        """Gives nothing before `moment`."""
        self._closed_until = max(self._closed_until, moment)

    def wait_seconds(self, cost: float) -> float:
        """How long until `cost` may be taken; 0 if now."""
        now = self._clock.now()
        wait = max(0.0, self._closed_until - now)
        if self._limit is None:
            return wait
        self._forget(now)
        over = self._used + min(cost, self._limit) - self._limit
        if over <= 0:
            return wait
        for moment, given in self._given:
            over -= given
            if over <= 0:
                return max(wait, moment + self._per - now)
        return wait

    def take(self, cost: float) -> None:
        """Notes that `cost` was used now."""
        if self._limit is None:
            return
        now = self._clock.now()
        if self._given and now - self._given[-1][0] < self._per / _GRAINS:
            # Counted as late as its youngest part, so that a period never holds more than the limit.
            self._given[-1] = [now, self._given[-1][1] + cost]
        else:
            self._given.append([now, cost])
        self._used += cost

    def _forget(self, now: float) -> None:
        while self._given and self._given[0][0] <= now - self._per:
            self._used -= self._given.popleft()[1]


class LimitBook:
    """All buckets of a process, by who shares them."""

    def __init__(self, clock: Clock | None = None) -> None:
        self.clock: Clock = clock or SystemClock()
        self._buckets: dict[tuple[str, ...], Bucket] = {}

    def of(self, spec: ConnectorSpec, entity_name: str, *, tenant: str, connection: str) -> "Limits":
        """The limits that hold for requests of one entity by one connection."""
        entity = spec.entities.get(entity_name)
        parts: list[tuple[RateLimit, Bucket]] = []
        for index, limit in enumerate(spec.limits):
            if limit.entities and entity_name not in limit.entities:
                continue
            scope = {
                "account": (tenant, connection),
                "app": (),
                "tenant": (tenant,),
                "endpoint": (tenant, connection, entity_name),
            }[limit.scope]
            key = (spec.name, str(index), limit.scope, *scope)
            parts.append((limit, self._bucket(key, limit.limit, seconds_of(limit.per))))
        brake = self._bucket((spec.name, "brake", tenant, connection), None, 1.0)
        return Limits(parts, brake, entity, self.clock)

    def _bucket(self, key: tuple[str, ...], limit: int | None, per_seconds: float) -> Bucket:
        if key not in self._buckets:
            self._buckets[key] = Bucket(limit, per_seconds, self.clock)
        return self._buckets[key]


class Limits:
    """The buckets of one kind of request."""

    def __init__(
        self, parts: Iterable[tuple[RateLimit, Bucket]], brake: Bucket, entity: EntitySpec | None, clock: Clock
    ) -> None:
        self._parts = [(limit, bucket, _cost(limit, entity)) for limit, bucket in parts]
        self._brake = brake
        self._clock = clock

    async def acquire(self, deadline: float) -> None:
        """Waits until all buckets give. Raises VendorUnavailable if that is after `deadline`, in epoch seconds."""
        while True:
            wait = max(
                self._brake.wait_seconds(0), *(bucket.wait_seconds(cost) for _, bucket, cost in self._parts), 0.0
            )
            if wait <= 0:
                break
            if self._clock.now() + wait > deadline:
                raise VendorUnavailable(f"the vendor's rate limit asks to wait {wait:.0f} s more")
            await self._clock.sleep(wait)
        for _, bucket, cost in self._parts:
            bucket.take(cost)

    def observe(self, headers: Mapping[str, str]) -> None:
        """Reads what a response tells of what is left."""
        for limit, bucket, cost in self._parts:
            left = _number(headers.get((limit.header_remaining or "").lower()))
            if left is None or left >= max(cost, 1):
                continue
            reset = self._reset(limit, headers)
            if reset is not None:
                bucket.close_until(reset)

    def throttled(self, headers: Mapping[str, str], attempt: int) -> float:
        """Closes what was throttled, and tells until when (epoch seconds): as the vendor says, else with backoff."""
        now = self._clock.now()
        until = retry_after(headers, now)
        if until is None:
            resets = [self._reset(limit, headers) for limit, _, _ in self._parts if limit.header_reset]
            until = max((reset for reset in resets if reset is not None), default=None)
        if until is None:
            until = now + min(60.0, 2.0**attempt)
        narrow = [bucket for limit, bucket, _ in self._parts if limit.scope == "endpoint" or limit.entities]
        for bucket in narrow or [bucket for _, bucket, _ in self._parts] or [self._brake]:
            bucket.close_until(until)
        return until

    def _reset(self, limit: RateLimit, headers: Mapping[str, str]) -> float | None:
        text = headers.get((limit.header_reset or "").lower())
        moment = reset_moment(text, limit.reset_format, self._clock.now()) if text else None
        return None if moment is None else min(moment, self._clock.now() + _LONGEST_RESET_SECONDS)


def retry_after(headers: Mapping[str, str], now: float) -> float | None:
    """When `Retry-After` (RFC 9110: seconds or a date) is over, in epoch seconds."""
    text = headers.get("retry-after", "").strip()
    seconds = _number(text)
    if seconds is not None:
        return now + min(max(seconds, 0.0), _LONGEST_RESET_SECONDS)
    return reset_moment(text, "http_date", now) if text else None


def reset_moment(text: str, form: str, now: float) -> float | None:
    """The moment that a reset header tells, in epoch seconds; None if it can't be read."""
    number = _number(text)
    if form in {"seconds", "milliseconds"}:
        return None if number is None else now + number / (1 if form == "seconds" else 1000)
    if form in {"epoch_seconds", "epoch_milliseconds"}:
        return None if number is None else number / (1 if form == "epoch_seconds" else 1000)
    try:
        moment = parsedate_to_datetime(text) if form == "http_date" else datetime.fromisoformat(text)
    except (ValueError, TypeError):
        return None
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()


def _cost(limit: RateLimit, entity: EntitySpec | None) -> float:
    return entity.cost if entity is not None and entity.cost is not None else limit.cost


def _number(text: str | None) -> float | None:
    try:
        number = float(text) if text else None
    except ValueError:
        return None
    return number if number is not None and abs(number) < 1e15 else None
