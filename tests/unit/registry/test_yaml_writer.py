"""What is written is read back as it was."""

import json
from collections.abc import Callable
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from mapping.mapping_set import Mapping, MappingSet, Transform
from mapping.path import Path
from registry.yaml_document import read_document
from registry.yaml_mappings import read_mappings
from registry.yaml_writer import write_mappings
from schemas.canonical_model import FieldKind, load_entities

TARGETS = [
    (entity.name, path, field)
    for entity in load_entities().values()
    for path, field in entity.targets()
    if "[]" not in path and not field.is_list
]
KINDS = {(entity, path): field.kind for entity, path, field in TARGETS}

# texts that YAML, in one version or another, takes for something else; no surrogates, which UTF-8 can't hold
odd = st.sampled_from(
    [
        "no",
        "On",
        "~",
        "null",
        "1",
        "0x1",
        "1e3",
        "1:30",
        "2020-01-01",
        "- a",
        "a: b",
        "#",
        "<<",
        "?",
        "é ",
        "\u2028",
        "\x85",
        "a\n b",
    ]
)
texts = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=20) | odd
paths = st.lists(texts, min_size=1, max_size=3).map(lambda steps: str(Path(tuple(steps))))
json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**20), 10**20)
    | st.floats(allow_nan=False, allow_infinity=False)
    | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=6,
)


@st.composite
def mappings(draw: Callable[..., Any], entity: str, field: str) -> Mapping:
    kind = KINDS[entity, field]
    ops = {
        FieldKind.STRING: ["copy", "upper", "enum", "constant"],
        FieldKind.TIMESTAMP: ["iso_time", "epoch_seconds"],
        FieldKind.DATE: ["iso_date"],
        FieldKind.DECIMAL: ["number", "scale", "minor_units"],
    }
    assert kind is not None
    op = draw(st.sampled_from(ops.get(kind, ["copy"])))
    params = {
        "enum": {"values": draw(st.dictionaries(texts, texts, min_size=1, max_size=3))},
        "constant": {"value": draw(texts)},
        "scale": {"factor": draw(st.sampled_from([0.01, 1000, "0.001"]))},
    }.get(op, {})
    chain = [None] if op == "constant" else draw(st.lists(paths, min_size=1, max_size=3, unique=True))
    return Mapping(
        canonical_entity=entity,
        canonical_field=field,
        source_field=chain[0],
        fallbacks=tuple(chain[1:]),
        transform=Transform(op=op, inputs=(draw(paths),) if op == "minor_units" else (), params=params),
        confidence=draw(st.floats(0, 1)),
        status=draw(st.sampled_from(["active", "provisional"])),
    )


@st.composite
def mapping_sets(draw: Callable[..., Any]) -> list[MappingSet]:
    names = draw(st.lists(texts, max_size=3, unique=True))
    connector, tenant = draw(texts), draw(st.just("*") | texts)
    sets = []
    for name in names:
        chosen = draw(st.lists(st.sampled_from(TARGETS), max_size=6, unique_by=lambda target: target[:2]))
        sets.append(
            MappingSet(
                tenant=tenant,
                connector=connector,
                entity=name,
                epoch=0,
                revision=0,
                primary_key=draw(st.lists(paths, max_size=2)),
                ignored=draw(st.lists(paths, max_size=3)),
                mappings=tuple(draw(mappings(entity, field)) for entity, field, _ in chosen),
            )
        )
    return sets or [MappingSet(tenant=tenant, connector=connector, entity="x", epoch=0, revision=0)]


def as_set(one: MappingSet) -> tuple[Any, ...]:
    return (*one.key, one.primary_key, one.ignored, {m.target: m for m in one.mappings})


@settings(max_examples=30, deadline=None)
@given(mapping_sets())
def test_sets_come_back_from_their_file(sets: list[MappingSet]) -> None:
    text = write_mappings(sets[0].connector, sets[0].tenant, sets)
    read = read_mappings(text)
    assert read.refused == ()
    assert sorted(map(as_set, read.sets), key=str) == sorted(map(as_set, sets), key=str)
    assert write_mappings(read.connector, read.tenant, read.sets) == text


@settings(max_examples=30, deadline=None)
@given(json_values)
def test_parameters_come_back_from_their_file(value: Any) -> None:
    mapping = Mapping(
        canonical_entity="account",
        canonical_field="name",
        source_field="Name",
        transform=Transform(op="enum", params={"values": value, "otherwise": [value]}),
    )
    text = write_mappings("x", "*", [MappingSet(connector="x", entity="y", epoch=0, revision=0, mappings=(mapping,))])
    params = read_document(text).value["entities"]["y"]["fields"]["Name"]["params"]
    assert json.dumps(params, sort_keys=True) == json.dumps(mapping.transform.params, sort_keys=True)
