"""New versions of an entity read all older data (BACKWARD_TRANSITIVE), by the Avro project's own checker.

Avro doesn't look at logical types, and reads bytes as string: so here a field also keeps its kind for ever.
"""

import copy
import itertools
import json
from typing import Any

import avro.schema
import pytest
from avro.compatibility import ReaderWriterCompatibilityChecker, SchemaCompatibilityType

from schemas.canonical_model import CanonicalEntity, load_entities, versions_of


def reads(reader: dict[str, Any], writer: dict[str, Any]) -> bool:
    checker = ReaderWriterCompatibilityChecker()  # type: ignore[no-untyped-call]  # as avro has it
    result = checker.get_compatibility(avro.schema.parse(json.dumps(reader)), avro.schema.parse(json.dumps(writer)))
    return result.compatibility is SchemaCompatibilityType.compatible


def keeps_kinds(newer: CanonicalEntity, older: CanonicalEntity) -> bool:
    kinds, before = ({path: (f.kind, f.is_list) for path, f in e.targets()} for e in (newer, older))
    return all(kinds[path] == before[path] for path in kinds.keys() & before.keys())


@pytest.mark.parametrize("entity", load_entities())
def test_new_versions_read_all_older_data(entity: str) -> None:
    # a version paired with itself as well: what it writes it must read
    for older, newer in itertools.combinations_with_replacement(versions_of(entity), 2):
        assert reads(newer.avro, older.avro), f"{entity}: version {newer.version} can't read version {older.version}"
        assert keeps_kinds(newer, older), f"{entity}: version {newer.version} changes a kind of version {older.version}"


def changed(**field: Any) -> dict[str, Any]:
    schema = copy.deepcopy(load_entities()["customer"].avro)
    by_name = {known["name"]: known for known in schema["fields"]}
    by_name.setdefault(field["name"], {}).update(field)
    return {**schema, "fields": list(by_name.values())}


def test_a_nullable_field_may_be_added() -> None:
    assert reads(changed(name="nickname", type=["null", "string"], default=None), load_entities()["customer"].avro)


@pytest.mark.parametrize(
    "field",
    [
        {"name": "nickname", "type": "string"},
        {"name": "balance", "type": ["null", "boolean"]},
        {"name": "emails", "type": ["null", "string"]},
        {"name": "currency", "type": "string"},
    ],
    ids=["added without default", "type changed", "list became one", "null no longer allowed"],
)
def test_the_checker_catches_a_break(field: dict[str, Any]) -> None:
    assert not reads(changed(**field), load_entities()["customer"].avro)


@pytest.mark.parametrize(
    "field",
    [
        {"name": "balance", "type": ["null", "string"]},
        {"name": "created_at", "type": ["null", "long"]},
    ],
    ids=["decimal became string", "timestamp became long"],
)
def test_changes_that_avro_allows_are_caught_too(field: dict[str, Any]) -> None:
    customer = load_entities()["customer"]
    assert reads(changed(**field), customer.avro)
    assert keeps_kinds(customer, customer)
    assert not keeps_kinds(CanonicalEntity.from_avro(changed(**field)), customer)
