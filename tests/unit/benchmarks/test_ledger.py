"""The ledger must accuse: each kind of mistake is made once."""

from collections.abc import Iterable

import pytest

from benchmarks.ledger import ENTITY, Fate, Ledger, ledger_set, source_id
from mapping.compile import compile_set
from mapping.event_format import EventFormat
from mapping.origin import Delivery, Origin
from schemas.canonical_model import load_entities

COUNT = 600


def filled() -> Ledger:
    ledger = Ledger(tenants=10, novel_every=100, clock=lambda: 0.0)
    for _ in range(COUNT):
        ledger.next()
    return ledger


def noted(ledger: Ledger, numbers: Iterable[int]) -> Ledger:
    for number in numbers:
        ledger.note(ledger.fate(number), str(number))
    for number in range(0, COUNT, 100):
        ledger.note_novel(ledger.tenant(number), f"field_{number}")
    return ledger


def test_all_once_and_in_order_is_no_problem() -> None:
    verdict = noted(filled(), range(COUNT)).verdict()
    assert verdict.problems == []
    assert verdict.sent == verdict.found
    assert set(verdict.sent) == set(Fate)


def test_a_missing_record_is_named() -> None:
    verdict = noted(filled(), (n for n in range(COUNT) if n != 17)).verdict()
    assert verdict.missing == [17]
    assert len(verdict.problems) == 1


def test_a_doubled_record_is_named() -> None:
    assert noted(filled(), [*range(COUNT), 17]).verdict().doubled == [17]


def test_order_counts_within_a_tenant_only() -> None:
    swapped = list(range(COUNT))
    swapped[1], swapped[2] = 2, 1
    assert noted(filled(), swapped).verdict().problems == []
    swapped = list(range(COUNT))
    swapped[1], swapped[11] = 11, 1
    assert noted(filled(), swapped).verdict().disordered == [1]


def test_a_record_in_the_wrong_topic_is_named() -> None:
    ledger = noted(filled(), range(1, COUNT))
    ledger.note(Fate.DEAD_LETTER, "0")
    assert ledger.verdict().misplaced == [0]


@pytest.mark.parametrize("record_id", ["600", "-1", "content:ab", ""])
def test_what_was_never_sent_is_named(record_id: str) -> None:
    ledger = noted(filled(), range(COUNT))
    ledger.note(Fate.CANONICAL, record_id)
    assert ledger.verdict().strangers == [record_id]


def test_a_novel_field_that_nobody_announced_is_named() -> None:
    ledger = filled()
    for number in range(COUNT):
        ledger.note(ledger.fate(number), str(number))
    assert ("tenant-00", "field_100") in ledger.verdict().unannounced


@pytest.mark.parametrize("event_format", ["avro", "json"])
def test_the_source_id_is_read_from_both_formats(event_format: EventFormat) -> None:
    prefixes = {ENTITY: b"\x00\x00\x00\x00\x01"}
    compiled = compile_set(ledger_set(), load_entities(), event_format=event_format, prefixes=prefixes)
    origin = Origin("t" * 200, "crm", "customer", "crm")
    delivery = Delivery("raw", 3, 2**40, 0, "upsert", "4711", None, 0)
    events, _ = compiled.apply({"id": "c1", "name": "n"}, origin, delivery)
    assert source_id(events[0][1]) == "4711"
