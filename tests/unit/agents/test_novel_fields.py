"""What is announced, and how often."""

from agents.novel_fields import FIRST_LOOK_SECONDS, PATH_CHARACTERS, PATHS_OF_A_SOURCE, SAMPLE_RECORDS, NovelFields
from mapping.origin import Origin
from mapping.profile import fingerprint
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
    told = [f for n in range(PATHS_OF_A_SOURCE + 500) for f in novel.announce(ACME, {f"user_{n}": 1}, place=PLACE)]
    assert len([field for field in told if field.reason == "unmapped"]) == PATHS_OF_A_SOURCE
    assert [field.path for field in told if field.reason == "too_many_fields"] == [None]


def test_a_key_as_long_as_a_record_is_not_announced() -> None:
    novel = NovelFields(reannounce_seconds=60)
    novel.begin()
    told = novel.announce(ACME, {"k" * 900_000: 1, "short": {"n" * PATH_CHARACTERS: 1, "m": 1}}, place=PLACE)
    assert [field.path for field in told] == ["short.m"]


def test_a_batch_announces_each_new_path_once_with_its_profile_so_far() -> None:
    novel = NovelFields(reannounce_seconds=60)
    novel.begin()
    watch = novel.watch(ACME)
    looked = 0
    for n in range(1_000):
        leftover = {"mail": f"u{n}@x.io", "plan": "pro" if n % 2 else "free", "born": 1_700_000_000 + n}
        if watch.samples_left or fingerprint(leftover) not in watch.shapes:
            watch.take(leftover, PLACE)
            looked += 1
    told = {field.path: field for field in novel.drain()}
    novel.committed()
    assert looked == SAMPLE_RECORDS
    assert told["mail"].profile.format == "email"
    assert (told["plan"].profile.words, told["plan"].profile.present) == (2, SAMPLE_RECORDS)
    assert told["born"].profile.format == "epoch-seconds"
    assert told["born"].profile.magnitudes == (10, 10)
    assert not {"u1@x.io", "pro"} & set(told["mail"].model_dump_json().split('"'))
    assert novel.drain() == []


def test_a_path_is_told_again_when_its_profile_has_changed_much() -> None:
    novel = NovelFields(reannounce_seconds=60)
    for n in range(40):
        novel.begin()
        told = novel.announce(ACME, {"code": n if n < 30 else "a-1"}, place=PLACE)
        novel.committed()
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
    novel.begin()
    watch = novel.watch(ACME)
    while watch.samples_left or not watch.shapes:
        watch.take({"a": 1}, PLACE)
    novel.drain()
    novel.committed()
    clock.now = FIRST_LOOK_SECONDS + 1
    novel.begin()
    assert watch.samples_left > 0


def test_an_unknown_source_is_told_before_its_paths() -> None:
    novel = NovelFields(reannounce_seconds=60)
    novel.begin()
    novel.watch(ACME, reason="unknown_source").take({"a": 1}, PLACE)
    assert [(field.path, field.reason) for field in novel.drain()] == [
        (None, "unknown_source"),
        ("a", "unknown_source"),
    ]
