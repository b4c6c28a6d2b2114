"""What is announced, and how often."""

from agents.novel_fields import PATHS_OF_A_SOURCE, NovelFields
from mapping.origin import Origin
from schemas.messages import RawCoordinates

ACME = Origin("acme", "crm", "customer", "crm")
PLACE = RawCoordinates(topic="raw", partition=0, offset=5)


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def paths(novel: NovelFields, origin: Origin = ACME, **leftover: object) -> list[str | None]:
    return [field.path for field in novel.announce(origin, leftover, place=PLACE)]


def test_types_and_shapes_are_told_and_no_values() -> None:
    novel = NovelFields(reannounce_seconds=1)
    novel.begin()
    leftover = {"tags": ["a1", "bc", 7], "address": {"zip": "75001"}, "gone": None, "none": {}}
    tags, zip_code = novel.announce(ACME, leftover, place=PLACE)
    assert (tags.path, tags.types, tags.shapes) == ("tags[]", ("integer", "string"), ("a9", "aa"))
    assert (zip_code.path, zip_code.shapes) == ("address.zip", ("99999",))
    assert zip_code.first_seen == PLACE


def test_sources_are_told_apart_and_connections_are_not() -> None:
    novel = NovelFields(reannounce_seconds=1)
    novel.begin()
    assert paths(novel, a=1) == ["a"]
    assert paths(novel, Origin("acme", "crm", "customer", "second"), a=1) == []
    assert paths(novel, Origin("globex", "crm", "customer", "crm"), a=1) == ["a"]


def test_what_is_still_unmapped_after_a_while_is_told_again() -> None:
    clock = Clock()
    novel = NovelFields(reannounce_seconds=60, clock=clock)
    novel.begin()
    assert paths(novel, a=1) == ["a"]
    novel.committed()
    clock.now = 59
    novel.begin()
    assert paths(novel, a=1) == []
    clock.now = 61
    before = novel.generation
    novel.begin()
    assert novel.generation > before
    assert paths(novel, a=1) == ["a"]


def test_an_aborted_batch_has_announced_nothing() -> None:
    novel = NovelFields(reannounce_seconds=60)
    novel.begin()
    assert novel.announce_source(ACME, PLACE)
    assert paths(novel, a=1) == ["a"]
    before = novel.generation
    novel.begin()
    assert novel.generation > before
    assert paths(novel, a=1) == ["a"]
    assert novel.announce_source(ACME, PLACE)
    novel.committed()
    novel.begin()
    assert not novel.announce_source(ACME, PLACE)


def test_ignored_paths_and_what_lies_inside_them_are_not_told() -> None:
    novel = NovelFields(reannounce_seconds=60)
    novel.begin()
    leftover = {"meta": {"a": 1}, "lines": [{"b": 1}], "metadata": 1}
    told = novel.announce(ACME, leftover, ignored=("meta", "lines"), place=PLACE)
    assert [field.path for field in told] == ["metadata"]


def test_keys_that_are_data_do_not_flood_the_topic() -> None:
    novel = NovelFields(reannounce_seconds=60)
    novel.begin()
    told = sum(len(novel.announce(ACME, {f"user_{n}": 1}, place=PLACE)) for n in range(PATHS_OF_A_SOURCE + 500))
    assert told == PATHS_OF_A_SOURCE


def test_a_key_as_long_as_a_record_is_not_announced() -> None:
    novel = NovelFields(reannounce_seconds=60)
    novel.begin()
    told = novel.announce(ACME, {"k" * 900_000: 1, "short": {"n" * 2_000: 1, "m": 1}}, place=PLACE)
    assert [field.path for field in told] == ["short.m"]
