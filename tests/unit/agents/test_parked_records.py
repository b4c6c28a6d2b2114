"""What is pending, told from records and marks."""

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agents.mapping_cache import Key
from agents.parked_records import ParkedRecords, group_of
from topics.settings import KafkaSettings

CRM: Key = ("acme", "crm", "customer")


@pytest.fixture
def parked(monkeypatch: pytest.MonkeyPatch) -> ParkedRecords:
    """Marks: acme's crm/customer is released up to offset 2."""
    made = ParkedRecords(KafkaSettings(KAFKA_BOOTSTRAP_SERVERS="127.0.0.1:1"))

    def marks(keys: set[Key]) -> None:
        made.marks.update({key: 2 if key == CRM else 0 for key in keys})

    monkeypatch.setattr(made, "_load_marks", marks)
    return made


def source(tenant: bytes) -> list[tuple[str, Any]]:
    return [("tenant", tenant), ("connector", b"crm"), ("entity", b"customer")]


def test_what_stands_before_its_mark_is_not_pending(parked: ParkedRecords, message: Callable[..., Any]) -> None:
    records = [message({}, n) for n in range(5)] + [message({}, 5, the_headers=source(b"globex"))]
    parked.take(records)
    assert parked.pending[CRM].count == 3
    assert parked.pending[CRM].first_offset == 2
    assert parked.pending["globex", "crm", "customer"].count == 1
    assert parked.next_offset == 6


def test_a_release_leaves_what_came_meanwhile(parked: ParkedRecords, message: Callable[..., Any]) -> None:
    parked.take([message({}, n) for n in range(5)])
    parked.released(CRM, mark=5, count=3)
    assert parked.pending == {}
    parked.take([message({}, 7)])
    assert (parked.pending[CRM].count, parked.pending[CRM].first_offset) == (1, 7)


def test_a_record_that_no_longer_tells_its_source_is_left_alone(
    parked: ParkedRecords, message: Callable[..., Any]
) -> None:
    parked.take([message(b"x", 4, the_headers=[("tenant", b"acme")])])
    assert parked.pending == {}
    assert parked.next_offset == 5


part = st.text("aZ9._:/-%", min_size=1, max_size=8)


@given(st.tuples(part, part, part), st.tuples(part, part, part))
def test_every_source_has_a_group_of_its_own(one: Key, other: Key) -> None:
    assert (group_of("aam.parked", one) == group_of("aam.parked", other)) == (one == other)
