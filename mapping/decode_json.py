"""Decodes the JSON value of a raw record, exactly or not at all.

orjson is fast, but it keeps the last of duplicate keys and turns integers beyond 64 bits, and decimals beyond a
double, into the nearest float. What it read is therefore written back: equal bytes prove that nothing changed. Where
they differ (white space, escapes), two cheap signs decide whether the exact reader must look again.
"""

import json
import re
from decimal import Decimal
from functools import partial
from typing import Any, Final

import orjson

from schemas.failures import InvalidRecord

_LONG_NUMBER: Final = re.compile(rb"[0-9.]{16}|[0-9][eE]")
_INT64: Final = range(-(2**63), 2**63)
_MAX_DIGITS: Final = 1000


def decode(value: bytes) -> dict[str, Any]:
    """The JSON object in `value`; numbers beyond a double or 64 bits come as Decimal.

    Raises InvalidRecord where it is no JSON (RFC 8259), no object, has duplicate keys, invalid UTF-8 or lone
    surrogates, or nests deeper than 254.
    """
    try:
        record = orjson.loads(value)
        same = orjson.dumps(record)
    except orjson.JSONDecodeError as error:
        record, same = _explain(value, error)
    except TypeError as error:
        raise InvalidRecord("JSON nested deeper than 254 levels") from error
    if record.__class__ is not dict:
        raise InvalidRecord(f"JSON, but not an object: {_json_type(record)}")
    if same != value and _may_differ(value, same):
        return _decode_exactly(value)
    return record


def _number_text(value: Any) -> Any:
    if isinstance(value, Decimal):
        return orjson.Fragment(str(value))
    raise TypeError(f"not a JSON value: {type(value).__name__}")


dump: Final = partial(orjson.dumps, default=_number_text)
"""value → compact JSON bytes, numbers as exact as `decode` gave them."""


def _may_differ(value: bytes, same: bytes) -> bool:
    # A dropped duplicate takes its colon along; an escaped colon would hide that.
    if value.count(b":") != same.count(b":") or b"\\u003" in value:
        return True
    return _LONG_NUMBER.search(value) is not None


def _explain(value: bytes, error: orjson.JSONDecodeError) -> tuple[Any, bytes]:
    """Numbers beyond a double are JSON all the same; everything else that orjson refuses is an invalid record."""
    if "infinity" in str(error):
        return _decode_exactly(value), value
    raise InvalidRecord(f"not JSON: {error.msg} at byte {error.pos}") from error


def _decode_exactly(value: bytes) -> dict[str, Any]:
    try:
        record = json.loads(
            value.decode("utf-8"),
            object_pairs_hook=_unique,
            parse_int=_exact_int,
            parse_float=_exact_float,
            parse_constant=_refuse_constant,
        )
        dump(record).decode()
    except InvalidRecord:
        raise
    except (RecursionError, TypeError) as error:
        raise InvalidRecord("JSON nested deeper than 254 levels, or with lone surrogates") from error
    except (ValueError, ArithmeticError) as error:
        raise InvalidRecord(f"not JSON that can be kept exactly: {type(error).__name__}") from error
    if not isinstance(record, dict):
        raise InvalidRecord(f"JSON, but not an object: {_json_type(record)}")
    return record


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    record = dict(pairs)
    if len(record) != len(pairs):
        raise InvalidRecord("JSON object with duplicate keys")
    return record


def _exact_int(text: str) -> int | Decimal:
    if len(text) > _MAX_DIGITS:
        raise InvalidRecord(f"JSON integer with more than {_MAX_DIGITS} digits")
    number = int(text)
    return number if number in _INT64 else Decimal(text)


def _exact_float(text: str) -> float | Decimal:
    if len(text) > _MAX_DIGITS:
        raise InvalidRecord(f"JSON number with more than {_MAX_DIGITS} digits")
    nearest = float(text)
    exact = Decimal(text)
    return nearest if Decimal(repr(nearest)) == exact else exact


def _refuse_constant(text: str) -> Any:
    raise InvalidRecord(f"not JSON: {text}")


def _json_type(value: Any) -> str:
    names = {type(None): "null", bool: "boolean", int: "number", float: "number", str: "string", list: "array"}
    return names.get(type(value), "number")
