"""The closed vocabulary of transforms: source value → canonical value, and whether the source can be told from it.

Canonical values: str, int, float, bool, Decimal (≤ 38 digits, ≤ 9 of them fractional), timestamps as microseconds and
dates as days since 1970-01-01 UTC, both int. A step answers (value, exact): `exact` says that the source value can be
recovered from the canonical one; where it can't, the caller keeps a copy in the event's custom fields.
"""

import re
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal, InvalidOperation
from typing import Any, Final

from iso4217 import Currency

from mapping.decode_json import dump
from mapping.mapping_set import Transform
from mapping.path import MISSING
from schemas.canonical_model import DECIMAL_PRECISION, DECIMAL_SCALE, FieldKind
from schemas.failures import Misconfigured

Step = Callable[..., tuple[Any, bool]]
"""(value, *inputs) → (canonical value, exact). `value` is not None or MISSING, inputs may be; raises Unconvertible."""

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_EPOCH_DAY: Final = date(1970, 1, 1).toordinal()
_MICROSECOND: Final = timedelta(microseconds=1)
# 0001-01-01 to 9999-12-31, the years that ISO 8601 and Python agree on.
_DAY_MICROS: Final = 86_400_000_000
_SECONDS_WITH_MICROS: Final = re.compile(r"[0-9]{10}\.[0-9]{6}")
_TIMESTAMPS: Final = range(-62_135_596_800_000_000, 253_402_300_800_000_000)
_INT64: Final = range(-(2**63), 2**63)
_WORDS: Final = {
    **dict.fromkeys(("true", "t", "yes", "y", "on", "1", "enabled", "active"), True),
    **dict.fromkeys(("false", "f", "no", "n", "off", "0", "disabled", "inactive"), False),
}


class Unconvertible(Exception):
    """A value that the transform has no answer for; the message is the reason and quotes no value."""


class InvalidTransform(Misconfigured):
    """The transform, its parameters or its target's kind don't fit together."""


def is_lossy(transform: Transform) -> bool:
    """Whether the op by its nature drops part of its source."""
    return transform.op in ("join", "split_name", "first", "truncate", "iso_date", "boolean", "trim")


def build_step(transform: Transform, kind: FieldKind) -> Step:
    """The function of `transform` into a canonical field of `kind`. Raises InvalidTransform."""
    build = _BUILDERS.get(transform.op)
    if build is None:
        raise InvalidTransform(f"unknown transform {transform.op!r}; known: {', '.join(sorted(_BUILDERS))}")
    kinds = _KINDS.get(transform.op)
    if kinds is not None and kind not in kinds:
        raise InvalidTransform(f"transform {transform.op!r} can't give a {kind.value}")
    if transform.op == "minor_units" and len(transform.inputs) != 1:
        raise InvalidTransform("transform 'minor_units' takes 1 input: the path of the currency")
    if transform.inputs and transform.op not in ("join", "minor_units"):
        raise InvalidTransform(f"transform {transform.op!r} takes no inputs")
    unknown = set(transform.params) - _PARAMS.get(transform.op, set())
    if unknown:
        raise InvalidTransform(f"transform {transform.op!r} has no parameter {', '.join(sorted(unknown))}")
    return build(transform.params, kind)


def _copy(_params: dict[str, Any], kind: FieldKind) -> Step:
    return _COPIES[kind]


def _copy_string(value: Any) -> tuple[str, bool]:
    if isinstance(value, str):
        return value, True
    if isinstance(value, dict | list):
        raise Unconvertible(f"expected a string, found an {'object' if isinstance(value, dict) else 'array'}")
    return dump(value).decode(), False


def _copy_long(value: Any) -> tuple[int, bool]:
    if isinstance(value, bool) or not isinstance(value, int | float | Decimal):
        raise Unconvertible(f"expected an integer, found {_kind_of(value)}")
    number = int(value)
    if number != value or number not in _INT64:
        raise Unconvertible("not an integer of 64 bits")
    return number, True


