"""How one event is written: Avro, JSON, or plain Python values (the oracle that tests hold the other two against).

A format gives pieces for canonical values and puts them, with the `aam` block, together. The compiled function calls
it; what the values are was decided before.
"""

from collections.abc import Callable, Mapping, Sequence
from hashlib import blake2b
from typing import Any, Final, Literal, Protocol, TypeVar

import orjson

from mapping import avro_encoding as avro
from mapping.decode_json import dump
from mapping.origin import Delivery, Origin
from mapping.transforms import format_date, format_timestamp
from schemas.canonical_model import CanonicalEntity, CanonicalField, FieldKind

EventFormat = Literal["avro", "json", "values"]

K = TypeVar("K")
V = TypeVar("V")

_MEMO_SIZE: Final = 4096
_dumps: Final = orjson.dumps


class Format(Protocol):
    """Pieces of canonical values, and their assembly. Pieces come in the order of the entity's schema.

    `templates` write common values out as a statement of `piece` and `value` ("string", "long", "timestamp", "strings"
    of one, and "minor_units" by `factor`, an exponent); `names` are what they need. None: every value takes a step.
    """

    templates: Mapping[str, str]
    names: Mapping[str, Any]
    null: Any
    empty: Any

    def gap(self, nulls: Sequence[Any]) -> Sequence[Any]:
        """The pieces of neighbouring fields that no mapping writes."""

    def encoder(self, kind: FieldKind) -> Callable[[Any], Any]:
        """The piece of one value of `kind`."""

    def strings(self) -> Callable[[list[str]], Any]:
        """The piece of a list of strings, the only plain values that lists of the model hold."""

    def rows(self, field: CanonicalField) -> Callable[[Sequence[Sequence[Any]]], Any]:
        """The piece of a list of records, from the pieces of their members."""

    def head(
        self,
        origin: Origin,
        delivery: Delivery,
        event_id: str,
        source_id: str,
        confidence: float,
        provisional: Sequence[str],
        absent: Sequence[str],
        unconverted: dict[str, str],
    ) -> Any:
        """The piece of the `aam` block up to its custom fields."""

    def custom(self, fields: dict[str, Any]) -> Any:
        """The piece of what no field holds, source path → JSON value, and of the rest of the `aam` block."""

    def finish(self, pieces: Sequence[Any]) -> Any:
        """The event, from head, custom fields and its fields."""


