"""Ids stay what they are, and an edit of a released schema is found."""

import copy
import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.canonical_model import CanonicalEntity, InvalidSchema, load_entities, versions_of
from schemas.failures import Bug
from schemas.schema_ids import canonical_text, extend, fingerprint, released_schemas, schema_id, subject_of

CUSTOMER = load_entities()["customer"]


def edited(change: Callable[[dict[str, Any]], object], entity: CanonicalEntity = CUSTOMER) -> CanonicalEntity:
    avro = copy.deepcopy(entity.avro)
    change(avro)
    return CanonicalEntity.from_avro(avro)


# Ids of version 1. A line here is never changed: events with the id are on disks.
FIRST_RELEASE = {
    "account": 1001,
    "activity": 1002,
    "campaign": 1003,
    "contact": 1004,
    "conversation": 1005,
    "customer": 1006,
    "infra_metric": 1007,
    "invoice": 1008,
    "issue": 1009,
    "lead": 1010,
    "message": 1011,
    "opportunity": 1012,
    "payment": 1013,
    "product": 1014,
    "pull_request": 1015,
    "repository": 1016,
    "subscription": 1017,
    "ticket": 1018,
    "user": 1019,
    "web_metric": 1020,
}


def test_first_ids_are_for_ever() -> None:
    assert {name: schema_id(versions_of(name)[0]) for name in FIRST_RELEASE} == FIRST_RELEASE


def test_every_version_is_released_under_its_own_id() -> None:
    released = released_schemas()
    assert len(released) == sum(len(versions_of(name)) for name in load_entities())
    assert len({schema.id for schema in released}) == len(released)
    for schema in released:
        assert (schema.id, schema.subject) == (schema_id(schema.entity), subject_of(schema.entity.name))


def test_subjects_follow_the_topics() -> None:
    assert subject_of("customer") == "aam.canonical.customer.v1-value"


def test_a_new_version_gets_the_next_id() -> None:
    ledger = extend({}, [CUSTOMER, load_entities()["invoice"]])
    second = edited(lambda avro: avro.update({"aam.version": 2}))
    grown = extend(ledger, [CUSTOMER, second, load_entities()["invoice"]])
    assert grown[subject_of("customer")]["2"]["id"] == 1003
    assert {subject: versions["1"] for subject, versions in grown.items()} == {
        subject: versions["1"] for subject, versions in ledger.items()
    }


@pytest.mark.parametrize(
    "change",
    [
        lambda avro: avro.update(doc="Other words."),
        lambda avro: avro["fields"][1].update(doc="Other words."),
        lambda avro: avro["fields"][1].update({"aam.personal": "none"}),
        lambda avro: avro["fields"][1].update(type=["null", "long"]),
        lambda avro: avro["fields"].pop(),
        lambda avro: avro["fields"].append({"name": "more", "type": ["null", "long"], "default": None}),
        lambda avro: avro["fields"][0]["type"]["fields"][0].update(doc="Other words."),
    ],
    ids=["doc", "field's doc", "attribute", "type", "removed", "added", "provenance"],
)
def test_an_edit_of_a_released_version_is_refused(change: Callable[[dict[str, Any]], object]) -> None:
    ledger = extend({}, [CUSTOMER])
    with pytest.raises(Bug, match="was edited"):
        extend(ledger, [edited(change)])


def test_a_released_version_may_not_vanish() -> None:
    with pytest.raises(Bug, match="missing"):
        extend(extend({}, [CUSTOMER, load_entities()["invoice"]]), [CUSTOMER])


def respell(node: Any, order: Callable[[list[Any]], list[Any]]) -> Any:
    """The same schema, its keys in another order and primitives spelt as objects."""
    if isinstance(node, dict):
        return {key: respell(node[key], order) for key in order(list(node))}
    if isinstance(node, list):
        return [{"type": item} if item in ("null", "string", "long") else respell(item, order) for item in node]
    return node


@given(st.sampled_from(list(load_entities().values())), st.randoms(use_true_random=False))
def test_spelling_does_not_matter(entity: CanonicalEntity, random: Any) -> None:
    def shuffled(keys: list[Any]) -> list[Any]:
        return [str(key) for key in random.sample(keys, len(keys))]

    respelt = {
        **entity.avro,
        "fields": [{**field, "type": respell(field["type"], shuffled)} for field in entity.avro["fields"]],
    }
    assert json.dumps(respelt) != json.dumps(entity.avro)
    assert fingerprint(respelt) == fingerprint(entity.avro)


def test_a_namespace_is_part_of_the_name() -> None:
    apart: dict[str, Any] = {"type": "record", "name": "A", "namespace": "x.y", "fields": []}
    whole: dict[str, Any] = {"type": "record", "name": "x.y.A", "fields": []}
    assert canonical_text(apart) == canonical_text(whole) == '{"fields":[],"name":"x.y.A","type":"record"}'


def test_defaults_and_logical_types_are_content() -> None:
    def one(**field: Any) -> str:
        return fingerprint({"type": "record", "name": "A", "fields": [{"name": "b", **field}]})

    micros = {"type": "long", "logicalType": "timestamp-micros"}
    assert len({one(type="long"), one(type="long", default=0), one(type=micros)}) == 3


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.sampled_from(["record", "string", "array", "decimal", "A"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["type", "name", "fields", "items", "symbols", "size"]), inner, max_size=4)
    ),
    max_leaves=8,
)


@given(json_values)
def test_what_is_no_schema_is_refused_as_such(junk: Any) -> None:
    try:
        canonical_text(junk)
    except InvalidSchema as error:
        assert "Avro" in str(error)  # noqa: PT017
