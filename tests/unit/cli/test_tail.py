"""Canonical events as `aam tail` shows them: Avro and JSON give the same."""

import io
import json
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import fastavro
import pytest

from cli.tail import ReleasedSchemas, decode_event, one_line
from schemas.canonical_model import CanonicalEntity, FieldKind, load_entities
from schemas.failures import InvalidRecord
from schemas.schema_ids import schema_id
from schemas.wire_format import frame
from topics.avro_reader import AvroReader

NOW = datetime(2026, 11, 24, 10, 0, 0, 5, tzinfo=UTC)
VALUES: dict[FieldKind, tuple[Any, Any]] = {  # as Avro is given it, as JSON has it
    FieldKind.STRING: ("ü", "ü"),
    FieldKind.LONG: (2**60, 2**60),
    FieldKind.DOUBLE: (1.5, 1.5),
    FieldKind.BOOLEAN: (True, True),
    FieldKind.DECIMAL: (Decimal("12345678901234567890123456789.500000000"), "12345678901234567890123456789.5"),
    FieldKind.TIMESTAMP: (NOW, "2026-11-24T10:00:00.000005Z"),
    FieldKind.DATE: (date(2026, 11, 24), "2026-11-24"),
}
AAM: dict[str, Any] = {
    "event_id": "e",
    "tenant_id": "acme",
    "connection": "stripe",
    "source_system": "stripe",
    "source_entity": "customer",
    "source_id": "cus_1",
    "op": "upsert",
    "mapping_revision": 7,
    "schema_version": 1,
    "observed_at": None,
    "emitted_at": NOW,
    "confidence": 1.0,
    "provisional": [],
    "absent": [],
    "unconverted": {},
    "raw": {"topic": "aam.raw.records.v1", "partition": 1, "offset": 2},
    "custom_fields": {"x": "1"},
    "arm": None,
}


def framed(entity: CanonicalEntity, event: dict[str, Any]) -> bytes:
    body = io.BytesIO()
    fastavro.schemaless_writer(body, fastavro.parse_schema(entity.avro), event)
    return frame(schema_id(entity)) + body.getvalue()


@pytest.mark.parametrize("name", load_entities())
def test_every_entity_is_decoded_by_its_released_schema(name: str) -> None:
    entity = load_entities()[name]
    plain = [field for field in entity.fields if field.kind is not None and not field.is_list]
    given = {field.name: VALUES[field.kind][0] for field in plain if field.kind is not None}
    event = decode_event(framed(entity, given | {"aam": AAM}), AvroReader(ReleasedSchemas()))
    for field in plain:
        assert field.kind is not None
        assert event[field.name] == VALUES[field.kind][1], field.name
    assert event["aam"] == AAM | {"emitted_at": VALUES[FieldKind.TIMESTAMP][1]}


def test_an_event_in_json() -> None:
    reader = AvroReader(ReleasedSchemas())
    assert decode_event(b'{"aam": {"tenant_id": "acme"}, "n": 1.5}', reader)["n"] == 1.5
    for value in (None, b"", b"x", b"[]", b"\x00\x00\x00\x00\x00", b"\x00"):
        with pytest.raises(InvalidRecord):
            decode_event(value, reader)


def test_one_line_shows_what_is_there() -> None:
    aam = AAM | {"emitted_at": "2026-11-24T10:00:00.000005Z"}
    line = one_line({"aam": aam, "name": "Acme", "emails": [], "phone": None})
    assert line == '10:00:00 acme stripe/customer cus_1 name="Acme"'
    assert " DELETED " in one_line({"aam": aam | {"op": "delete"}})
    assert json.dumps(one_line({}))
