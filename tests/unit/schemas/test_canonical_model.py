"""The shipped entities keep to the vocabulary of docs/adr/0002, and what is outside of it is refused."""

import json
from pathlib import Path
from typing import Any

import fastavro
import pytest
from hypothesis import given
from hypothesis import strategies as st

import schemas.canonical_model
from schemas.canonical_model import (
    PROVENANCE,
    CanonicalEntity,
    CanonicalField,
    FieldKind,
    InvalidSchema,
    load_entities,
    read_versions,
    versions_of,
)
from schemas.failures import Bug

ENTITIES = list(load_entities().values())
FOLDER = Path(schemas.canonical_model.__file__).parent / "canonical"
COMMON = ["source_url", "created_at", "updated_at", "deleted"]
AAM = {"name": "aam", "type": PROVENANCE}
EXPECTED = {
    *("account", "contact", "lead", "opportunity", "activity", "customer", "subscription", "invoice", "payment"),
    *("product", "ticket", "conversation", "message", "campaign", "web_metric", "infra_metric", "repository"),
    *("issue", "pull_request", "user"),
}

each_entity = pytest.mark.parametrize("entity", ENTITIES, ids=lambda e: e.name)


def make_entity(*fields: dict[str, Any]) -> CanonicalEntity:
    return CanonicalEntity.from_avro(
        {"type": "record", "name": "Thing", "namespace": "io.aam.canonical", "fields": [AAM, *fields]}
    )


def test_all_entities_are_there() -> None:
    assert set(load_entities()) == EXPECTED


def test_current_version_is_the_highest() -> None:
    for name, entity in load_entities().items():
        assert [version.version for version in versions_of(name)] == list(range(1, entity.version + 1))


def write_version(folder: Path, file: str, version: int) -> None:
    schema = {"type": "record", "name": "TestThing", "aam.version": version, "fields": [AAM]}
    (folder / file).write_text(json.dumps(schema))


def test_versions_are_ordered_by_number(tmp_path: Path) -> None:
    for version in (10, 1, 2):
        write_version(tmp_path, f"test_thing.v{version}.avsc", version)
    assert [entity.version for entity in read_versions(tmp_path)["test_thing"]] == [1, 2, 10]


@pytest.mark.parametrize("file", ["test_thing.v2.avsc", "other.v1.avsc", "test_thing.avsc", "test_thing.v01.avsc"])
def test_a_file_holds_what_its_name_says(tmp_path: Path, file: str) -> None:
    write_version(tmp_path, file, 1)
    with pytest.raises(Bug):
        read_versions(tmp_path)


@each_entity
def test_fastavro_accepts_the_schema(entity: CanonicalEntity) -> None:
    parsed: Any = fastavro.parse_schema(entity.avro)
    assert parsed["name"].startswith("io.aam.canonical.")
    assert parsed["fields"][0]["type"]["name"] == PROVENANCE


@each_entity
def test_aam_block_has_the_contracted_order(entity: CanonicalEntity) -> None:
    names = [field["name"] for field in entity.avro["fields"][0]["type"]["fields"]]
    assert names == [
        *("event_id", "tenant_id", "connection", "source_system", "source_entity", "source_id", "op"),
        *("mapping_revision", "schema_version", "observed_at", "emitted_at", "confidence", "provisional"),
        *("absent", "unconverted", "raw", "custom_fields", "arm"),
    ]


@each_entity
def test_every_entity_ends_with_the_common_fields(entity: CanonicalEntity) -> None:
    assert [field.name for field in entity.fields[-4:]] == COMMON


@each_entity
def test_every_target_is_documented(entity: CanonicalEntity) -> None:
    for path, field in [*entity.targets(), *((f.name, f) for f in entity.fields)]:
        assert field.doc.endswith("."), path
        assert 2 <= len(set(field.synonyms)) == len(field.synonyms) <= 6, path
        assert field.name not in field.synonyms, path


@each_entity
def test_values_are_told_to_people_too(entity: CanonicalEntity) -> None:
    for path, field in entity.targets():
        if field.values:
            assert field.kind is FieldKind.STRING, path
            assert f"One of: {', '.join(field.values)}." in field.doc


@each_entity
def test_amounts_stand_beside_their_currency(entity: CanonicalEntity) -> None:
    amounts = [path for path, field in entity.targets() if field.unit == "major units of `currency`"]
    assert all(field.kind is FieldKind.DECIMAL for path, field in entity.targets() if path in amounts)
    if amounts:
        assert entity.field("currency").unit == "ISO 4217"


@each_entity
def test_names_tell_times_from_dates(entity: CanonicalEntity) -> None:
    for path, field in entity.targets():
        assert (field.kind is FieldKind.TIMESTAMP) == path.endswith(
            ("_at", "period_start", "period_end", "trial_end")
        ), path
        assert (field.kind is FieldKind.DATE) == (path == "date" or path.endswith(("_date", "_on"))), path


