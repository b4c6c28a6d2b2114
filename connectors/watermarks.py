"""How far an incremental sync got: times in every form that vendors write, as microseconds since the epoch, or texts.

Lower bounds are rounded down and upper bounds up, so that rounding asks for too much and never for too little.
"""

from datetime import UTC, datetime, timedelta
from decimal import Decimal, InvalidOperation
from typing import Any, Final

from connectors.errors import ActionRequired, BadResponse

Mark = int | str
"""Microseconds since the epoch; a text of the vendor's own where the format is `text`."""

SECOND: Final = 1_000_000
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)


def read_mark(value: Any, form: str) -> Mark | None:
    """The mark that a record's field is; None where it is null.

    Raises:
        BadResponse: the value isn't of this form; it is not repeated.
    """
    if value is None or value == "":
        return None
    if form == "text":
        return str(value)
    try:
        if form in {"iso8601", "date"}:
            return _from_iso(value)
        number = Decimal(str(value))
        if not number.is_finite() or isinstance(value, bool):
            raise ValueError
        return int(number * (SECOND if form == "epoch_seconds" else 1000))
    except (ValueError, TypeError, InvalidOperation, OverflowError):
        raise BadResponse(f"what tells when a record changed is not {form}", "check incremental in the spec") from None


def start_mark(value: Any, form: str) -> Mark:
    """The mark that `start` of a spec or a setting tells: ISO 8601, epoch seconds, or a text. Raises ActionRequired."""
    if form == "text":
        return str(value)
    try:
        if isinstance(value, int | float) or str(value).removeprefix("-").isdigit():
            return int(float(value) * (1000 if abs(float(value)) > 1e11 else SECOND))
        return _from_iso(str(value))
    except (ValueError, TypeError, OverflowError):
        raise ActionRequired("the start of the first sync is no date", "write it like 2024-01-31") from None


def write_mark(mark: Mark, form: str, *, up: bool = False) -> Any:
    """As the vendor wants it in a request."""
    if isinstance(mark, str):
        return mark
    if form == "epoch_milliseconds":
        return mark // 1000 + (1 if up and mark % 1000 else 0)
    seconds = mark // SECOND + (1 if up and mark % SECOND else 0)
    if form == "epoch_seconds":
        return seconds
    moment = _EPOCH + timedelta(seconds=seconds)
    if form == "date":
        later = up and moment.time() != datetime.min.time()
        return (moment.date() + timedelta(days=1 if later else 0)).isoformat()
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


def _from_iso(value: Any) -> int:
    if not isinstance(value, str):
        raise ValueError
    moment = datetime.fromisoformat(value)
    return ((moment if moment.tzinfo else moment.replace(tzinfo=UTC)) - _EPOCH) // _MICROSECOND
