"""The demo's records: the same for a seed on any day, shaped like the vendors', and mapped without a complaint."""

from collections import defaultdict
from collections.abc import Iterator
from itertools import islice
from typing import Any

import pytest

from cli.sample_records import records
from mapping.path import MISSING, parse
from registry.seeds import load_seeds

SAMPLE = list(islice(records(7), 1_500))
KINDS = sorted({(connector, entity) for connector, entity, _ in SAMPLE})
# A chat message has no more than that.
FEWEST_LEAVES = defaultdict(lambda: 20, {("slack", "message"): 14})


def leaves(value: Any) -> Iterator[Any]:
    if isinstance(value, dict) and value:
        for inner in value.values():
            yield from leaves(inner)
    elif isinstance(value, list) and value:
        for inner in value:
            yield from leaves(inner)
    else:
        yield value


def test_a_seed_gives_the_same_records_and_another_gives_others() -> None:
    assert list(islice(records(7), 50)) == SAMPLE[:50]
    assert list(islice(records(8), 50)) != SAMPLE[:50]


def test_every_kind_comes_and_every_kind_has_a_mapping() -> None:
    assert len(KINDS) == 9
    assert set(KINDS) <= {(seeded.connector, seeded.entity) for seeded in load_seeds()}


@pytest.mark.parametrize("kind", KINDS)
def test_records_are_as_rich_as_the_vendors(kind: tuple[str, str]) -> None:
    mine = [record for connector, entity, record in SAMPLE if (connector, entity) == kind]
    assert min(sum(1 for _ in leaves(record)) for record in mine) >= FEWEST_LEAVES[kind]
    assert any(None in leaves(record) for record in mine) or kind[0] == "slack"


@pytest.mark.parametrize("kind", KINDS)
def test_the_seed_mappings_find_what_they_read(kind: tuple[str, str]) -> None:
    """A path that no sample has is either rare at the vendor, and listed here, or misspelt."""
    rare = {"deleted", "tax_ids.data[].value", "type.name", "locale", "profile.image_original"}
    (seeded,) = (s for s in load_seeds() if (s.connector, s.entity) == kind)
    mine = [record for connector, entity, record in SAMPLE if (connector, entity) == kind]
    paths = {m.source_field for m in seeded.mappings if m.source_field} | set(seeded.primary_key)
    unseen = {path for path in paths if all(parse(path).read(record) in (MISSING, []) for record in mine)}
    assert unseen <= rare


def test_some_records_have_a_field_that_nobody_has_seen() -> None:
    unknown = {"risk_level", "x_region", "beta_flags", "custom"}
    share = sum(1 for *_, record in SAMPLE if unknown & record.keys()) / len(SAMPLE)
    assert 0.01 < share < 0.1