class AvroFormat:
    """Avro binary, behind `prefix` (the Confluent framing of the entity's schema)."""

    null: Any = avro.NULL
    empty: Any = avro.EMPTY
    names: Mapping[str, Any] = {
        "P": avro.STRING_PREFIX,
        "L": avro.PLAIN_PREFIX,
        "long": avro.long,
        "unscaled": avro.unscaled_decimal,
        "UNITS": avro.UNSCALED_UNITS,
        "ONE": avro.plain_long(1),
        "END": avro.EMPTY,
    }
    templates: Mapping[str, str] = {
        "string": "e = {value}.encode(); {piece} = P[len(e)] + e",
        "strings": "e = {value}.encode(); {piece} = ONE + L[len(e)] + e + END",
        "long": "{piece} = long({value})",
        "timestamp": "{piece} = long({value})",
        "minor_units": "{piece} = unscaled({value} * UNITS[{factor}])",
    }
    finish = staticmethod(b"".join)

    def __init__(self, entity: CanonicalEntity, revision: int, prefix: bytes, arm: str | None) -> None:
        self._prefix = prefix + avro.PLAIN_PREFIX[_EVENT_ID_BYTES]
        self._versions = avro.plain_long(revision) + avro.plain_long(entity.version)
        self._upsert = avro.plain_string("upsert") + self._versions
        self._end = avro.EMPTY + (avro.NULL if arm is None else avro.string(arm))
        self._origins: dict[tuple[str, str], bytes] = {}
        self._topics: dict[tuple[str, int], bytes] = {}
        self._times: dict[int, bytes] = {}
        self._paths = _Paths()

    def gap(self, nulls: Sequence[bytes]) -> Sequence[bytes]:
        return (b"".join(nulls),)

    def encoder(self, kind: FieldKind) -> Callable[[Any], bytes]:
        return avro.ENCODERS[kind]

    def strings(self) -> Callable[[list[str]], bytes]:
        return avro.plain_strings  # its elements stand in no union

    def rows(self, _field: CanonicalField) -> Callable[[Sequence[Sequence[bytes]]], bytes]:
        return lambda rows: avro.plain_long(len(rows)) + b"".join(map(b"".join, rows)) + avro.EMPTY

    def head(
        self,
        origin: Origin,
        delivery: Delivery,
        event_id: str,
        source_id: str,
        confidence: float,
        provisional: Sequence[str],
        absent: Sequence[str],
        unconverted: dict[str, str],
    ) -> bytes:
        topic, partition, offset, _, op, _, observed_at, emitted_at = delivery
        times = self._times
        identity = source_id.encode()
        return b"".join(
            (
                self._prefix,
                event_id.encode(),
                self._origins.get((origin.tenant, origin.connection)) or self._origin(origin),
                avro.PLAIN_PREFIX[len(identity)],
                identity,
                self._upsert if op == "upsert" else avro.plain_string(op) + self._versions,
                avro.NULL if observed_at is None else b"\x02" + (times.get(observed_at) or self._time(observed_at)),
                times.get(emitted_at) or self._time(emitted_at),
                avro.plain_double(confidence),
                avro.plain_strings(provisional) if provisional else avro.EMPTY,
                avro.plain_strings(absent) if absent else avro.EMPTY,
                avro.plain_string_map(unconverted) if unconverted else avro.EMPTY,
                self._topics.get((topic, partition)) or self._topic(topic, partition),
                avro.plain_long(offset),
            )
        )

    def custom(self, fields: dict[str, Any]) -> bytes:
        if not fields:
            return self._end
        paths, prefix = self._paths, avro.PLAIN_PREFIX
        try:
            pieces = [paths[path] + prefix[len(text := _dumps(value))] + text for path, value in fields.items()]
        except TypeError:  # a number that only `dump` writes
            pieces = [paths[path] + prefix[len(text := dump(value))] + text for path, value in fields.items()]
        return avro.plain_long(len(fields)) + b"".join(pieces) + self._end

    def _origin(self, origin: Origin) -> bytes:
        texts = (origin.tenant, origin.connection, origin.connector, origin.entity)
        return _remember(self._origins, (origin.tenant, origin.connection), b"".join(map(avro.plain_string, texts)))

    def _topic(self, topic: str, partition: int) -> bytes:
        encoded = avro.plain_string(topic) + avro.plain_long(partition)
        return _remember(self._topics, (topic, partition), encoded)

    def _time(self, micros: int) -> bytes:
        return _remember(self._times, micros, avro.plain_long(micros))


class _Paths(dict[str, bytes]):
    """Source path → its Avro string. Forgets all before hostile paths fill the memory."""

    def __missing__(self, path: str) -> bytes:
        return _remember(self, path, avro.plain_string(path))


def _remember(memo: dict[K, V], key: K, value: V) -> V:
    if len(memo) >= _MEMO_SIZE:
        memo.clear()
    memo[key] = value
    return value


class ValuesFormat:
    """The event as a dict of Python values, timestamps and dates as ints: what fastavro writes."""

    null: Any = None
    empty: Any = ()
    names: Mapping[str, Any] = {}
    templates: Mapping[str, str] = {}

    def __init__(self, entity: CanonicalEntity, revision: int, arm: str | None) -> None:
        self._names = [field.name for field in entity.fields]
        self._revision, self._version, self._arm = revision, entity.version, arm

    def gap(self, nulls: Sequence[Any]) -> Sequence[Any]:
        return nulls

    def encoder(self, _kind: FieldKind) -> Callable[[Any], Any]:
        return _unchanged

    def strings(self) -> Callable[[list[str]], Any]:
        return _unchanged

    def rows(self, field: CanonicalField) -> Callable[[Sequence[Sequence[Any]]], Any]:
        names = [member.name for member in field.members]
        return lambda rows: [dict(zip(names, pieces, strict=True)) for pieces in rows]

    def timestamp(self, micros: int) -> Any:
        """How a time in the `aam` block is written."""
        return micros

    def head(
        self,
        origin: Origin,
        delivery: Delivery,
        event_id: str,
        source_id: str,
        confidence: float,
        provisional: Sequence[str],
        absent: Sequence[str],
        unconverted: dict[str, str],
    ) -> dict[str, Any]:
        topic, partition, offset, _, op, _, observed_at, emitted_at = delivery
        return {
            "event_id": event_id,
            "tenant_id": origin.tenant,
            "connection": origin.connection,
            "source_system": origin.connector,
            "source_entity": origin.entity,
            "source_id": source_id,
            "op": op,
            "mapping_revision": self._revision,
            "schema_version": self._version,
            "observed_at": None if observed_at is None else self.timestamp(observed_at),
            "emitted_at": self.timestamp(emitted_at),
            "confidence": confidence,
            "provisional": provisional,
            "absent": absent,
            "unconverted": unconverted,
            "raw": {"topic": topic, "partition": partition, "offset": offset},
        }

    def custom(self, fields: dict[str, Any]) -> dict[str, str]:
        return {path: dump(value).decode() for path, value in fields.items()}

    def finish(self, pieces: Sequence[Any]) -> Any:
        aam = pieces[0]
        aam["custom_fields"] = pieces[1]
        aam["arm"] = self._arm
        return {"aam": aam} | {
            name: list(piece) if piece == () else piece for name, piece in zip(self._names, pieces[2:], strict=True)
        }


