"""The made-up vendors that a fit learns from: the same ones every time, of half of the entities."""

from collections import Counter

from cli.made_labels import TAUGHT, made_rows


def test_they_are_the_same_every_time_and_of_half_of_the_entities() -> None:
    rows = made_rows()
    assert rows == made_rows()
    assert {row.canonical_entity for row in rows} == TAUGHT
    vendors = Counter(origin for origin, _ in {(row.origin, row.vendor) for row in rows})
    assert sorted(vendors.values()) == [24, 60, 150]
    mapped = sum(row.canonical_field is not None for row in rows)
    assert 0.2 < mapped / len(rows) < 0.5
    assert {row.source_type for row in rows} >= {"string", "integer", "string:date-time"}
