"""What differs from record to record of one made pool: ids, numbers and times, as functions of the record's index.

Ids can be told back to their index, so that paging by record id needs no table; times rise with the index, so that a
filter by time is a range of indexes.
"""

import re
from collections.abc import Callable
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any, Final

from schemas.failures import Misconfigured

Render = Callable[[int], str | int | float]

SINCE: Final = 1_704_067_200  # 2024-01-01 UTC; fixed, so that the same records come on any day
UNTIL: Final = 1_767_225_600  # 2026-01-01 UTC

_BITS: Final = 0xFFFFFFFF
_ODD: Final = 2_654_435_761
_BACK: Final = pow(_ODD, -1, 2**32)
_STEP: Final = 7
_CODE: Final = re.compile(r"\{(x|X|n)\}")


class Ids:
    """One kind of id: a text around `{x}` (8 hexadecimal digits), `{X}` or `{n}`, or a number that they count from."""

    def __init__(self, form: str | int) -> None:
        self.form = form
        self.render: Render
        if isinstance(form, int):
            self.render = lambda index: form + index * _STEP
            return
        found = _CODE.search(form)
        if not found:
            raise Misconfigured(f"sandbox: the id {form!r} has none of {{x}}, {{X}}, {{n}}")
        before, after, code = form[: found.start()], form[found.end() :], found.group(1)
        digits = r"(\d+)" if code == "n" else "([0-9a-fA-F]{8})"
        self._code, self._pattern = code, re.compile(re.escape(before) + digits + re.escape(after))
        if code == "n":
            self.render = lambda index: f"{before}{index + 1}{after}"
        else:
            width = "08x" if code == "x" else "08X"
            self.render = lambda index: f"{before}{(index * _ODD + _ODD) & _BITS:{width}}{after}"

    def index(self, value: str) -> int | None:
        """The index whose id is `value`, as a text; None if it has none. It may lie beyond the records there are."""
        if isinstance(self.form, int):
            number, rest = divmod(int(value) - self.form, _STEP) if value.isdigit() else (-1, 0)
            return number if number >= 0 and not rest else None
        found = self._pattern.fullmatch(value)
        if not found:
            return None
        if self._code == "n":
            return int(found.group(1)) - 1
        return ((int(found.group(1), 16) - _ODD) * _BACK) & _BITS


class Clock:
    """When record `index` of `count` was created: evenly from SINCE to UNTIL."""

    def __init__(self, count: int) -> None:
        self.step = max(1, (UNTIL - SINCE) // max(count, 1))

    def at(self, index: int) -> int:
        """Seconds since the epoch."""
        return SINCE + index * self.step

    def first_from(self, seconds: float) -> int:
        """The first index that is not before `seconds`, at least 0."""
        return max(0, -int(-(seconds - SINCE) // self.step))


@lru_cache(maxsize=4096)
def _day(days: int) -> str:
    return datetime.fromtimestamp(days * 86_400, UTC).strftime("%Y-%m-%d")


@lru_cache(maxsize=100_000)
def _time_of_day(seconds: int) -> str:
    return f"{seconds // 3600:02}:{seconds // 60 % 60:02}:{seconds % 60:02}"


def _iso(seconds: int, between: str = "T", after: str = "Z") -> str:
    return f"{_day(seconds // 86_400)}{between}{_time_of_day(seconds % 86_400)}{after}"


FORMATS: Final[dict[str, Callable[[int], str | int | float]]] = {
    "epoch": lambda seconds: seconds,
    "epoch_ms": lambda seconds: seconds * 1000,
    "epoch_float": float,
    "iso": _iso,
    "iso_ms": lambda seconds: _iso(seconds, after=f".{seconds % 1000:03}Z"),
    "iso_sf": lambda seconds: _iso(seconds, after=".000+0000"),
    "iso_offset": lambda seconds: _iso(seconds, after="+00:00"),
    "space": lambda seconds: _iso(seconds, " ", ""),
    "date": lambda seconds: _day(seconds // 86_400),
    "day": lambda seconds: _day(seconds // 86_400).replace("-", ""),
    "clock": lambda seconds: _time_of_day(seconds % 86_400)[:5],
    "slack": lambda seconds: f"{seconds}.{seconds % 999_983:06}",
}


def renderer(key: str, ids: dict[str, Ids], parent: tuple[dict[str, Ids], int] | None, clock: Clock) -> Render:
    """The function of a slot's key. `parent`: its ids, and how many children each has. Raises Misconfigured."""
    kind, _, rest = key.removesuffix("|text").partition(":")
    try:
        if kind in ("id", "key"):
            return ids[rest or "id"].render
        if kind == "parent":
            assert parent is not None, "there is no parent"
            render, each = parent[0][rest or "id"].render, parent[1]
            return lambda index: render(index // each)
        if kind == "n":
            base = int(rest or 1)
            return lambda index: base + index
        offset, _, form = rest.partition(":")
        write, after = FORMATS[form], int(offset)
        return lambda index: write(SINCE + index * clock.step + after)
    except (KeyError, ValueError, AssertionError) as error:
        raise Misconfigured(f"sandbox: no slot {key!r}: {error}") from error


def parse_time(value: Any) -> float | None:
    """Seconds since the epoch of what a request gives as a time: seconds, milliseconds, or ISO 8601. None: no time."""
    text = str(value).strip().strip("'\"")
    try:
        number = float(text)
        return number / 1000 if number > 1e11 else number
    except ValueError:
        pass
    try:
        moment = datetime.fromisoformat(text.replace(" ", "T", 1) if text[10:11] == " " else text)
    except ValueError:
        return None
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
