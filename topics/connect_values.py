"""Values of Kafka Connect's JSON converter whose meaning stands in the schema beside them: decimals and times.

A decimal is base64 of its digits there, a date a number of days: as such they would be lost on any mapping. They
become what Avro's logical types become in `topics.avro_reader`: numbers, and ISO 8601 text. What has no such schema, or
doesn't fit it, stays as it is.
"""

import base64
import binascii
from collections.abc import Callable
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from typing import Any, Final

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_DAY_US: Final = 86_400_000_000
_MAX_SCALE: Final = 1_000
_DEPTH: Final = 64


def converted(record: dict[str, Any], schema: Any) -> dict[str, Any]:
    """`record` as `schema` means it; the very same without one."""
    if not isinstance(schema, dict):
        return record
    value = _converted(record, schema, _DEPTH)
    return value if isinstance(value, dict) else record


def _converted(value: Any, schema: Any, depth: int) -> Any:
    if value is None or not isinstance(schema, dict) or not depth:
        return value
    convert = _LOGICAL.get(schema.get("name", "")) if isinstance(schema.get("name", ""), str) else None
    if convert is not None:
        return convert(value, schema)
    kind = schema.get("type")
    if kind == "struct" and isinstance(value, dict):
        return _struct(value, schema, depth)
    if kind == "array" and isinstance(value, list):
        return [_converted(item, schema.get("items"), depth - 1) for item in value]
    if kind == "map" and isinstance(value, dict):
        return {key: _converted(item, schema.get("values"), depth - 1) for key, item in value.items()}
    return value


def _struct(value: dict[str, Any], schema: dict[str, Any], depth: int) -> dict[str, Any]:
    fields = schema.get("fields")
    listed = fields if isinstance(fields, list) else []
    types = {field.get("field"): field for field in listed if isinstance(field, dict)}
    return {name: _converted(item, types.get(name), depth - 1) for name, item in value.items()}


def _decimal(value: Any, schema: dict[str, Any]) -> Any:
    """`decimal.format` BASE64: the unscaled integer, big-endian; NUMERIC is a number already (KIP-481)."""
    parameters = schema.get("parameters")
    return _unscaled(value, parameters.get("scale") if isinstance(parameters, dict) else None)


def _variable_decimal(value: Any, _schema: dict[str, Any]) -> Any:
    """Debezium's struct of scale and unscaled bytes."""
    return _unscaled(value.get("value"), value.get("scale")) if isinstance(value, dict) else value


def _unscaled(value: Any, scale: Any) -> Any:
    try:
        exponent = int(scale)
        digits = base64.b64decode(value, validate=True) if isinstance(value, str) else None
    except (TypeError, ValueError, binascii.Error):
        return value
    if digits is None or abs(exponent) > _MAX_SCALE or len(digits) > _MAX_SCALE:
        return value
    sign, number, _ = Decimal(int.from_bytes(digits, "big", signed=True)).as_tuple()
    return Decimal((sign, number, -exponent))


def _time_of(unit_us: int, text: Callable[[int], str]) -> Callable[[Any, dict[str, Any]], Any]:
    def convert(value: Any, _schema: dict[str, Any]) -> Any:
        if not isinstance(value, int) or isinstance(value, bool):
            return value
        try:
            return text(value * unit_us)
        except (OverflowError, ValueError):
            return value

    return convert


def _date(microseconds: int) -> str:
    return date.fromordinal(_EPOCH.toordinal() + microseconds // _DAY_US).isoformat()


def _moment(microseconds: int) -> str:
    moment = _EPOCH + timedelta(microseconds=microseconds)
    return moment.isoformat(timespec="microseconds").removesuffix("+00:00") + "Z"


def _time(microseconds: int) -> str:
    if not 0 <= microseconds < _DAY_US:
        raise ValueError("not of one day")
    seconds, rest = divmod(microseconds, 1_000_000)
    return time(seconds // 3600, seconds // 60 % 60, seconds % 60, rest).isoformat()


def _nanoseconds(value: Any, _schema: dict[str, Any]) -> Any:
    """Nine digits: Python's moments have six."""
    if not isinstance(value, int) or isinstance(value, bool):
        return value
    try:
        return _moment(value // 1_000)[:-1] + f"{value % 1_000:03d}Z"
    except (OverflowError, ValueError):
        return value


_CONNECT: Final = "org.apache.kafka.connect.data."
_DEBEZIUM: Final = "io.debezium.time."
_LOGICAL: Final[dict[str, Callable[[Any, dict[str, Any]], Any]]] = {
    _CONNECT + "Decimal": _decimal,
    _CONNECT + "Date": _time_of(_DAY_US, _date),
    _CONNECT + "Time": _time_of(1_000, _time),
    _CONNECT + "Timestamp": _time_of(1_000, _moment),
    "io.debezium.data.VariableScaleDecimal": _variable_decimal,
    _DEBEZIUM + "Date": _time_of(_DAY_US, _date),
    _DEBEZIUM + "Time": _time_of(1_000, _time),
    _DEBEZIUM + "MicroTime": _time_of(1, _time),
    _DEBEZIUM + "Timestamp": _time_of(1_000, _moment),
    _DEBEZIUM + "MicroTimestamp": _time_of(1, _moment),
    _DEBEZIUM + "NanoTimestamp": _nanoseconds,
}
