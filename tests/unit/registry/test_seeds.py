"""The data in `connector_specs/`: it fits its schemas, the canonical model and the compiler."""

import json
from pathlib import Path

import pytest

from mapping.mapping_set import MappingSet
from registry import errors
from registry.seeds import (
    FOLDER,
    SCHEMA_FILES,
    connector_names,
    load_seed,
    load_seeds,
    load_spec,
    schema_text,
)
from registry.write_changes import compiles
from schemas.canonical_model import load_entities

SEEDS = load_seeds()


def test_which_connectors_there_are() -> None:
    assert connector_names() == [
        "aws_cloudwatch",
        "dynamics365",
        "github",
        "google_analytics",
        "hubspot",
        "intercom",
        "pipedrive",
        "salesforce",
        "slack",
        "stripe",
        "zendesk",
    ]


@pytest.mark.parametrize("seed", SEEDS, ids=lambda seed: f"{seed.connector}.{seed.entity}")
def test_a_seed_compiles_and_feeds_what_its_spec_promises(seed: MappingSet) -> None:
    compiles(seed)
    spec = load_spec(seed.connector).entities[seed.entity]
    assert spec.canonical_entity in {m.canonical_entity for m in seed.mappings}
    assert len({m.target for m in seed.mappings}) == len(seed.mappings)


@pytest.mark.parametrize("seed", SEEDS, ids=lambda seed: f"{seed.connector}.{seed.entity}")
def test_enums_and_constants_give_only_words_that_the_canonical_model_knows(seed: MappingSet) -> None:
    for mapping in seed.mappings:
        allowed = dict(load_entities()[mapping.canonical_entity].targets())[mapping.canonical_field].values
        params = mapping.transform.params
        given = {*params.get("values", {}).values(), params.get("otherwise", params.get("value"))} - {None}
        assert not allowed or given <= set(allowed), mapping.target


@pytest.mark.parametrize("seed", SEEDS, ids=lambda seed: f"{seed.connector}.{seed.entity}")
def test_what_is_ignored_is_not_mapped(seed: MappingSet) -> None:
    read = {m.source_field for m in seed.mappings} | {path for m in seed.mappings for path in m.fallbacks}
    assert not read & set(seed.ignored)
    assert len(set(seed.ignored)) == len(seed.ignored)


@pytest.mark.parametrize("connector", connector_names())
def test_every_entity_of_a_spec_has_a_seed(connector: str) -> None:
    mapped = {name for name, entity in load_spec(connector).entities.items() if entity.canonical_entity}
    assert {seed.entity for seed in load_seed(connector)} == mapped


@pytest.mark.parametrize("name", SCHEMA_FILES)
def test_the_json_schemas_are_those_of_the_models(name: str) -> None:
    said = "write them anew: python -c 'from registry.seeds import write_schemas; write_schemas()'"
    assert (FOLDER / name).read_text(encoding="utf-8") == schema_text(SCHEMA_FILES[name]), said


def spec_and_seed(folder: Path, **entities: object) -> None:
    spec = json.loads((FOLDER / "zendesk.json").read_text()) | {"name": "desk"}
    (folder / "desk.json").write_text(json.dumps(spec))
    (folder / "desk.mappings.json").write_text(json.dumps({"connector": "desk", "entities": entities}))


def test_the_short_and_the_long_form_of_a_mapping(tmp_path: Path) -> None:
    spec_and_seed(tmp_path, user={"targets": {"user": {"name": "a", "email": {"from": "b", "op": "lower"}}}})
    (seed,) = load_seed("desk", tmp_path)
    assert [(m.canonical_field, m.source_field, m.transform.op) for m in seed.mappings] == [
        ("name", "a", "copy"),
        ("email", "b", "lower"),
    ]
    assert seed.primary_key == ("id",)


@pytest.mark.parametrize(
    ("entities", "said"),
    [
        (
            {"user": {"targets": {"user": {"name": {"form": "a"}}}}},
            "desk.mappings.json: entities.user.targets.user.name",
        ),
        ({"visitor": {"targets": {}}}, "don't agree: .*visitor"),
    ],
)
def test_a_mistake_is_told_with_its_place(tmp_path: Path, entities: dict[str, object], said: str) -> None:
    spec_and_seed(tmp_path, **entities)
    with pytest.raises(errors.RegistryMisconfigured, match=said):
        load_seed("desk", tmp_path)


def test_an_unknown_connector_is_told_which_there_are() -> None:
    with pytest.raises(errors.RegistryMisconfigured, match=r"'../etc'; there are aws_cloudwatch, dynamics365"):
        load_seed("../etc")
