"""Reads Confluent-framed Avro values as JSON-like dicts, with the schemas of a Schema Registry.

Hostile bytes are expected. fastavro crashes the process on some of them under a recursive schema, and a schema whose
array items take no bytes lets five bytes stand for billions of items: such schemas are refused. Sizes are bounded and
whatever fastavro raises is an InvalidRecord.
"""

import base64
import io
import math
import time
from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime
from typing import Any, Protocol

import fastavro

from schemas.failures import InvalidRecord
from schemas.wire_format import unframe
from topics.settings import KafkaSettings

MAX_BODY_BYTES = 4 * 1024 * 1024
MAX_SCHEMA_NODES = 10_000
REFUSAL_SECONDS = 60.0
MAX_REFUSED_IDS = 10_000

# What each type takes at least, in bytes; other primitives take one or more.
_FIXED_BYTES = {"null": 0, "boolean": 1, "int": 1, "long": 1, "float": 4, "double": 8, "bytes": 1, "string": 1}


class SchemaSource(Protocol):
    """Where schemas come from by id."""

    def find(self, schema_id: int) -> tuple[Any, Mapping[str, Any]]:
        """(schema as parsed JSON, schemas that it refers to by full name).

        Raises InvalidRecord for an id that nobody knows, TransientError when there is no answer.
        """


class AvroReader:
    """Callable: framed value -> dict. Keeps parsed schemas, and for `REFUSAL_SECONDS` the ids that it had to refuse.

    Timestamps come as ISO 8601 with Z and microseconds, dates and times as ISO 8601, bytes as base64, decimals as
    Decimal, non-finite numbers as "NaN", "Infinity", "-Infinity".
    """

    def __init__(self, source: SchemaSource, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._source = source
        self._clock = clock
        self._schemas: dict[int, Any] = {}
        self._refused: dict[int, tuple[float, str]] = {}

    def __call__(self, value: bytes) -> dict[str, Any]:
        """The record in `value`.

        Raises:
            InvalidRecord: not framed, an unknown or refused schema, bytes that don't fit it, or no record.
            TransientError: the registry doesn't answer.
            Misconfigured: it refuses our credentials.
        """
        schema_id, body = unframe(value)
        if len(body) > MAX_BODY_BYTES:
            raise InvalidRecord(f"Avro value is larger than {MAX_BODY_BYTES} bytes")
        schema = self._schema(schema_id)
        stream = io.BytesIO(body)
        try:
            record = _plain(fastavro.schemaless_reader(stream, schema, None))
        except Exception as error:
            raise InvalidRecord(f"Avro value does not fit schema {schema_id}: {type(error).__qualname__}") from error
        if stream.tell() != len(body):
            raise InvalidRecord(f"Avro value is longer than schema {schema_id} says")
        if not isinstance(record, dict):
            raise InvalidRecord(f"schema {schema_id} is not that of a record")
        return record

    def _schema(self, schema_id: int) -> Any:
        if schema_id in self._schemas:
            return self._schemas[schema_id]
        refused_at, reason = self._refused.get(schema_id, (-math.inf, ""))
        if self._clock() - refused_at < REFUSAL_SECONDS:
            raise InvalidRecord(reason)
        try:
            schema = parse(*self._source.find(schema_id), where=f"schema {schema_id}")
        except InvalidRecord as error:
            if len(self._refused) >= MAX_REFUSED_IDS:
                self._refused.clear()
            self._refused[schema_id] = (self._clock(), str(error))
            raise
        self._schemas[schema_id] = schema
        return schema


def make_avro_reader(settings: KafkaSettings) -> AvroReader | None:
    """The reader for SCHEMA_REGISTRY_URL; None where it isn't set. Asks nothing yet.

    Raises:
        Misconfigured: the address is none.
    """
    if not settings.schema_registry_url:
        return None
    from topics.schema_registry import RegistrySchemas, open_client  # noqa: PLC0415  # 14 MB that few need

    return AvroReader(RegistrySchemas(open_client(settings)))


def parse(schema: Any, named: Mapping[str, Any], *, where: str) -> Any:
    """`schema` ready for fastavro, safe to decode hostile bytes with. Raises InvalidRecord for any other."""
    try:
        known: dict[str, Any] = {}
        for reference in named.values():
            fastavro.parse_schema(reference, named_schemas=known)
        parsed = fastavro.parse_schema(schema, named_schemas=known)
        _Weight(known, where).measure(parsed)
    except InvalidRecord:
        raise
    except Exception as error:
        raise InvalidRecord(f"{where} is not an Avro schema that can be read: {type(error).__qualname__}") from error
    return parsed


class _Weight:
    """Walks a schema with all names resolved: refuses recursion, bombs and items of no bytes."""

    def __init__(self, named: Mapping[str, Any], where: str) -> None:
        self._named = named
        self._where = where
        self._nodes = 0
        self._open: list[str] = []

    def measure(self, schema: Any) -> int:
        """Least bytes of a value."""
        self._nodes += 1
        if self._nodes > MAX_SCHEMA_NODES:
            raise InvalidRecord(f"{self._where} has more than {MAX_SCHEMA_NODES} nodes")
        if isinstance(schema, list):
            for branch in schema:
                self.measure(branch)
            return 1
        if isinstance(schema, str):
            return _FIXED_BYTES[schema] if schema in _FIXED_BYTES else self.measure(self._named[schema])
        kind = schema["type"]
        if kind in ("record", "error"):
            return self._record(schema)
        if kind == "array" and self.measure(schema["items"]) == 0:
            raise InvalidRecord(f"{self._where} has an array whose items take no bytes")
        if kind == "map":
            self.measure(schema["values"])
        if kind in ("array", "map", "enum"):
            return 1
        return int(schema["size"]) if kind == "fixed" else self.measure(kind)

    def _record(self, schema: Mapping[str, Any]) -> int:
        name = str(schema["name"])
        if name in self._open:
            raise InvalidRecord(f"{self._where} is recursive")
        self._open.append(name)
        least = sum(self.measure(field["type"]) for field in schema["fields"])
        self._open.pop()
        return least


def _plain(value: Any) -> Any:
    """What fastavro gives as what JSON has. datetime before date: it is one."""
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_plain(item) for item in value]
    if value is None or isinstance(value, str | int):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else {math.inf: "Infinity", -math.inf: "-Infinity"}.get(value, "NaN")
    if isinstance(value, bytes):
        return base64.b64encode(value).decode("ascii")
    return _special(value)


def _special(value: Any) -> Any:
    if isinstance(value, datetime):
        text = value.isoformat(timespec="microseconds")
        return text.removesuffix("+00:00") + "Z" if value.tzinfo is UTC else text
    if isinstance(value, date) or hasattr(value, "isoformat"):
        return value.isoformat()
    return value if hasattr(value, "as_tuple") else str(value)  # Decimal stays; UUID and the like are text
