"""The catalogue's data is complete, agrees with `TopicNames`, and follows the prefix."""

import re
from pathlib import Path

import pytest
from pydantic import ValidationError

from schemas.canonical_model import load_entities
from schemas.failures import Misconfigured
from schemas.schema_ids import subject_of
from topics.catalogue import Catalogue, TopicSpec
from topics.names import TopicNames

PLAIN = [
    "raw_records",
    "raw_parked",
    "dead_letters",
    "fields_novel",
    "fields_unresolved",
    "mapping_proposals",
    "schema_changes",
    "mapping_table",
    "registry_events",
]


@pytest.mark.parametrize("prefix", ["aam", "test-7.x"])
def test_every_name_is_in_the_catalogue_and_no_other(prefix: str) -> None:
    names = TopicNames(prefix)
    expected = {getattr(names, name) for name in PLAIN} | {names.canonical(entity) for entity in load_entities()}
    expected |= set(names.scan_jobs.values())
    assert set(Catalogue.load(names).topics) == expected
    assert all(
        spec.name == name and name.startswith(f"{prefix}.") for name, spec in Catalogue.load(names).topics.items()
    )


def test_topic_names_are_legal_in_kafka() -> None:
    for name in Catalogue.load().topics:
        assert re.fullmatch(r"[A-Za-z0-9._-]{1,249}", name)


def test_subjects_follow_the_topics() -> None:
    names = TopicNames()
    for entity in load_entities():
        assert subject_of(entity) == f"{names.canonical(entity)}-value"


def test_outputs_have_headroom_over_raw() -> None:
    catalogue, names = Catalogue.load(), TopicNames()
    raw = catalogue[names.raw_records].max_message_bytes
    for name in (names.raw_parked, names.dead_letters, *(names.canonical(entity) for entity in load_entities())):
        assert catalogue[name].max_message_bytes >= 3 * raw


def test_canonical_partitions_are_a_setting() -> None:
    name = TopicNames().canonical(next(iter(load_entities())))
    assert Catalogue.load()[name].partitions == 100
    assert Catalogue.load(canonical_partitions=3)[name].partitions == 3


def test_topic_properties() -> None:
    catalogue, names = Catalogue.load(), TopicNames()
    table = catalogue[names.mapping_table]
    assert table.partitions == 1
    assert table.config(3)["cleanup.policy"] == "compact"
    assert "retention.ms" not in table.config(3)
    assert catalogue[names.raw_records].config(3)["retention.ms"] == str(7 * 24 * 3_600_000)
    assert [table.config(copies)["min.insync.replicas"] for copies in (1, 2, 3)] == ["1", "1", "2"]


def test_a_topic_without_its_retention_is_refused() -> None:
    raw = Catalogue.load()[TopicNames().raw_records].model_dump()
    with pytest.raises(ValidationError, match="retention_hours"):
        TopicSpec.model_validate(raw | {"retention_hours": None})


@pytest.mark.parametrize("prefix", ["", "-a", "a b", "a/b", "a" * 81, "a\n"])
def test_a_prefix_that_is_no_topic_name(prefix: str) -> None:
    with pytest.raises(Misconfigured, match="AAM_TOPIC_PREFIX"):
        TopicNames(prefix)


def test_names_of_groups_and_transactions() -> None:
    names = TopicNames("x")
    assert (names.group("canonicalize"), names.transactional_id("mapping-publisher")) == (
        "x.canonicalize",
        "x-mapping-publisher",
    )


def test_every_topic_is_named_in_names() -> None:
    """No topic's name is spelled out anywhere but in the catalogue and in names.py."""
    spelled = re.compile(r"""["']aam\.(raw|dead-letters|fields|mapping|registry)\.""")
    for path in Path(__file__).parents[3].glob("topics/*.py"):
        assert not spelled.search(path.read_text()), path.name