def _minor_units(amount: int, digits: int) -> str:
    """What `format(Decimal(amount).scaleb(-digits), "f")` gives, at a third of its price."""
    if not digits:
        return str(amount)
    text = str(abs(amount)).rjust(digits + 1, "0")
    return f"{'-' if amount < 0 else ''}{text[:-digits]}.{text[-digits:]}"


class JsonFormat(ValuesFormat):
    """The same object as JSON: decimals as strings, timestamps and dates in ISO 8601."""

    def __init__(self, entity: CanonicalEntity, revision: int, arm: str | None) -> None:
        super().__init__(entity, revision, arm)
        self._times: dict[int, str] = {}

    names: Mapping[str, Any] = {"timestamp": format_timestamp, "minor_units": _minor_units}
    templates: Mapping[str, str] = {
        "string": "{piece} = {value}",
        "strings": "{piece} = [{value}]",
        "long": "{piece} = {value}",
        "timestamp": "{piece} = timestamp({value})",
        "minor_units": "{piece} = minor_units({value}, {factor})",
    }

    def encoder(self, kind: FieldKind) -> Callable[[Any], Any]:
        return _JSON_ENCODERS.get(kind, _unchanged)

    def timestamp(self, micros: int) -> str:
        return self._times.get(micros) or _remember(self._times, micros, format_timestamp(micros))

    def custom(self, fields: dict[str, Any]) -> dict[str, str]:
        try:
            return {path: _dumps(value).decode() for path, value in fields.items()}
        except TypeError:  # a number that only `dump` writes
            return super().custom(fields)

    def finish(self, pieces: Sequence[Any]) -> bytes:
        aam = pieces[0]
        aam["custom_fields"] = pieces[1]
        aam["arm"] = self._arm
        event = {"aam": aam}
        event.update(zip(self._names, pieces[2:], strict=True))
        return _dumps(event)


def make_format(
    event_format: EventFormat, entity: CanonicalEntity, revision: int, prefix: bytes, arm: str | None
) -> Format:
    """The writer of `entity`'s events in `event_format`; `prefix` stands before an Avro body."""
    if event_format == "avro":
        return AvroFormat(entity, revision, prefix, arm)
    return JsonFormat(entity, revision, arm) if event_format == "json" else ValuesFormat(entity, revision, arm)


_EVENT_ID_BYTES: Final = 32
_places: dict[tuple[str, str, int], Any] = {}


def event_id(tenant: str, delivery: Delivery, index: int) -> str:
    """The same for a record's every replay: hash of tenant, raw topic, partition, offset, Kafka timestamp and index.

    The tenant is in it so that no producer can make another tenant's ids by naming coordinates that aren't its own.
    """
    topic, partition, offset, timestamp_ms, *_ = delivery
    place = _places.get((tenant, topic, partition))
    if place is None:
        start = blake2b(f"{tenant}\n{topic}\n{partition}\n".encode(), digest_size=_EVENT_ID_BYTES // 2)
        place = _remember(_places, (tenant, topic, partition), start)
    hashed = place.copy()
    hashed.update(b"%d\n%d\n%d" % (offset, timestamp_ms, index))
    return hashed.hexdigest()  # type: ignore[no-any-return]  # a str, says hashlib


def _unchanged(value: Any) -> Any:
    return value


_JSON_ENCODERS: Final[dict[FieldKind, Callable[[Any], Any]]] = {
    FieldKind.DECIMAL: lambda number: format(number, "f"),
    FieldKind.TIMESTAMP: format_timestamp,
    FieldKind.DATE: format_date,
}
