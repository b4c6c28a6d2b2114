"""What is announced, and how often."""

from typing import Any

from agents.novel_fields import FIRST_LOOK_SECONDS, PATH_CHARACTERS, PATHS_OF_A_SOURCE, SAMPLE_RECORDS, NovelFields
from mapping.origin import Origin
from schemas.messages import NovelField, RawCoordinates

ACME = Origin("acme", "crm", "customer", "crm")
PLACE = RawCoordinates(topic="raw", partition=0, offset=5)


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def announce(novel: NovelFields, leftover: dict[str, Any], origin: Origin = ACME, **named: Any) -> list[NovelField]:
    """What a batch of one record tells."""
    novel.begin()
    novel.watch(origin, **named).take(leftover, PLACE)
    return novel.drain()[0]


def paths(novel: NovelFields, origin: Origin = ACME, **leftover: object) -> list[str | None]:
    return [field.path for field in announce(novel, leftover, origin)]


def test_types_and_shapes_are_told_and_no_values() -> None:
    novel = NovelFields(reannounce_seconds=1)
    leftover = {"tags": ["a1", "bc", 7], "address": {"zip": "75001"}, "gone": None, "none": {}}
    tags, zip_code = announce(novel, leftover)
    assert (tags.path, tags.types, tags.shapes) == ("tags[]", ("integer", "string"), ("a9", "aa"))
    assert (zip_code.path, zip_code.shapes) == ("address.zip", ("99999",))
    assert zip_code.first_seen == PLACE


def test_sources_are_told_apart_and_connections_are_not() -> None:
    novel = NovelFields(reannounce_seconds=1)
    assert paths(novel, a=1) == ["a"]
    assert paths(novel, Origin("acme", "crm", "customer", "second"), a=1) == []
    assert paths(novel, Origin("globex", "crm", "customer", "crm"), a=1) == ["a"]


def test_what_is_still_unmapped_after_a_while_is_told_again() -> None:
    clock = Clock()
    novel = NovelFields(reannounce_seconds=60, clock=clock)
    assert paths(novel, a=1) == ["a"]
    clock.now = 59
    assert paths(novel, a=1) == []
    clock.now = 61
    before = novel.generation
    assert paths(novel, a=1) == ["a"]
    assert novel.generation > before


def test_an_aborted_batch_and_those_after_it_have_announced_nothing() -> None:
    novel = NovelFields(reannounce_seconds=60)
    novel.watch(ACME).take({"a": 1}, PLACE)
    _, seen = novel.drain()
    novel.watch(ACME, reason="unknown_source").take({"b": 1}, PLACE)  # under way when the first one fails
    before = novel.generation
    novel.undo(seen)
    assert novel.generation > before
    assert paths(novel, a=1, b=2) == ["a", "b"]
    assert paths(novel, a=1, b=2) == []


def test_ignored_paths_and_what_lies_inside_them_are_not_told() -> None:
    novel = NovelFields(reannounce_seconds=60)
    leftover = {"meta": {"a": 1}, "lines": [{"b": 1}], "metadata": 1}
    told = announce(novel, leftover, ignored=("meta", "lines"))
    assert [field.path for field in told] == ["metadata"]


def test_keys_that_are_data_do_not_flood_the_topic() -> None:
    novel = NovelFields(reannounce_seconds=60)
    told = [f for n in range(PATHS_OF_A_SOURCE + 500) for f in announce(novel, {f"user_{n}": 1})]
    assert len([field for field in told if field.reason == "unmapped"]) == PATHS_OF_A_SOURCE
    assert [field.path for field in told if field.reason == "too_many_fields"] == [None]


def test_a_key_as_long_as_a_record_is_not_announced() -> None:
    novel = NovelFields(reannounce_seconds=60)
    told = announce(novel, {"k" * 900_000: 1, "short": {"n" * PATH_CHARACTERS: 1, "m": 1}})
    assert [field.path for field in told] == ["short.m"]


def test_a_batch_announces_each_new_path_once_with_its_profile_so_far() -> None:
    novel = NovelFields(reannounce_seconds=60)
    watch = novel.watch(ACME)
    looked = 0
    for n in range(1_000):
        leftover = {"mail": f"u{n}@x.io", "plan": "pro" if n % 2 else "free", "born": 1_700_000_000 + n}
        if watch.samples_left or not watch.shapes.knows(leftover):
            watch.take(leftover, PLACE)
            looked += 1
    told = {field.path: field for field in novel.drain()[0]}
    assert looked == SAMPLE_RECORDS
    assert told["mail"].profile.format == "email"
    assert (told["plan"].profile.words, told["plan"].profile.present) == (2, SAMPLE_RECORDS)
    assert told["born"].profile.format == "epoch-seconds"
    assert told["born"].profile.magnitudes == (10, 10)
    assert not {"u1@x.io", "pro"} & set(told["mail"].model_dump_json().split('"'))
    assert novel.drain() == ([], [])


def test_a_path_is_told_again_when_its_profile_has_changed_much() -> None:
    novel = NovelFields(reannounce_seconds=60)
    for n in range(40):
        novel.begin()
        told = announce(novel, {"code": n if n < 30 else "a-1"})
        if n == 0:
            assert told[0].types == ("integer",)
        elif told:
            assert told[0].types == ("integer", "string")
            assert n == 39  # after twice the records of the last look
            return
    raise AssertionError("not told again")


def test_a_settled_source_is_looked_at_again_from_time_to_time() -> None:
    clock = Clock()
    novel = NovelFields(reannounce_seconds=3600, clock=clock)
    watch = novel.watch(ACME)
    while watch.samples_left or not watch.shapes:
        watch.take({"a": 1}, PLACE)
    novel.drain()
    clock.now = FIRST_LOOK_SECONDS + 1
    novel.begin()
    assert watch.samples_left > 0


def test_an_unknown_source_is_told_before_its_paths() -> None:
    novel = NovelFields(reannounce_seconds=60)
    novel.watch(ACME, reason="unknown_source").take({"a": 1}, PLACE)
    assert [(field.path, field.reason) for field in novel.drain()[0]] == [
        (None, "unknown_source"),
        ("a", "unknown_source"),
    ]
