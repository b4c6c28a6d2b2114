"""Which step fits, and where none is sure."""

from typing import Any

import pytest

from mapping.mapping_set import Mapping, MappingSet, Transform
from mapping.plan import validate_set
from mapping.suggest_transform import Source, fits, suggest_transform
from schemas.canonical_model import load_entities
from schemas.messages import FieldProfile

ENTITIES = load_entities()


def source(path: str, *types: str, shapes: tuple[str, ...] = (), **profile: Any) -> Source:
    return Source(path, frozenset(types), FieldProfile(**profile), shapes)


@pytest.mark.parametrize(
    ("found", "entity", "field", "op"),
    [
        (source("n", "string"), "customer", "display_name", "copy"),
        (source("n", "integer"), "customer", "account_id", "to_string"),
        (source("n", "string", "integer"), "customer", "account_id", "to_string"),
        (source("n", "number"), "customer", "display_name", None),
        (source("n", "boolean"), "customer", "display_name", None),
        (source("n", "string"), "customer", "emails", "copy"),
        (source("n[]", "string"), "customer", "emails", "copy"),
        (source("n[]", "string"), "customer", "display_name", None),
        (source("n[].c", "string"), "customer", "addresses[].city", "copy"),
        (source("n", "string"), "customer", "currency", "upper"),
        (source("n", "integer"), "customer", "currency", None),
        (source("n", "integer", whole=True), "customer", "balance", None),
        (source("n", "number", whole=False), "customer", "balance", "copy"),
        (source("n", "integer", "number", whole=False), "customer", "balance", "copy"),
        (source("n", "string", format="number", shapes=("99.99",)), "customer", "balance", "number"),
        (source("n", "string", format="number", shapes=("9999",)), "customer", "balance", None),
        (source("n", "integer", format="epoch-seconds"), "customer", "created_at", "epoch_seconds"),
        (source("n", "string", format="epoch-millis"), "customer", "created_at", "epoch_millis"),
        (source("n", "string", format="date-time"), "customer", "created_at", "iso_time"),
        (source("n", "integer", format="unix-time"), "customer", "created_at", "epoch_seconds"),
        (source("n", "integer"), "customer", "created_at", None),
        (source("n", "boolean"), "customer", "deleted", "copy"),
        (source("n", "string", format="boolean"), "customer", "deleted", "boolean"),
        (source("n", "integer"), "customer", "deleted", None),
        (source("n"), "customer", "display_name", None),
        (source("n", "object"), "customer", "display_name", None),
        (source("n", "string", format="date"), "invoice", "due_date", "iso_date"),
        (source("n", "string", format="date-time"), "invoice", "due_date", "iso_date"),
        (source("n", "integer", format="epoch-seconds"), "invoice", "due_date", "epoch_seconds"),
        (source("n", "integer", format="date-time"), "invoice", "due_date", None),
        (source("n", "string"), "invoice", "due_date", None),
        (source("n", "string"), "invoice", "status", None),
        (source("n", "string", enum=("Draft", "paid")), "invoice", "status", "enum"),
        (source("n", "string", enum=("Draft", "strange")), "invoice", "status", None),
        (source("n", "string", enum=("PartiallyPaid", "VOID")), "invoice", "status", "enum"),
    ],
)
def test_suggestions(found: Source, entity: str, field: str, op: str | None) -> None:
    suggestion = suggest_transform(found, field, dict(ENTITIES[entity].targets())[field])
    if op is None:
        assert suggestion.transform is None
        assert suggestion.note
        return
    assert suggestion.transform is not None
    assert suggestion.transform.op == op
    mapping = Mapping(
        canonical_entity=entity, canonical_field=field, source_field=found.path, transform=suggestion.transform
    )
    validate_set(MappingSet(connector="c", entity="e", epoch=0, revision=0, mappings=(mapping,)), ENTITIES)


def test_words_are_told_apart_by_neither_case_nor_separators() -> None:
    target = dict(ENTITIES["subscription"].targets())["status"]
    found = suggest_transform(source("n", "string", enum=("Cancelled", "past-due")), "status", target)
    assert found.transform is not None
    words = found.transform.params["values"]
    assert (words["Cancelled"], words["past-due"]) == ("canceled", "past_due")
    assert words["trialing"] == "trialing", "a word of the model that no record had yet"


def test_whatever_is_suggested_compiles() -> None:
    types = [("string",), ("integer",), ("number",), ("boolean",), ("string", "integer"), ("integer", "number")]
    formats = [None, "number", "date", "date-time", "epoch-seconds", "epoch-millis", "boolean", "email"]
    for entity in ENTITIES.values():
        for name, field in entity.targets():
            for kinds in types:
                for form in formats:
                    found = suggest_transform(source("n", *kinds, format=form), name, field).transform
                    if found is None:
                        continue
                    assert fits(found, field) or found.op == "enum", (entity.name, name, found)


def test_fits() -> None:
    created = ENTITIES["customer"].field("created_at")
    assert fits(Transform(op="iso_time"), created)
    assert not fits(Transform(op="copy"), created)
    assert not fits(Transform(op="exec"), created)
    assert not fits(Transform(op="first"), ENTITIES["customer"].field("emails"))