def _copy_double(value: Any) -> tuple[float, bool]:
    if isinstance(value, bool) or not isinstance(value, int | float | Decimal):
        raise Unconvertible(f"expected a number, found {_kind_of(value)}")
    try:
        number = float(value)
    except OverflowError:
        number = float("inf")
    if number in (float("inf"), float("-inf")):
        raise Unconvertible("number beyond a double")
    return number, number == value


def _copy_boolean(value: Any) -> tuple[bool, bool]:
    if not isinstance(value, bool):
        raise Unconvertible(f"expected a boolean, found {_kind_of(value)}")
    return value, True


def _copy_decimal(value: Any) -> tuple[Decimal, bool]:
    if isinstance(value, bool) or not isinstance(value, int | float | Decimal):
        raise Unconvertible(f"expected a number, found {_kind_of(value)}")
    return _fitting(Decimal(repr(value)) if isinstance(value, float) else Decimal(value)), True


def _fitting(number: Decimal) -> Decimal:
    """`number`, if decimal(38, 9) holds it whole."""
    if not number.is_finite():
        raise Unconvertible("not a finite number")
    _sign, digits, exponent = number.as_tuple()
    if number.adjusted() >= DECIMAL_PRECISION - DECIMAL_SCALE:
        raise Unconvertible("number with more than 29 integer digits")
    if isinstance(exponent, int) and exponent < -DECIMAL_SCALE and any(digits[exponent + DECIMAL_SCALE :]):
        raise Unconvertible("number with more than 9 fractional digits")
    return number


def _to_string(_params: dict[str, Any], _kind: FieldKind) -> Step:
    def to_string(value: Any) -> tuple[str, bool]:
        if isinstance(value, str):
            return value, False
        text, _ = _copy_string(value)
        return text, True

    return to_string


def _number(_params: dict[str, Any], kind: FieldKind) -> Step:
    copy = _COPIES[kind]

    def number(value: Any) -> tuple[Any, bool]:
        if not isinstance(value, str):
            return copy(value)
        converted, _ = copy(_decimal_of(value))
        return converted, str(converted) == value

    return number


def _decimal_of(text: str) -> Decimal:
    if len(text) > 100:
        raise Unconvertible("text too long for a number")
    try:
        number = Decimal(text.strip())
    except InvalidOperation as error:
        raise Unconvertible("text that is no number") from error
    if not number.is_finite():
        raise Unconvertible("text that is no finite number")
    return number


def _boolean(_params: dict[str, Any], _kind: FieldKind) -> Step:
    def boolean(value: Any) -> tuple[bool, bool]:
        if isinstance(value, bool):
            return value, True
        if isinstance(value, str | int | float):
            word = _WORDS.get(str(value).strip().lower())
            if word is not None:
                return word, False
        raise Unconvertible("no word for true or false")

    return boolean


def _negate(_params: dict[str, Any], _kind: FieldKind) -> Step:
    def negate(value: Any) -> tuple[bool, bool]:
        return not _copy_boolean(value)[0], True

    return negate


def _reshaped(reshape: Callable[[str], str], back: Callable[[str], str]) -> Callable[[dict[str, Any], FieldKind], Step]:
    def build(_params: dict[str, Any], _kind: FieldKind) -> Step:
        def step(value: Any) -> tuple[str, bool]:
            text, exact = _copy_string(value)
            result = reshape(text)
            return result, exact and back(result) == value

        return step

    return build


def _epoch(units_per_second: int) -> Callable[[dict[str, Any], FieldKind], Step]:
    factor = 1_000_000 // units_per_second

    def build(_params: dict[str, Any], kind: FieldKind) -> Step:
        def epoch(value: Any) -> tuple[int, bool]:
            if factor == 1_000_000 and value.__class__ is str and _SECONDS_WITH_MICROS.fullmatch(value):
                return int(value[:10] + value[11:]), False  # a third of the price of a Decimal
            if isinstance(value, bool) or not isinstance(value, int | float | Decimal | str):
                raise Unconvertible(f"expected a time as a number, found {_kind_of(value)}")
            number = _decimal_of(value) if isinstance(value, str) else _copy_decimal(value)[0]
            if not number.is_finite() or abs(number) > 10**16:
                raise Unconvertible("time beyond the years 1 to 9999")
            micros = number * factor
            return _in_range(int(micros)), not isinstance(value, str) and micros == int(micros)

        def epoch_day(value: Any) -> tuple[int, bool]:
            micros, exact = epoch(value)
            day, rest = divmod(micros, _DAY_MICROS)
            return day, exact and not rest

        return epoch if kind is FieldKind.TIMESTAMP else epoch_day

    return build


