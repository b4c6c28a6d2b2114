"""Framed Avro as JSON-like dicts; schemas that make hostile bytes dangerous are refused; nothing else escapes."""

import contextlib
import io
import struct
from collections.abc import Mapping
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import fastavro
import pytest
from confluent_kafka.schema_registry import RegisteredSchema, Schema, SchemaReference
from confluent_kafka.schema_registry.error import SchemaRegistryError
from hypothesis import given
from hypothesis import strategies as st

from schemas.failures import InvalidRecord, Misconfigured, TransientError
from topics.avro_reader import MAX_BODY_BYTES, REFUSAL_SECONDS, AvroReader, make_avro_reader
from topics.schema_registry import RegistrySchemas
from topics.settings import KafkaSettings

ORDER: dict[str, Any] = {
    "type": "record",
    "name": "Order",
    "fields": [
        {"name": "id", "type": "string"},
        {"name": "total", "type": {"type": "bytes", "logicalType": "decimal", "precision": 9, "scale": 2}},
        {"name": "at", "type": ["null", {"type": "long", "logicalType": "timestamp-micros"}]},
        {"name": "day", "type": {"type": "int", "logicalType": "date"}},
        {"name": "lines", "type": {"type": "array", "items": {"type": "map", "values": ["null", "double"]}}},
        {"name": "blob", "type": "bytes"},
    ],
}
RECORD = {
    "id": "7",
    "total": Decimal("1.50"),
    "at": datetime(2026, 1, 1, tzinfo=UTC),
    "day": date(2026, 1, 2),
    "lines": [{"a": 1.5, "b": None, "c": float("nan")}],
    "blob": b"\xff",
}


class OneSchema:
    """A source that knows schema 1, and counts the questions."""

    def __init__(self, schema: Any, named: Mapping[str, Any] | None = None) -> None:
        self.schema, self.named, self.asked = schema, named or {}, 0

    def find(self, schema_id: int) -> tuple[Any, Mapping[str, Any]]:
        self.asked += 1
        if schema_id != 1:
            raise InvalidRecord("unknown")
        return self.schema, self.named


def framed(schema: Any, record: Any, schema_id: int = 1) -> bytes:
    stream = io.BytesIO()
    fastavro.schemaless_writer(stream, fastavro.parse_schema(schema), record)
    return struct.pack(">BI", 0, schema_id) + stream.getvalue()


def test_a_record_as_json_has_it() -> None:
    assert AvroReader(OneSchema(ORDER))(framed(ORDER, RECORD)) == {
        "id": "7",
        "total": Decimal("1.50"),
        "at": "2026-01-01T00:00:00.000000Z",
        "day": "2026-01-02",
        "lines": [{"a": 1.5, "b": None, "c": "NaN"}],
        "blob": "/w==",
    }


def test_schemas_are_asked_for_once_and_refusals_remembered_for_a_while() -> None:
    now, source = [0.0], OneSchema(ORDER)
    reader = AvroReader(source, clock=lambda: now[0])
    for _ in range(3):
        reader(framed(ORDER, RECORD))
        with pytest.raises(InvalidRecord, match="unknown"):
            reader(framed(ORDER, RECORD, schema_id=2))
    assert source.asked == 2
    now[0] = REFUSAL_SECONDS
    with pytest.raises(InvalidRecord):
        reader(framed(ORDER, RECORD, schema_id=2))
    assert source.asked == 3


NODE = {
    "type": "record",
    "name": "Node",
    "fields": [{"name": "next", "type": ["null", "Node"]}, {"name": "v", "type": {"type": "array", "items": "null"}}],
}


def doubling(levels: int) -> Any:
    """A record of 2**levels nulls in a few names."""
    schema: Any = {"type": "record", "name": "L0", "fields": [{"name": "x", "type": "null"}]}
    for level in range(1, levels):
        fields = [{"name": "a", "type": schema}, {"name": "b", "type": f"L{level - 1}"}]
        schema = {"type": "record", "name": f"L{level}", "fields": fields}
    return schema


