"""The load is what the benchmark says of it: enough connectors and fields, all mappable, each record with a number."""

import json
from itertools import islice
from typing import Any

from benchmarks.canonicalize_load import NARROW, WIDE, load_sources, number_of, records
from mapping.compile import compile_set
from mapping.decode_json import decode
from mapping.origin import Delivery, Origin
from schemas.canonical_model import load_entities


def test_ten_connectors_with_at_least_twenty_fields_each() -> None:
    sources = load_sources(WIDE, bodies=3)
    assert len({source.mapping_set.connector for source in sources}) == 10
    assert len({source.target for source in sources}) == WIDE.entities
    assert all(source.field_count >= 20 for source in sources)


def test_every_record_is_canonicalized_without_a_value_that_does_not_convert() -> None:
    sources = load_sources(WIDE, bodies=5)
    functions = {
        s.mapping_set.connector: compile_set(s.mapping_set, load_entities(), event_format="json").apply for s in sources
    }
    numbers = []
    for _, value, headers in islice(records(sources, WIDE, first=100), 300):
        connector = dict(headers)["connector"].decode()
        origin, delivery = Origin("t", connector, "e", connector), Delivery("r", 0, 0, 0, "upsert", None, None, 0)
        events, _ = functions[connector](decode(value), origin, delivery)
        event: dict[str, Any] = json.loads(events[0][1])
        assert event["aam"]["unconverted"] == {}
        assert event["aam"]["absent"] == []
        numbers.append(number_of(event["aam"]["source_id"]))
    assert numbers == list(range(100, 400))


def test_the_same_seed_gives_the_same_records() -> None:
    first, second = (list(islice(records(load_sources(NARROW, bodies=3), NARROW), 20)) for _ in range(2))
    assert first == second
    assert len({key for key, _, _ in first}) > 5
