"""What each record becomes: exactly one of events, a dead letter or a parked record."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from agents import canonicalize
from agents.canonicalize import Canonicalizer
from agents.compiled_sets import CompiledSets
from agents.mapping_cache import MappingTable
from agents.novel_fields import NovelFields
from mapping.mapping_set import Mapping, MappingSet
from schemas.canonical_model import load_entities
from schemas.failures import Misconfigured, TransientError
from topics.names import TopicNames

NAMES = TopicNames()
CUSTOMERS = NAMES.canonical("customer")
FRAMED = b"\x00\x00\x00\x00\x01body"


def customer_set(*, ignored: tuple[str, ...] = ()) -> MappingSet:
    mapping = Mapping(canonical_entity="customer", canonical_field="display_name", source_field="name")
    return MappingSet(
        connector="crm",
        entity="customer",
        epoch=1,
        revision=7,
        primary_key=("id",),
        ignored=ignored,
        mappings=(mapping,),
    )


def make(
    *sets: MappingSet, tenant_topics: dict[str, str] | None = None, decode_avro: Any = None
) -> tuple[Canonicalizer, NovelFields]:
    table = MappingTable(1, 7, {held.key: held for held in sets})
    novel = NovelFields(reannounce_seconds=3600)
    made = Canonicalizer(
        names=NAMES,
        entities=load_entities(),
        table=lambda: table,
        compiled=CompiledSets(load_entities(), event_format="json", prefixes={}),
        novel=novel,
        tenant_topics=tenant_topics or {},
        decode_avro=decode_avro,
        clock=lambda: 1_700_000_000.0,
    )
    return made, novel


def test_a_known_record_becomes_an_event_under_its_tenants_key(message: Callable[..., Any], written: Any) -> None:
    outcomes = make(customer_set())[0].process([message({"id": "c1", "name": "Ann"}, 4)], written)
    ((key, value, headers),) = written.topics.pop(CUSTOMERS)
    event = json.loads(value)
    assert (key, headers) == (b"acme", [])
    assert event["display_name"] == "Ann"
    assert event["aam"]["source_id"] == "c1"
    assert event["aam"]["mapping_revision"] == 7
    assert event["aam"]["raw"] == {"topic": "aam.raw.records.v1", "partition": 0, "offset": 4}
    assert written.topics == {}
    assert (outcomes.events, outcomes.tenants) == ({"customer": 1}, {"acme": 1})


@pytest.mark.parametrize(
    ("value", "headers", "stage"),
    [
        (b"no json", None, b"decode"),
        (b"[]", None, b"decode"),
        (None, None, b"decode"),
        (b"{}", [("connector", b"crm")], b"decode"),
        (FRAMED, None, b"decode"),
    ],
)
def test_a_bad_record_is_a_dead_letter_and_its_neighbours_come_out(
    value: Any, headers: Any, stage: bytes, message: Callable[..., Any], written: Any
) -> None:
    bad = message(value, 1, **({"the_headers": headers} if headers else {}))
    good = message({"id": "c", "name": "n"}, 2)
    outcomes = make(customer_set())[0].process([bad, good], written)
    ((key, kept, letter),) = written.topics[NAMES.dead_letters]
    assert (key, kept) == (b"acme", value)
    assert dict(letter)["__connect.errors.stage"] == stage
    assert dict(letter)["aam-error-kind"] == b"invalid_record"
    assert len(written.topics[CUSTOMERS]) == 1
    assert outcomes.dead == {"invalid_record": 1}


def test_a_bug_with_one_record_buries_that_record(
    message: Callable[..., Any], written: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(body: bytes) -> Any:
        raise ZeroDivisionError("secret of acme")

    monkeypatch.setattr(canonicalize, "decode", broken)
    outcomes = make(customer_set())[0].process([message({"id": "c", "name": "n"})], written)
    ((_, _, letter),) = written.topics[NAMES.dead_letters]
    assert outcomes.dead == {"bug": 1}
    assert b"secret" not in b"".join(value or b"" for _, value in letter)


@pytest.mark.parametrize("error", [TransientError("away"), Misconfigured("no right")])
def test_what_is_not_the_records_fault_aborts_the_batch(
    error: Exception, message: Callable[..., Any], written: Any
) -> None:
    def away(_value: bytes) -> Any:
        raise error

    with pytest.raises(type(error)):
        make(customer_set(), decode_avro=away)[0].process([message(FRAMED)], written)


def test_an_event_that_is_too_large_is_a_dead_letter_without_its_bytes(
    message: Callable[..., Any], written: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(canonicalize, "EVENT_LIMIT_BYTES", 100)
    make(customer_set())[0].process([message({"id": "c", "name": "n" * 200})], written)
    assert CUSTOMERS not in written.topics
    assert len(written.topics[NAMES.dead_letters]) == 1


def test_an_unknown_source_is_parked_whole_and_announced_once(message: Callable[..., Any], written: Any) -> None:
    records = [message({"id": n, "mail": "ann@example.com"}, n) for n in range(3)]
    outcomes = make()[0].process(records, written)
    parked = written.topics[NAMES.raw_parked]
    assert [value for _, value, _ in parked] == [record.value() for record in records]
    assert dict(parked[2][2])["aam-raw-offset"] == b"2"
    told = written.json(NAMES.fields_novel)
    assert [(field["path"], field["reason"]) for field in told] == [
        (None, "unknown_source"),
        ("id", "unknown_source"),
        ("mail", "unknown_source"),
    ]
    assert b"ann@example.com" not in b"".join(value for _, value, _ in written.topics[NAMES.fields_novel])
    assert outcomes.parked == 3


def test_a_released_record_keeps_its_first_coordinates(message: Callable[..., Any], written: Any) -> None:
    canonicalizer = make(customer_set())[0]
    make()[0].process([message({"id": "c", "name": "n"}, 41, the_partition=5)], written)
    ((key, value, headers),) = written.topics[NAMES.raw_parked]
    again = message(value, 0, the_headers=headers, the_key=key, the_topic=NAMES.raw_parked)
    first = message({"id": "c", "name": "n"}, 41, the_partition=5)
    canonicalizer.process([again, first], written)
    one, other = written.json(CUSTOMERS)
    assert one["aam"]["raw"] == {"topic": "aam.raw.records.v1", "partition": 5, "offset": 41}
    assert one["aam"]["event_id"] == other["aam"]["event_id"]


def test_a_topic_of_one_tenant_takes_no_other(message: Callable[..., Any], written: Any) -> None:
    bound = make(customer_set(), tenant_topics={"aam.raw.records.v1": "globex"})[0]
    bound.process([message({"id": "c", "name": "n"})], written)
    assert list(written.topics) == [NAMES.dead_letters]


def test_unmapped_paths_are_announced_again_only_if_the_batch_did_not_commit(
    message: Callable[..., Any], written: Any
) -> None:
    canonicalizer, novel = make(customer_set(ignored=("internal",)))
    records = [message({"id": "c", "name": "n", "vat": "DE1", "internal": 1}, n) for n in range(5)]
    canonicalizer.aborted(canonicalizer.process(records, written))
    canonicalizer.process(records, written)
    assert [field["path"] for field in written.json(NAMES.fields_novel)] == ["vat", "vat"]
    canonicalizer.process(records, written)
    assert len(written.json(NAMES.fields_novel)) == 2
    novel.forget()
    canonicalizer.process(records, written)
    assert len(written.json(NAMES.fields_novel)) == 3


def test_a_trace_goes_on(message: Callable[..., Any], written: Any) -> None:
    trace = b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    headers = [("tenant", b"acme"), ("connector", b"crm"), ("entity", b"customer"), ("traceparent", trace)]
    make(customer_set())[0].process([message({"id": "c", "name": "n"}, the_headers=headers)], written)
    ((_, _, found),) = written.topics[CUSTOMERS]
    assert found == [("traceparent", trace.decode())]