def _in_range(micros: int) -> int:
    if micros not in _TIMESTAMPS:
        raise Unconvertible("time beyond the years 1 to 9999")
    return micros


def _iso_time(_params: dict[str, Any], _kind: FieldKind) -> Step:
    def iso_time(value: Any) -> tuple[int, bool]:
        moment = _iso_datetime(value)
        micros = (moment - _EPOCH) // _MICROSECOND
        return micros, _canonical_iso(value, moment.microsecond)

    return iso_time


def _iso_datetime(value: Any) -> datetime:
    moment = _written_time(value)
    try:
        return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    except OverflowError as error:
        raise Unconvertible("time beyond the years 1 to 9999") from error


def _written_time(value: Any) -> datetime:
    if not isinstance(value, str):
        raise Unconvertible(f"expected an ISO 8601 time, found {_kind_of(value)}")
    try:
        return datetime.fromisoformat(value)
    except ValueError as error:
        raise Unconvertible("text that is no ISO 8601 time") from error


def iso_seconds(text: str) -> int | None:
    """Seconds since the epoch of a time written exactly as `2024-01-31T10:00:00Z`; None of any other text."""
    if len(text) != 20 or text[19] != "Z" or not _canonical_iso(text, 0):
        return None
    try:
        return int(datetime.fromisoformat(text).timestamp())
    except ValueError:
        return None


def _canonical_iso(text: str, microsecond: int) -> bool:
    """Whether `text` is how `format_timestamp` writes its moment."""
    length = 20 if microsecond == 0 else 24 if microsecond % 1000 == 0 else 27
    return len(text) == length and text[10] == "T" and text[-1] == "Z" and text[4] == text[7] == "-" and text[13] == ":"


def format_timestamp(micros: int) -> str:
    """ISO 8601 with Z and as few of 0, 3 or 6 fractional digits as hold it: what `iso_time` calls exact."""
    moment = _EPOCH + timedelta(microseconds=micros)
    digits = moment.microsecond
    precision = "seconds" if digits == 0 else "milliseconds" if digits % 1000 == 0 else "microseconds"
    return moment.replace(tzinfo=None).isoformat(timespec=precision) + "Z"


def format_date(days: int) -> str:
    """ISO 8601 date."""
    return date.fromordinal(_EPOCH_DAY + days).isoformat()


def _iso_date(_params: dict[str, Any], _kind: FieldKind) -> Step:
    def iso_date(value: Any) -> tuple[int, bool]:
        if isinstance(value, str) and len(value) == 10:
            try:
                return date.fromisoformat(value).toordinal() - _EPOCH_DAY, True
            except ValueError as error:
                raise Unconvertible("text that is no ISO 8601 date") from error
        return _written_time(value).date().toordinal() - _EPOCH_DAY, False  # the day where it was written

    return iso_date


def minor_unit_exponents(params: dict[str, Any]) -> dict[str, int]:
    """Currency code → digits of its minor unit: ISO 4217's, and over them the transform's own `exponents`."""
    exponents: dict[str, int] = dict(_EXPONENTS) | dict(params.get("exponents", {}))
    if not all(isinstance(e, int) and 0 <= e <= DECIMAL_SCALE for e in exponents.values()):
        raise InvalidTransform("minor_units: exponents are integers from 0 to 9 by currency code")
    return exponents


