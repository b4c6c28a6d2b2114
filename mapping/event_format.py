"""How one event is written: Avro, JSON, or plain Python values (the oracle that tests hold the other two against).

A format gives pieces for canonical values and puts them, with the `aam` block, together. The compiled function calls
it; what the values are was decided before.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Literal, Protocol

import orjson

from mapping import avro_encoding as avro
from mapping.decode_json import dump
from mapping.origin import Delivery, Origin
from mapping.transforms import format_date, format_timestamp
from schemas.canonical_model import CanonicalEntity, CanonicalField, FieldKind

EventFormat = Literal["avro", "json", "values"]

_MEMO_SIZE: Final = 4096


Quality = tuple[float, Sequence[str], Sequence[str], dict[str, str]]
"""What the event says of its own mapping: confidence, provisional, absent, unconverted."""


class Format(Protocol):
    """Pieces of canonical values, and their assembly. `fields` are in the order of the entity's schema."""

    @property
    def null(self) -> Any:
        """The piece of an absent or null value."""

    @property
    def empty(self) -> Any:
        """The piece of an empty list."""

    def gap(self, nulls: Sequence[Any]) -> Sequence[Any]:
        """The pieces of neighbouring fields that no mapping writes."""

    def encoder(self, kind: FieldKind) -> Callable[[Any], Any]:
        """The piece of one value of `kind`."""

    def list_encoder(self, field: CanonicalField) -> Callable[[list[Any]], Any]:
        """The piece of a list: of values, or of tuples of values (None where absent) in the order of the members."""

    def assemble(
        self,
        origin: Origin,
        delivery: Delivery,
        ids: tuple[str, str],
        quality: Quality,
        custom: dict[str, Any],
        fields: Sequence[Any],
    ) -> Any:
        """The event; `ids` are (event_id, source_id), `custom` is source path → JSON value."""


class AvroFormat:
    """Avro binary, behind `prefix` (the Confluent framing of the entity's schema)."""

    null: Any = avro.NULL
    empty: Any = avro.EMPTY

    def __init__(self, entity: CanonicalEntity, revision: int, prefix: bytes) -> None:
        self._prefix = prefix
        self._versions = avro.plain_long(revision) + avro.plain_long(entity.version)
        self._origins: dict[tuple[str, str], bytes] = {}
        self._topics: dict[tuple[str, int], bytes] = {}
        self._times: dict[int, bytes] = {}
        self._paths: dict[str, bytes] = {}

    def gap(self, nulls: Sequence[bytes]) -> Sequence[bytes]:
        return (b"".join(nulls),)

    def encoder(self, kind: FieldKind) -> Callable[[Any], bytes]:
        return avro.ENCODERS[kind]

    def list_encoder(self, field: CanonicalField) -> Callable[[list[Any]], bytes]:
        if field.members:
            encoders = [avro.ENCODERS[_kind(member)] for member in field.members]
            return lambda rows: avro.plain_block(
                b"".join(avro.NULL if v is None else encode(v) for encode, v in zip(encoders, row, strict=True))
                for row in rows
            )
        # Strings are the only list elements of the model; their union branch byte is left away.
        return avro.plain_strings

    def assemble(
        self,
        origin: Origin,
        delivery: Delivery,
        ids: tuple[str, str],
        quality: Quality,
        custom: dict[str, Any],
        fields: Sequence[bytes],
    ) -> bytes:
        topic, partition, offset, _, op, _, observed_at, emitted_at = delivery
        times = self._times
        prefix = avro.PLAIN_PREFIX
        event_id, source_id = ids[0].encode(), ids[1].encode()
        confidence, provisional, absent, unconverted = quality
        return b"".join(
            (
                self._prefix,
                prefix[len(event_id)],
                event_id,
                self._origins.get((origin.tenant, origin.connection)) or self._origin(origin),
                prefix[len(source_id)],
                source_id,
                b"\x0cupsert" if op == "upsert" else avro.plain_string(op),
                self._versions,
                avro.NULL if observed_at is None else b"\x02" + (times.get(observed_at) or self._time(observed_at)),
                times.get(emitted_at) or self._time(emitted_at),
                avro.plain_double(confidence),
                avro.plain_strings(provisional) if provisional else avro.EMPTY,
                avro.plain_strings(absent) if absent else avro.EMPTY,
                avro.plain_string_map(unconverted) if unconverted else avro.EMPTY,
                self._topics.get((topic, partition)) or self._topic(topic, partition),
                avro.plain_long(offset),
                self._custom(custom) if custom else avro.EMPTY,
                *fields,
            )
        )

    def _origin(self, origin: Origin) -> bytes:
        texts = (origin.tenant, origin.connection, origin.connector, origin.entity)
        return _remember(self._origins, (origin.tenant, origin.connection), b"".join(map(avro.plain_string, texts)))

    def _topic(self, topic: str, partition: int) -> bytes:
        encoded = avro.plain_string(topic) + avro.plain_long(partition)
        return _remember(self._topics, (topic, partition), encoded)

    def _time(self, micros: int) -> bytes:
        return _remember(self._times, micros, avro.plain_long(micros))

    def _custom(self, custom: dict[str, Any]) -> bytes:
        paths, prefix = self._paths, avro.PLAIN_PREFIX
        pieces = [avro.plain_long(len(custom))]
        for path, value in custom.items():
            text = b"null" if value is None else dump(value)
            pieces += (paths.get(path) or self._path(path), prefix[len(text)], text)
        pieces.append(avro.EMPTY)
        return b"".join(pieces)

    def _path(self, path: str) -> bytes:
        return _remember(self._paths, path, avro.plain_string(path))


