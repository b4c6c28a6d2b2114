"""Derived models take what Avro gives and what JSON gives, and lose nothing on the way."""

import io
import json
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any

import fastavro
import pytest
from pydantic import ValidationError

from schemas.canonical_model import CanonicalEntity, CanonicalField, FieldKind, load_entities
from schemas.event_models import event_model, model_from

AT = datetime(2026, 11, 24, 9, 30, tzinfo=UTC)


def make_event(**fields: Any) -> dict[str, Any]:
    aam = {
        "event_id": "e1",
        "tenant_id": "t1",
        "connection": "shop",
        "source_system": "shop",
        "source_entity": "customers",
        "source_id": "17",
        "op": "upsert",
        "mapping_revision": 3,
        "schema_version": 1,
        "emitted_at": AT,
        "confidence": 1.0,
        "raw": {"topic": "aam.raw.records.v1", "partition": 0, "offset": 5},
    }
    return {"aam": aam, **fields}


SAMPLES: dict[FieldKind, Any] = {
    FieldKind.STRING: "ß",
    FieldKind.LONG: 2**62,
    FieldKind.DOUBLE: 0.1,
    FieldKind.BOOLEAN: True,
    FieldKind.DECIMAL: Decimal("-12345678901234567890.123456789"),
    FieldKind.TIMESTAMP: AT,
    FieldKind.DATE: date(2026, 11, 24),
}


def sample_of(field: CanonicalField) -> Any:
    if field.kind is None:
        return [{member.name: sample_of(member) for member in field.members}, {}]
    return [SAMPLES[field.kind]] if field.is_list else SAMPLES[field.kind]


@pytest.mark.parametrize("entity", load_entities().values(), ids=lambda e: e.name)
@pytest.mark.parametrize("full", [True, False])
def test_avro_to_model_to_json_and_back(entity: CanonicalEntity, full: bool) -> None:
    event = make_event(**{field.name: sample_of(field) for field in entity.fields if full})
    encoded = io.BytesIO()
    fastavro.schemaless_writer(encoded, entity.avro, event)
    encoded.seek(0)
    decoded: Any = fastavro.schemaless_reader(encoded, entity.avro, None)
    model = event_model(entity.name)
    read = model.model_validate(decoded, extra="forbid")
    assert read.model_dump() == decoded
    assert model.model_validate_json(read.model_dump_json(), extra="forbid") == read


def test_json_form() -> None:
    event = event_model("invoice").model_validate(
        make_event(
            total=Decimal("12.500000000"),
            issue_date=date(2026, 1, 2),
            created_at=datetime(2026, 1, 2, 3, 4, 5, 6, tzinfo=timezone(timedelta(hours=1))),
            line_items=[{"quantity": "2", "unit_price": "6.25"}],
        )
    )
    assert event.model_dump()["created_at"].tzinfo is UTC
    written = json.loads(event.model_dump_json())
    assert written["total"] == "12.500000000"
    assert written["issue_date"] == "2026-01-02"
    assert written["created_at"] == "2026-01-02T02:04:05.000006Z"
    assert written["aam"]["emitted_at"] == "2026-11-24T09:30:00.000000Z"
    assert written["line_items"][0]["unit_price"] == "6.25"
    assert written["balance"] is None
    assert written["aam"]["custom_fields"] == {}


def test_fields_of_later_versions_are_ignored_unless_forbidden() -> None:
    event = make_event(brand_new=1)
    assert event_model("customer").model_validate(event)
    with pytest.raises(ValidationError, match="brand_new"):
        event_model("customer").model_validate(event, extra="forbid")


@pytest.mark.parametrize(
    "wrong", [{"created_at": datetime(2026, 1, 1)}, {"emails": None}, {"balance": "much"}, {"display_name": 3}]
)
def test_wrong_values_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        event_model("customer").model_validate(make_event(**wrong))


def test_defaults_are_not_shared() -> None:
    first, second = (event_model("customer").model_validate(make_event()) for _ in range(2))
    assert first.model_dump()["emails"] == []
    assert first.emails is not second.emails  # type: ignore[attr-defined]  # derived at run time


def test_models_are_made_once() -> None:
    assert event_model("user") is event_model("user", 1)
    with pytest.raises(KeyError):
        event_model("user", 99)
    with pytest.raises(KeyError):
        event_model("nobody")


def test_entities_that_are_not_shipped_have_models_too() -> None:
    schema = {
        "type": "record",
        "name": "Thing",
        "fields": [
            {"name": "aam", "type": "io.aam.canonical.Provenance"},
            {"name": "size", "type": ["null", "double"], "default": None},
        ],
    }
    model = model_from(CanonicalEntity.from_avro(schema))
    assert model.model_validate(make_event(size=1.5)).model_dump()["size"] == 1.5