def test_a_record_name_means_one_thing() -> None:
    definitions: dict[str, set[str]] = {}
    for entity in ENTITIES:
        for field in entity.avro["fields"]:
            items = field["type"].get("items") if isinstance(field["type"], dict) else None
            if isinstance(items, dict):
                definitions.setdefault(items["name"], set()).add(json.dumps(items))
    assert definitions.keys() >= {"Address", "LineItem", "Attachment"}
    assert all(len(found) == 1 for found in definitions.values())


def test_contact_details_are_marked_as_personal() -> None:
    for entity in ENTITIES:
        for path, field in entity.targets():
            if field.name in {"emails", "email", "phones", "street", "postal_code"}:
                assert field.personal == "contact", (entity.name, path)


def test_records_used_twice_have_members_both_times() -> None:
    metric = load_entities()["infra_metric"]
    assert [member.name for member in metric.field("resource").members] == ["name", "value"]
    assert metric.field("attributes").members == metric.field("resource").members


def test_targets_are_the_paths_of_mappings() -> None:
    targets = dict(load_entities()["customer"].targets())
    assert {"display_name", "emails", "addresses[].city"} <= targets.keys()
    assert "addresses" not in targets
    assert targets["emails"].is_list
    assert targets["balance"].kind is FieldKind.DECIMAL


def test_unknown_names_are_key_errors() -> None:
    with pytest.raises(KeyError):
        load_entities()["customer"].field("nope")
    with pytest.raises(KeyError):
        versions_of("nope")


@pytest.mark.parametrize(
    "field",
    [
        {"name": "a", "type": "string"},
        {"name": "a", "type": ["null", "string"]},
        {"name": "a", "type": ["string", "null"], "default": "x"},
        {"name": "a", "type": ["null", "float"], "default": None},
        {"name": "a", "type": ["null", "string"], "default": None, "aam.personal": "secret"},
        {"name": "a", "type": {"type": "array", "items": "long"}, "default": []},
        {"name": "a", "type": {"type": "array", "items": "string"}},
        {"name": "a", "type": {"type": "map", "values": "string"}, "default": {}},
        {
            "name": "a",
            "type": ["null", {"type": "bytes", "logicalType": "decimal", "precision": 10, "scale": 2}],
            "default": None,
        },
        {
            "name": "a",
            "type": {
                "type": "array",
                "items": {
                    "type": "record",
                    "name": "R",
                    "fields": [{"name": "b", "type": {"type": "array", "items": "string"}, "default": []}],
                },
            },
            "default": [],
        },
        {"name": "a", "type": ["null", "Nowhere"], "default": None},
    ],
)
def test_what_is_outside_of_the_vocabulary_is_refused(field: dict[str, Any]) -> None:
    with pytest.raises(InvalidSchema):
        make_entity(field)


def test_aam_must_come_first() -> None:
    field = {"name": "a", "type": ["null", "string"], "default": None}
    with pytest.raises(InvalidSchema, match="`aam`"):
        CanonicalEntity.from_avro({"type": "record", "name": "Thing", "fields": [field, AAM]})


AVRO_TYPES: dict[FieldKind, Any] = {
    FieldKind.STRING: "string",
    FieldKind.LONG: "long",
    FieldKind.DOUBLE: "double",
    FieldKind.BOOLEAN: "boolean",
    FieldKind.DECIMAL: {"type": "bytes", "logicalType": "decimal", "precision": 38, "scale": 9},
    FieldKind.TIMESTAMP: {"type": "long", "logicalType": "timestamp-micros"},
    FieldKind.DATE: {"type": "int", "logicalType": "date"},
}
names = st.from_regex(r"[a-z][a-z0-9_]{0,12}", fullmatch=True).filter(lambda name: name != "aam")
scalars = st.builds(CanonicalField, name=names, kind=st.sampled_from(list(FieldKind)), doc=st.text(max_size=5))
strings = st.builds(CanonicalField, name=names, kind=st.just(FieldKind.STRING), is_list=st.just(True))
records = st.builds(
    CanonicalField,
    name=names,
    kind=st.none(),
    is_list=st.just(True),
    members=st.lists(scalars, min_size=1, max_size=3, unique_by=lambda f: f.name).map(tuple),
)


def to_avro(field: CanonicalField) -> dict[str, Any]:
    declared: Any
    default: list[Any]
    if field.members:
        record = {"type": "record", "name": f"R_{field.name}", "fields": [to_avro(member) for member in field.members]}
        declared, default = {"type": "array", "items": record}, []
    elif field.is_list:
        declared, default = {"type": "array", "items": "string"}, []
    else:
        assert field.kind is not None
        return {"name": field.name, "type": ["null", AVRO_TYPES[field.kind]], "default": None, "doc": field.doc}
    return {"name": field.name, "type": declared, "default": default, "doc": field.doc}


@given(st.lists(st.one_of(scalars, strings, records), max_size=6, unique_by=lambda f: f.name))
def test_any_schema_of_the_vocabulary_is_read(fields: list[CanonicalField]) -> None:
    entity = make_entity(*map(to_avro, fields))
    assert entity.fields == tuple(fields)
    assert (entity.name, entity.version) == ("thing", 1)
