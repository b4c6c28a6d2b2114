"""Which schema changes are refused, and which fields are announced."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from agents import observe_schema
from agents.mapping_cache import MappingTable
from agents.observe_schema import SchemaObserver
from mapping.mapping_set import Mapping, MappingSet, Transform
from registry.source_schemas import Observation
from schemas.failures import TransientError
from topics.names import TopicNames

NAMES = TopicNames()
SET = MappingSet(
    connector="crm",
    entity="customer",
    epoch=1,
    revision=1,
    primary_key=("id",),
    ignored=("meta",),
    mappings=(
        Mapping(
            canonical_entity="customer",
            canonical_field="display_name",
            source_field="first",
            fallbacks=("nick",),
            transform=Transform(op="join", inputs=("last",)),
        ),
    ),
)
CHANGE = {
    "tenant": "acme",
    "connector": "crm",
    "entity": "customer",
    "connection": "crm",
    "source": "producer",
    "fields": [
        {"path": p, "types": ["string"]} for p in ("id", "first", "last", "nick", "meta.a", "vat", "phone", "old")
    ],
    "observed_at": "2026-01-01T00:00:00Z",
}


@pytest.fixture
def observer(monkeypatch: pytest.MonkeyPatch) -> SchemaObserver:
    """With a registry that knows the path `old` already."""

    class Schemas:
        def __init__(self, _pool: Any) -> None: ...

        def observe(self, change: Any) -> Observation:
            return Observation(2, tuple(field.path for field in change.fields if field.path != "old"))

    @contextmanager
    def no_pool() -> Iterator[Any]:
        yield None

    monkeypatch.setattr(observe_schema, "SourceSchemas", Schemas)
    return SchemaObserver(names=NAMES, table=lambda: MappingTable(1, 1, {SET.key: SET}), open_pool=no_pool)


def test_only_new_paths_that_nobody_reads_are_announced(
    observer: SchemaObserver, message: Callable[..., Any], written: Any
) -> None:
    outcomes = observer.process([message(CHANGE)], written)
    told = written.json(NAMES.fields_novel)
    assert [field["path"] for field in told] == ["vat", "phone"]
    assert {field["reason"] for field in told} == {"schema_change"}
    assert {key for key, _, _ in written.topics[NAMES.fields_novel]} == {b"acme"}
    assert outcomes == {"new": 1}


def test_an_unknown_source_is_told_with_what_its_schema_says(
    observer: SchemaObserver, message: Callable[..., Any], written: Any
) -> None:
    field = {"path": "state", "types": ["string", "null"], "enum": ["open", "won"], "format": "word"}
    observer.process([message({**CHANGE, "connector": "new", "fields": [field]})], written)
    source, state = written.json(NAMES.fields_novel)
    assert (source["path"], source["reason"]) == (None, "unknown_source")
    assert (state["path"], state["types"], state["profile"]["enum"]) == ("state", ["string"], ["open", "won"])
    assert state["profile"]["format"] == "word"


def test_what_records_showed_goes_along_but_the_schema_has_the_last_word(
    observer: SchemaObserver, message: Callable[..., Any], written: Any
) -> None:
    sampled = {"records": 50, "present": 40, "format": "epoch-seconds", "distinct_ratio": 0.9}
    fields = [{"path": "at", "types": ["integer"]}, {"path": "on", "types": ["string"], "format": "date"}]
    change = {**CHANGE, "fields": fields, "profiles": {"at": sampled, "on": sampled}, "shapes": {"on": ["9999-99-99"]}}
    observer.process([message(change)], written)
    at, on = written.json(NAMES.fields_novel)
    assert (at["profile"]["format"], at["profile"]["records"], at["profile"]["present"]) == ("epoch-seconds", 50, 40)
    assert (on["profile"]["format"], on["shapes"]) == ("date", ["9999-99-99"])


@pytest.mark.parametrize("value", [b"", None, b"{}", b"no json", {**CHANGE, "source": "hearsay"}])
def test_a_bad_change_is_a_dead_letter_that_quotes_nothing(
    value: Any, observer: SchemaObserver, message: Callable[..., Any], written: Any
) -> None:
    observer.process([message(value), message(CHANGE, 1)], written)
    ((_, _, headers),) = written.topics[NAMES.dead_letters]
    assert dict(headers)["aam-error-kind"] == b"invalid_record"
    assert b"hearsay" not in dict(headers)["__connect.errors.exception.message"]
    assert len(written.topics[NAMES.fields_novel]) == 2


def test_without_postgres_the_batch_waits(message: Callable[..., Any], written: Any) -> None:
    @contextmanager
    def away() -> Iterator[Any]:
        raise TransientError("no Postgres")
        yield

    waiting = SchemaObserver(names=NAMES, table=MappingTable, open_pool=away)
    with pytest.raises(TransientError):
        waiting.process([message(CHANGE)], written)
    assert written.topics == {}
