"""Lookups where a subject has more than one version: the shipped schemas may not show that yet."""

import json
from dataclasses import replace

import pytest

from gateway.schema_directory import RegistryError, SchemaDirectory
from schemas.canonical_model import CanonicalEntity, load_entities
from schemas.schema_ids import ReleasedSchema, fingerprint, subject_of

CUSTOMER = load_entities()["customer"]
SUBJECT = subject_of("customer")


def make_released(schema_id: int, version: int, doc: str) -> ReleasedSchema:
    entity = CanonicalEntity.from_avro({**CUSTOMER.avro, "aam.version": version, "doc": doc})
    return ReleasedSchema(subject=SUBJECT, id=schema_id, fingerprint=fingerprint(entity.avro), entity=entity)


# version 10: by text it would stand before 2
FIRST, SECOND, TENTH = make_released(1, 1, "One."), make_released(7, 2, "Two."), make_released(9, 10, "Ten.")
DIRECTORY = SchemaDirectory([TENTH, FIRST, SECOND])


def test_versions_are_in_order_of_number() -> None:
    assert list(DIRECTORY.versions(SUBJECT)) == [1, 2, 10]
    assert DIRECTORY.version(SUBJECT, "latest") == DIRECTORY.version(SUBJECT, "-1") == TENTH


def test_each_version_is_found_by_number_id_and_content() -> None:
    for schema in (FIRST, SECOND, TENTH):
        assert DIRECTORY.version(SUBJECT, str(schema.version)) == schema
        assert DIRECTORY.by_id(schema.id) == schema
        assert DIRECTORY.find(SUBJECT, json.dumps(schema.entity.avro)) == schema


def test_of_equal_versions_the_newest_is_found() -> None:
    twin = replace(FIRST, id=8, entity=SECOND.entity)
    assert SchemaDirectory([FIRST, twin]).find(SUBJECT, json.dumps(FIRST.entity.avro)) == twin


def test_errors_carry_status_and_code() -> None:
    with pytest.raises(RegistryError, match="Version 3 not found") as caught:
        DIRECTORY.version(SUBJECT, "3")
    assert (caught.value.status, caught.value.code) == (404, 40402)
