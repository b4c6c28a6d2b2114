"""A dead letter keeps the record whole, says why it is dead, and can be turned back into what it was."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas import headers as names
from schemas.failures import FailureKind, InvalidRecord
from topics.dead_letter import (
    TRUNCATED,
    DeadLetter,
    Failure,
    dead_letter,
    read_dead_letter,
    retried_marker,
    retried_offset,
    retry_of,
)
from topics.kafka_record import ConsumedRecord, OutgoingRecord, RawCoordinates, last_header, read_original, size_bytes
from topics.parked_record import parked

FAILURE = Failure(FailureKind.INVALID_RECORD, "canonicalize", "schemas.failures.InvalidRecord", "not JSON")
RECORD = ConsumedRecord(
    "aam.raw.records.v1",
    3,
    41,
    1_700_000_000_000,
    b"acme",
    b"\xff{",
    [("tenant", b"acme"), ("connector", b"stripe"), ("entity", b"customer"), ("x", None)],
)


def stood(outgoing: OutgoingRecord, *, offset: int = 5) -> ConsumedRecord:
    """An outgoing record as it is read back from the dead letter topic."""
    return ConsumedRecord("aam.dead-letters.v1", 2, offset, 1_700_000_000_500, *outgoing)


def read_back(outgoing: OutgoingRecord) -> DeadLetter:
    letter = read_dead_letter(stood(outgoing))
    assert letter is not None
    return letter


def test_it_keeps_the_record_and_says_why() -> None:
    letter = read_back(dead_letter(RECORD, FAILURE))
    assert (letter.record.key, letter.record.value) == (RECORD.key, RECORD.value)
    assert list(letter.record.headers)[: len(RECORD.headers)] == RECORD.headers
    assert (letter.kind, letter.stage, letter.exception, letter.reason) == FAILURE
    assert (letter.tenant, letter.connector, letter.entity, letter.attempts) == ("acme", "stripe", "customer", 1)
    assert letter.original == RawCoordinates("aam.raw.records.v1", 3, 41, 1_700_000_000_000) == letter.failed_at


def test_ours_are_read_where_the_producer_has_connect_headers_too() -> None:
    theirs = (names.ERROR_TOPIC, b"their-topic")
    record = RECORD._replace(headers=[*RECORD.headers, theirs])
    letter = read_back(dead_letter(record, FAILURE))
    assert letter.failed_at is not None
    assert letter.failed_at.topic == "aam.raw.records.v1"
    assert retry_of(letter).headers[:5] == record.headers


def test_a_retry_is_the_record_it_was_with_its_first_coordinates() -> None:
    outgoing = retry_of(read_back(dead_letter(RECORD, FAILURE)))
    assert (outgoing.key, outgoing.value) == (RECORD.key, RECORD.value)
    assert outgoing.headers[:4] == RECORD.headers
    assert [name for name, _ in outgoing.headers[4:]] == [
        names.RAW_TOPIC,
        names.RAW_PARTITION,
        names.RAW_OFFSET,
        names.RAW_TIMESTAMP,
        names.ERROR_ATTEMPTS,
    ]
    assert read_original(outgoing.headers) == RawCoordinates("aam.raw.records.v1", 3, 41, 1_700_000_000_000)
    assert last_header(outgoing.headers, names.ERROR_ATTEMPTS) == b"2"


def test_a_second_failure_counts_on_and_keeps_the_first_coordinates() -> None:
    again = RECORD._replace(offset=99, headers=retry_of(read_back(dead_letter(RECORD, FAILURE))).headers)
    letter = read_back(dead_letter(again, FAILURE))
    assert letter.attempts == 2
    assert letter.original is not None
    assert letter.failed_at is not None
    assert (letter.original.offset, letter.failed_at.offset) == (41, 99)
    assert len([name for name, _ in letter.record.headers if name == names.RAW_OFFSET]) == 1


def test_what_does_not_fit_leaves_its_coordinates() -> None:
    limit = 10_000
    large = RECORD._replace(value=b"x" * limit)
    cases = [
        (large, b"value"),
        (large._replace(headers=[("h", b"x" * limit)]), b"value,headers"),
        (large._replace(headers=[("h", b"x" * limit)], key=b"x" * limit), b"value,headers,key"),
    ]
    for record, truncated in cases:
        outgoing = dead_letter(record, FAILURE, limit_bytes=limit)
        assert size_bytes(*outgoing) < limit
        assert last_header(outgoing.headers, TRUNCATED) == truncated
        original = read_original(outgoing.headers)
        assert original is not None
        assert original.offset == 41
    assert last_header(dead_letter(RECORD, FAILURE).headers, TRUNCATED) is None


def test_the_text_of_a_foreign_error_is_not_kept() -> None:
    failure = Failure.of(ValueError("a secret"), "canonicalize")
    assert (failure.kind, failure.exception) == (FailureKind.BUG, "builtins.ValueError")
    assert "secret" not in failure.reason
    assert Failure.of(InvalidRecord("not JSON"), "x").reason == "not JSON"


def test_a_marker_is_no_dead_letter() -> None:
    letter = read_back(dead_letter(RECORD, FAILURE))
    marker = stood(retried_marker(letter), offset=6)
    assert read_dead_letter(marker) is None
    assert retried_offset(marker) == 5
    assert retried_offset(letter.record) is None


def test_parked_keeps_the_first_coordinates_over_rounds() -> None:
    once = parked(RECORD)
    assert (once.key, once.value, once.headers[:4]) == (RECORD.key, RECORD.value, RECORD.headers)
    twice = parked(ConsumedRecord("aam.raw.records.v1", 1, 77, 1, *once))
    assert twice == once


def test_parked_refuses_what_does_not_fit() -> None:
    with pytest.raises(InvalidRecord, match="too large to park"):
        parked(RECORD._replace(value=b"x" * 10_000), limit_bytes=10_000)


HEADERS = st.lists(
    st.tuples(
        st.sampled_from([names.RAW_OFFSET, names.ERROR_TOPIC, names.ERROR_ATTEMPTS, "aam-retried-offset", "x"]),
        st.one_of(st.none(), st.binary(max_size=3), st.just(b"7")),
    ),
    max_size=6,
)


@given(HEADERS, st.one_of(st.none(), st.binary(max_size=5)), st.one_of(st.none(), st.binary(max_size=5)))
def test_any_record_can_be_a_dead_letter(
    headers: list[tuple[str, bytes | None]], key: bytes | None, value: bytes | None
) -> None:
    letter = read_back(dead_letter(RECORD._replace(headers=headers, key=key, value=value), FAILURE))
    assert letter.attempts >= 1
    outgoing = retry_of(letter)
    assert (outgoing.key, outgoing.value) == (key, value)
    kept = [header for header in headers if not header[0].startswith("aam-")]
    assert outgoing.headers[: len(kept)] == kept


@given(HEADERS)
def test_any_record_of_the_topic_can_be_read(headers: list[tuple[str, bytes | None]]) -> None:
    read_dead_letter(stood(OutgoingRecord(None, None, headers)))