def _minor_units(params: dict[str, Any], _kind: FieldKind) -> Step:
    exponents = minor_unit_exponents(params)

    def minor_units(value: Any, currency: Any) -> tuple[Decimal, bool]:
        if not isinstance(currency, str):
            raise Unconvertible("no currency to tell the minor unit by")
        exponent = exponents.get(currency.upper())
        if exponent is None:
            raise Unconvertible("a currency that ISO 4217 doesn't know")
        if isinstance(value, str):
            amount = _fitting(_decimal_of(value).scaleb(-exponent))
            return amount, str(amount.scaleb(exponent)) == value
        return _fitting(_copy_decimal(value)[0].scaleb(-exponent)), True

    return minor_units


def _scale(params: dict[str, Any], kind: FieldKind) -> Step:
    try:
        factor = Decimal(str(params["factor"]))
    except (KeyError, InvalidOperation) as error:
        raise InvalidTransform("scale: params.factor is a decimal number") from error
    if not factor.is_finite() or factor == 0:
        raise InvalidTransform("scale: params.factor is finite and not 0")
    copy = _COPIES[kind]

    def scale(value: Any) -> tuple[Any, bool]:
        number = _decimal_of(value) if isinstance(value, str) else _copy_decimal(value)[0]
        scaled, exact = copy(number * factor)
        return scaled, exact and not isinstance(value, str) and _same(scaled, factor, number)

    return scale


def _same(scaled: Any, factor: Decimal, number: Decimal) -> bool:
    return Decimal(str(scaled)) / factor == number


def _enum(params: dict[str, Any], kind: FieldKind) -> Step:
    values = params.get("values")
    if not isinstance(values, dict) or not values:
        raise InvalidTransform("enum: params.values maps source words to canonical ones")
    copy = _COPIES[kind]
    table = {str(word): copy(canonical)[0] for word, canonical in values.items()}
    back = list(table.values())
    otherwise = params.get("otherwise")

    def enum(value: Any) -> tuple[Any, bool]:
        if isinstance(value, dict | list):
            raise Unconvertible(f"expected a word, found {_kind_of(value)}")
        word = value if isinstance(value, str) else dump(value).decode()
        canonical = table.get(word)
        if canonical is not None:
            return canonical, isinstance(value, str) and back.count(canonical) == 1 and canonical != otherwise
        if otherwise is not None:
            return otherwise, False
        raise Unconvertible("a word that the enum doesn't have")

    return enum


def _join(params: dict[str, Any], _kind: FieldKind) -> Step:
    separator = _text_param(params, "separator", " ")

    def join(*values: Any) -> tuple[str, bool]:
        parts = [_copy_string(value)[0] for value in values if value is not None and value is not MISSING]
        return separator.join(part for part in parts if part), False

    return join


def _split_name(params: dict[str, Any], _kind: FieldKind) -> Step:
    part = params.get("part")
    if part not in ("first", "last"):
        raise InvalidTransform("split_name: params.part is 'first' or 'last'")

    def split_name(value: Any) -> tuple[str, bool]:
        if not isinstance(value, str):
            raise Unconvertible(f"expected a name, found {_kind_of(value)}")
        words = value.split()
        if part == "first":
            return " ".join(words[:-1]) if len(words) > 1 else " ".join(words), False
        return words[-1] if len(words) > 1 else "", False

    return split_name


def _first(_params: dict[str, Any], kind: FieldKind) -> Step:
    copy = _COPIES[kind]

    def first(value: Any) -> tuple[Any, bool]:
        if not isinstance(value, list):
            raise Unconvertible(f"expected an array, found {_kind_of(value)}")
        for element in value:
            if element is not None and element is not MISSING:
                result, exact = copy(element)
                return result, exact and len(value) == 1
        raise Unconvertible("an array with no value in it")

    return first


def _split(params: dict[str, Any], _kind: FieldKind) -> Step:
    separator = _text_param(params, "separator", ",")
    if not separator:
        raise InvalidTransform("split: params.separator isn't empty")

    def split(value: Any) -> tuple[list[str], bool]:
        if not isinstance(value, str):
            raise Unconvertible(f"expected a string, found {_kind_of(value)}")
        parts = [part.strip() for part in value.split(separator)]
        kept = [part for part in parts if part]
        return kept, bool(kept) and separator.join(kept) == value

    return split