def _remember(memo: dict[Any, bytes], key: Any, encoded: bytes) -> bytes:
    if len(memo) >= _MEMO_SIZE:
        memo.clear()
    memo[key] = encoded
    return encoded


@dataclass(frozen=True)
class ValuesFormat:
    """The event as a dict of Python values, timestamps and dates as ints: what fastavro writes."""

    entity: CanonicalEntity
    revision: int
    null: Any = None
    empty: Any = field(default_factory=list)

    def gap(self, nulls: Sequence[Any]) -> Sequence[Any]:
        return nulls

    def encoder(self, _kind: FieldKind) -> Callable[[Any], Any]:
        return _unchanged

    def list_encoder(self, field: CanonicalField) -> Callable[[list[Any]], Any]:
        if not field.members:
            return _unchanged
        encoders = [(member.name, self.encoder(_kind(member))) for member in field.members]
        return lambda rows: [
            {name: None if v is None else encode(v) for (name, encode), v in zip(encoders, row, strict=True)}
            for row in rows
        ]

    def timestamp(self, micros: int) -> Any:
        """How a time in the `aam` block is written."""
        return micros

    def assemble(
        self,
        origin: Origin,
        delivery: Delivery,
        ids: tuple[str, str],
        quality: Quality,
        custom: dict[str, Any],
        fields: Sequence[Any],
    ) -> Any:
        observed_at = delivery.observed_at_us
        confidence, provisional, absent, unconverted = quality
        event: dict[str, Any] = {
            "aam": {
                "event_id": ids[0],
                "tenant_id": origin.tenant,
                "connection": origin.connection,
                "source_system": origin.connector,
                "source_entity": origin.entity,
                "source_id": ids[1],
                "op": delivery.op,
                "mapping_revision": self.revision,
                "schema_version": self.entity.version,
                "observed_at": None if observed_at is None else self.timestamp(observed_at),
                "emitted_at": self.timestamp(delivery.emitted_at_us),
                "confidence": confidence,
                "provisional": list(provisional),
                "absent": list(absent),
                "unconverted": unconverted,
                "raw": {"topic": delivery.topic, "partition": delivery.partition, "offset": delivery.offset},
                "custom_fields": {path: dump(value).decode() for path, value in custom.items()},
            }
        }
        event.update(zip((field.name for field in self.entity.fields), fields, strict=True))
        return self.written(event)

    def written(self, event: dict[str, Any]) -> Any:
        """The event as it leaves."""
        return event


class JsonFormat(ValuesFormat):
    """The same object as JSON: decimals as strings, timestamps and dates in ISO 8601."""

    def encoder(self, kind: FieldKind) -> Callable[[Any], Any]:
        return _JSON_ENCODERS.get(kind, _unchanged)

    def timestamp(self, micros: int) -> str:
        return format_timestamp(micros)

    def written(self, event: dict[str, Any]) -> bytes:
        return orjson.dumps(event)


def make_format(event_format: EventFormat, entity: CanonicalEntity, revision: int, prefix: bytes) -> Format:
    """The writer of `entity`'s events in `event_format`; `prefix` stands before an Avro body."""
    if event_format == "avro":
        return AvroFormat(entity, revision, prefix)
    return JsonFormat(entity, revision) if event_format == "json" else ValuesFormat(entity, revision)


def _unchanged(value: Any) -> Any:
    return value


def _kind(field: CanonicalField) -> FieldKind:
    assert field.kind is not None, "members and elements of lists are plain values"
    return field.kind


_JSON_ENCODERS: Final[dict[FieldKind, Callable[[Any], Any]]] = {
    FieldKind.DECIMAL: lambda number: format(number, "f"),
    FieldKind.TIMESTAMP: format_timestamp,
    FieldKind.DATE: format_date,
}
