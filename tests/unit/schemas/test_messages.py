"""Control messages on the wire, and the fingerprint of a source's schema."""

from datetime import UTC, datetime
from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from schemas.messages import (
    FieldEvidence,
    FieldProfile,
    JsonType,
    MappingProposal,
    Message,
    NovelField,
    ProposedEntity,
    ProposedTarget,
    RawCoordinates,
    RegistryEvent,
    SchemaChange,
    SourceField,
    SourceSchema,
    TransformWords,
    UnresolvedFields,
)

AT = datetime(2026, 11, 24, 9, 30, tzinfo=UTC)
WHERE: dict[str, Any] = {"tenant": "t1", "connector": "shop", "entity": "orders", "connection": "shop"}
NOVEL = NovelField(
    **WHERE,
    path="customer.email",
    types=("string", "null", "string"),
    shapes=("aa@aa.aa",),
    first_seen=RawCoordinates(topic="aam.raw.records.v1", partition=2, offset=9),
    reason="unmapped",
    announced_at=AT,
)
CHANGE = SchemaChange(
    **WHERE,
    source="openapi",
    fields=(SourceField(path="id", types=("string",)), SourceField(path="age", types=("integer",), nullable=True)),
    primary_key=("id",),
    observed_at=AT,
)
EVENT = RegistryEvent(
    kind="mapping_set_published", epoch=1, revision=7, tenant="*", connector="shop", entity="orders", at=AT
)


EVIDENCE = FieldEvidence(
    path="mail",
    types=("string",),
    shapes=("aa@aa.aa",),
    profile=FieldProfile(records=3, present=2, lengths=(8, 20), distinct_ratio=1.0, format="email"),
    candidates=(ProposedTarget(field="emails", probability=0.9, signals={"name": 0.8}, transform=TransformWords()),),
    nothing=0.05,
)
UNRESOLVED = UnresolvedFields(**WHERE, canonical_entity="customer", fields=(EVIDENCE,), model="1", at=AT)
PROPOSAL = MappingProposal(
    **WHERE,
    canonical_entity=None,
    entities=(ProposedEntity(entity="customer", probability=0.7), ProposedEntity(entity=None, probability=0.3)),
    method="rag",
    at=AT,
)


@pytest.mark.parametrize("message", [NOVEL, CHANGE, EVENT, UNRESOLVED, PROPOSAL], ids=lambda m: type(m).__name__)
def test_round_trip(message: Message) -> None:
    assert type(message).model_validate_json(message.model_dump_json()) == message


def test_readers_ignore_what_they_do_not_know() -> None:
    text = EVENT.model_dump_json().replace("{", '{"new": 1, ', 1)
    assert RegistryEvent.model_validate_json(text) == EVENT


def test_messages_are_frozen() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        EVENT.revision = 8  # type: ignore[misc]  # that is the point


def test_json_of_a_novel_field() -> None:
    written = NOVEL.model_dump(mode="json")
    assert written["types"] == ["null", "string"]
    assert written["announced_at"] == "2026-11-24T09:30:00.000000Z"
    assert written["first_seen"] == {"topic": "aam.raw.records.v1", "partition": 2, "offset": 9}


def test_only_an_unknown_source_comes_without_a_path() -> None:
    assert NovelField(**WHERE, reason="unknown_source", announced_at=AT).path is None
    with pytest.raises(ValidationError, match="without a path"):
        NovelField(**WHERE, reason="unmapped", announced_at=AT)


def test_fields_are_proposed_for_an_entity_only() -> None:
    with pytest.raises(ValidationError, match="for a canonical entity"):
        MappingProposal.model_validate(PROPOSAL.model_dump() | {"fields": [EVIDENCE.model_dump()]})


@pytest.mark.parametrize(
    "wrong",
    [
        {"tenant": ""},
        {"path": ""},
        {"reason": "because"},
        {"types": ("text",)},
        {"announced_at": "2026-11-24T09:30:00"},
    ],
)
def test_wrong_novel_fields_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        NovelField.model_validate({**NOVEL.model_dump(), **wrong})


def test_null_among_the_types_means_nullable() -> None:
    field = SourceField.model_validate({"path": "a", "types": ["string", "null"]})
    assert (field.types, field.nullable) == (("string",), True)
    assert field == SourceField.model_validate_json('{"path": "a", "types": ["null", "string"]}')


def test_a_path_stands_once_in_a_schema() -> None:
    twice = [{"path": "a"}, {"path": "a", "types": ["string"]}]
    with pytest.raises(ValidationError, match="twice"):
        SourceSchema.model_validate({"fields": twice})
    with pytest.raises(ValidationError, match="twice"):
        SchemaChange.model_validate({**CHANGE.model_dump(), "fields": twice})


def test_golden_fingerprint() -> None:
    # it is stored beside observed schemas: another value makes every source look changed
    assert CHANGE.source_schema().fingerprint == "c9079d3a0935aa6233d1e885d64e3162d5c7a275930bdc660b0c9d4e242f07b1"


json_types = st.lists(st.sampled_from(get_args(JsonType)), max_size=4)
source_fields = st.fixed_dictionaries(
    {"path": st.text(min_size=1, max_size=4), "types": json_types, "nullable": st.booleans()},
    optional={
        "format": st.none() | st.text(max_size=3),
        "enum": st.lists(st.text(max_size=2), max_size=3),
        "description": st.text(max_size=3),
    },
)
field_lists = st.lists(source_fields, max_size=5, unique_by=lambda field: field["path"])


@given(field_lists, st.randoms(use_true_random=False))
def test_order_does_not_change_the_fingerprint(fields: list[dict[str, Any]], random: Any) -> None:
    def shuffled(entries: list[Any]) -> list[Any]:
        return list(random.sample(entries, len(entries)))

    other = [
        {key: shuffled(value) if isinstance(value, list) else value for key, value in field.items()}
        for field in shuffled(fields)
    ]
    schema, same = (SourceSchema.model_validate({"fields": version}) for version in (fields, other))
    assert schema == same
    assert schema.fingerprint == same.fingerprint


@given(field_lists, field_lists)
def test_other_content_has_another_fingerprint(left: list[dict[str, Any]], right: list[dict[str, Any]]) -> None:
    def undescribed(fields: list[dict[str, Any]]) -> SourceSchema:
        return SourceSchema.model_validate({"fields": [{**field, "description": None} for field in fields]})

    same = undescribed(left) == undescribed(right)
    fingerprints = {SourceSchema.model_validate({"fields": fields}).fingerprint for fields in (left, right)}
    assert (len(fingerprints) == 1) == same


@pytest.mark.parametrize(
    "change", [{"path": "b"}, {"types": ["integer"]}, {"nullable": True}, {"format": "date"}, {"enum": ["x"]}]
)
def test_each_property_counts(change: dict[str, Any]) -> None:
    base = {"path": "a", "types": ["string"]}
    versions = [SourceSchema.model_validate({"fields": [field]}) for field in (base, {**base, **change})]
    assert versions[0].fingerprint != versions[1].fingerprint


def test_words_do_not_count_but_the_key_does() -> None:
    plain = SourceSchema.model_validate({"fields": [{"path": "a"}]})
    described = SourceSchema.model_validate({"fields": [{"path": "a", "description": "The a."}]})
    keyed = SourceSchema.model_validate({"fields": [{"path": "a"}], "primary_key": ["a"]})
    assert plain.fingerprint == described.fingerprint != keyed.fingerprint