def _constant(params: dict[str, Any], kind: FieldKind) -> Step:
    if "value" not in params:
        raise InvalidTransform("constant: params.value is the canonical value")
    try:
        canonical, _ = _COPIES[kind](params["value"])
    except Unconvertible as error:
        raise InvalidTransform(f"constant: {error}") from error
    return lambda *_values: (canonical, False)


def _to_json(_params: dict[str, Any], _kind: FieldKind) -> Step:
    return lambda value: (dump(value).decode(), True)


def _truncate(params: dict[str, Any], _kind: FieldKind) -> Step:
    length = params.get("length")
    if not isinstance(length, int) or length < 1:
        raise InvalidTransform("truncate: params.length is a number of characters, at least 1")

    def truncate(value: Any) -> tuple[str, bool]:
        text, exact = _copy_string(value)
        return text[:length], exact and len(text) <= length

    return truncate


def _text_param(params: dict[str, Any], name: str, default: str) -> str:
    text = params.get(name, default)
    if not isinstance(text, str):
        raise InvalidTransform(f"params.{name} is a text")
    return text


def _kind_of(value: Any) -> str:
    if isinstance(value, bool):
        return "a boolean"
    if isinstance(value, str):
        return "a string"
    return "an object" if isinstance(value, dict) else "an array" if isinstance(value, list) else "a number"


_EXPONENTS: Final[dict[str, int]] = {c.code: c.exponent for c in Currency if c.exponent is not None}
_COPIES: Final[dict[FieldKind, Step]] = {
    FieldKind.STRING: _copy_string,
    FieldKind.LONG: _copy_long,
    FieldKind.DOUBLE: _copy_double,
    FieldKind.BOOLEAN: _copy_boolean,
    FieldKind.DECIMAL: _copy_decimal,
}
_TEXT: Final = {FieldKind.STRING}
_NUMBERS: Final = {FieldKind.LONG, FieldKind.DOUBLE, FieldKind.DECIMAL}
_KINDS: Final[dict[str, set[FieldKind]]] = {
    "copy": set(_COPIES),
    "number": _NUMBERS,
    "boolean": {FieldKind.BOOLEAN},
    "negate": {FieldKind.BOOLEAN},
    "epoch_seconds": {FieldKind.TIMESTAMP, FieldKind.DATE},
    "epoch_millis": {FieldKind.TIMESTAMP, FieldKind.DATE},
    "iso_time": {FieldKind.TIMESTAMP},
    "iso_date": {FieldKind.DATE},
    "minor_units": {FieldKind.DECIMAL},
    "scale": _NUMBERS,
    "enum": {FieldKind.STRING, FieldKind.BOOLEAN},
    "first": set(_COPIES),
    "constant": set(_COPIES),
} | dict.fromkeys(("to_string", "upper", "lower", "trim", "join", "split_name", "split", "to_json", "truncate"), _TEXT)
_PARAMS: Final[dict[str, set[str]]] = {
    "minor_units": {"exponents"},
    "scale": {"factor"},
    "enum": {"values", "otherwise"},
    "join": {"separator"},
    "split_name": {"part"},
    "split": {"separator"},
    "constant": {"value"},
    "truncate": {"length"},
}
_BUILDERS: Final[dict[str, Callable[[dict[str, Any], FieldKind], Step]]] = {
    "copy": _copy,
    "to_string": _to_string,
    "number": _number,
    "boolean": _boolean,
    "negate": _negate,
    "upper": _reshaped(str.upper, str.lower),
    "lower": _reshaped(str.lower, str.upper),
    "trim": _reshaped(str.strip, lambda text: text),
    "epoch_seconds": _epoch(1),
    "epoch_millis": _epoch(1000),
    "iso_time": _iso_time,
    "iso_date": _iso_date,
    "minor_units": _minor_units,
    "scale": _scale,
    "enum": _enum,
    "join": _join,
    "split_name": _split_name,
    "first": _first,
    "split": _split,
    "constant": _constant,
    "to_json": _to_json,
    "truncate": _truncate,
}