@pytest.mark.parametrize(
    ("schema", "word"),
    [
        (NODE, "recursive"),
        ({"type": "array", "items": "null"}, "no bytes"),
        ({"type": "array", "items": {"type": "fixed", "name": "F", "size": 0}}, "no bytes"),
        ({"type": "array", "items": {"type": "record", "name": "R", "fields": []}}, "no bytes"),
        (doubling(40), "nodes"),
        ({"type": "nonsense"}, "not an Avro schema"),
        ([], "fit"),
        (7, "not an Avro schema"),
        ("string", "record"),
    ],
)
def test_schemas_that_are_refused(schema: Any, word: str) -> None:
    with pytest.raises(InvalidRecord, match=word):
        AvroReader(OneSchema(schema))(b"\x00\x00\x00\x00\x01\x02a")


def test_values_that_are_refused() -> None:
    reader, good = AvroReader(OneSchema(ORDER)), framed(ORDER, RECORD)
    for bad in (b"", good[:4], b"\x01" + good[1:], good[:-1], good + b"x", good + b"x" * MAX_BODY_BYTES):
        with pytest.raises(InvalidRecord):
            reader(bad)


@given(st.binary(max_size=60))
def test_hostile_bytes_are_a_record_or_an_invalid_record(body: bytes) -> None:
    with contextlib.suppress(InvalidRecord):
        assert isinstance(AvroReader(OneSchema(ORDER))(b"\x00\x00\x00\x00\x01" + body), dict)


class Registry:
    """Stands for SchemaRegistryClient."""

    def __init__(self, schema: Schema | Exception, versions: Mapping[tuple[str, int], Schema]) -> None:
        self.schema, self.versions = schema, versions

    def get_schema(self, schema_id: int) -> Schema:
        if isinstance(self.schema, Exception):
            raise self.schema
        return self.schema

    def get_version(self, subject: str, version: int) -> RegisteredSchema:
        return RegisteredSchema(
            subject=subject, version=version, schema_id=9, guid=None, schema=self.versions[subject, version]
        )


def source_of(schema: Schema | Exception, versions: Mapping[tuple[str, int], Schema] | None = None) -> RegistrySchemas:
    return RegistrySchemas(Registry(schema, versions or {}))  # type: ignore[arg-type]  # two of its methods


def test_references_are_followed_in_an_order_that_can_be_parsed() -> None:
    def record(name: str, field_type: str, *references: str) -> Schema:
        text = f'{{"type":"record","name":"{name}","fields":[{{"name":"x","type":"{field_type}"}}]}}'
        return Schema(text, "AVRO", [SchemaReference(name, name.lower(), 1) for name in references])

    source = source_of(
        record("Top", "B", "A", "B"),
        {("a", 1): record("A", "C", "C"), ("b", 1): record("B", "C", "C"), ("c", 1): record("C", "int")},
    )
    assert AvroReader(source)(b"\x00\x00\x00\x00\x01\x02") == {"x": {"x": {"x": 1}}}


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (SchemaRegistryError(404, 40403, "secret"), InvalidRecord),
        (SchemaRegistryError(401, 401, "secret"), Misconfigured),
        (SchemaRegistryError(500, 500, "secret"), TransientError),
        (OSError("refused"), TransientError),
        (Schema("{}", "PROTOBUF"), InvalidRecord),
        (Schema("{", "AVRO"), InvalidRecord),
    ],
)
def test_what_a_registry_answers(answer: Schema | Exception, error: type[Exception]) -> None:
    with pytest.raises(error) as caught:
        AvroReader(source_of(answer))(b"\x00\x00\x00\x00\x01\x02")
    assert "secret" not in str(caught.value)


def test_the_reader_follows_the_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SCHEMA_REGISTRY_URL", raising=False)
    assert make_avro_reader(KafkaSettings()) is None
    monkeypatch.setenv("SCHEMA_REGISTRY_URL", "http://127.0.0.1:1")
    monkeypatch.setenv("AAM_SCHEMA_REGISTRY_USERNAME", "aam")
    assert make_avro_reader(KafkaSettings()) is not None
    monkeypatch.setenv("SCHEMA_REGISTRY_URL", "ftp://x")
    with pytest.raises(Misconfigured, match="SCHEMA_REGISTRY_URL"):
        make_avro_reader(KafkaSettings())
