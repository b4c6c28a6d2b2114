"""The wire forms of a raw record, and the promise that anything else is an InvalidRecord."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mapping.origin import Origin
from schemas.failures import InvalidRecord
from topics import raw_record
from topics.kafka_record import Headers
from topics.raw_record import RawMessage, read_raw

NAMES: list[tuple[str, bytes | None]] = [
    ("tenant", b"acme"),
    ("connector", b"stripe"),
    ("entity", b"customer"),
]
CLOUD_EVENT: list[tuple[str, bytes | None]] = [
    ("ce_specversion", b"1.0"),
    ("ce_id", b"1"),
    ("ce_source", b"/billing"),
    ("ce_type", b"customer.changed"),
    ("ce_tenant", b"acme"),
    ("ce_connector", b"stripe"),
    ("ce_entity", b"customer"),
    ("ce_subject", b"cus_1"),
    ("ce_time", b"2026-11-24T10:00:00.5Z"),
]
ORIGIN = Origin("acme", "stripe", "customer", "stripe")
BODY = b'{"id":"cus_1"}'
TRACE = b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


@pytest.fixture(autouse=True)
def _no_memory_of_other_tests() -> None:
    raw_record._origins.clear()
    raw_record._plain.clear()


def both_ways(headers: Headers | None, value: bytes | None, key: bytes | None = b"acme", **more: Any) -> RawMessage:
    """Read twice: the first record of an origin and a later one go different ways, to the same result."""
    first = read_raw(headers, key, value, **more)
    assert read_raw(headers, key, value, **more) == first
    return first


def refusal(headers: Headers | None, value: bytes | None, key: bytes | None = b"acme", **more: Any) -> str:
    """The message of the InvalidRecord; the same when the origin is known already."""
    texts = []
    for _ in range(2):
        with pytest.raises(InvalidRecord) as caught:
            read_raw(headers, key, value, **more)
        texts.append(str(caught.value))
        both_ways(NAMES, BODY)
    assert texts[0] == texts[1]
    return texts[0]


def test_plain_headers_leave_the_body_alone() -> None:
    message = both_ways(NAMES, BODY)
    assert message == RawMessage(ORIGIN, "upsert", None, None, None, BODY, None)
    assert both_ways(list(NAMES), BODY).origin is message.origin


def test_optional_headers() -> None:
    message = both_ways(
        [
            *NAMES,
            ("connection", b"stripe-eu"),
            ("op", b"delete"),
            ("record_id", "cüs_1".encode()),
            ("observed_at", b"1700000000123"),
            ("traceparent", TRACE),
            ("something-else", b"\xff"),
        ],
        BODY,
    )
    origin = Origin("acme", "stripe", "customer", "stripe-eu")
    assert message == RawMessage(origin, "delete", "cüs_1", 1_700_000_000_123_000, TRACE.decode(), BODY, None)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1970-01-01T00:00:01Z", 1_000_000),
        ("1970-01-01T02:00:00.000001+02:00", 1),
        ("1970-01-01T00:00:00.5", 500_000),
        ("1970-01-02", 86_400_000_000),
        ("0", 0),
        ("-1", -1000),
    ],
)
def test_observed_at(text: str, expected: int) -> None:
    assert both_ways([*NAMES, ("observed_at", text.encode())], BODY).observed_at_us == expected


@pytest.mark.parametrize("text", ["yesterday", "-", "999999999999999", "1" * 16, "0001-01-01T00:00+14:00", "١"])
def test_observed_at_that_is_no_time(text: str) -> None:
    assert "observed_at" in refusal([*NAMES, ("observed_at", text.encode())], BODY)


def test_a_null_value_deletes_and_needs_a_record_id() -> None:
    message = both_ways([*NAMES, ("record_id", b"cus_1")], None)
    assert message == RawMessage(ORIGIN, "delete", "cus_1", None, None, None, None)
    assert "record_id" in refusal(NAMES, None)
    assert "upsert" in refusal([*NAMES, ("record_id", b"1"), ("op", b"upsert")], None)


def test_the_key_is_the_tenant_where_only_that_header_is_missing() -> None:
    assert both_ways(NAMES[1:], BODY, key=b"acme").origin == ORIGIN
    assert "tenant" in refusal(NAMES[1:], BODY, key=None)
    assert "tenant" in refusal(NAMES[1:], BODY, key=b"\xff")
    assert "entity" in refusal(NAMES[:2], BODY)
    assert "connector" in refusal([NAMES[0], NAMES[2]], BODY)


@pytest.mark.parametrize("name", ["tenant", "connector", "entity", "connection"])
@pytest.mark.parametrize("value", [b"", b"\xff", b"*", b"a b", b"a\n", b"-a", b"a" * 201])
def test_names_are_checked_and_not_quoted(name: str, value: bytes) -> None:
    text = refusal([header for header in NAMES if header[0] != name] + [(name, value)], BODY)
    assert f"`{name}`" in text
    assert "aaaa" not in text


@pytest.mark.parametrize(("name", "value"), [("op", b"update"), ("record_id", b""), ("record_id", b"\xff")])
def test_other_headers_are_checked(name: str, value: bytes) -> None:
    assert f"`{name}`" in refusal([*NAMES, (name, value)], BODY)


def test_a_malformed_traceparent_costs_no_data() -> None:
    assert both_ways([*NAMES, ("traceparent", b"\xff")], BODY).traceparent is None


def test_a_null_header_counts_as_missing() -> None:
    assert both_ways([*NAMES, ("connection", None), ("record_id", None)], BODY).origin == ORIGIN


def test_the_same_header_twice_must_say_the_same() -> None:
    assert both_ways([*NAMES, NAMES[0]], BODY).origin == ORIGIN
    assert "`tenant` is there twice" in refusal([*NAMES, ("tenant", b"globex")], BODY)
    assert both_ways([*NAMES, ("other", b"1"), ("other", b"2")], BODY).origin == ORIGIN


def test_cloudevents_in_binary_mode() -> None:
    message = both_ways(CLOUD_EVENT, BODY)
    assert message == RawMessage(ORIGIN, "upsert", "cus_1", 1_795_514_400_500_000, None, BODY, None)
    assert both_ways([*CLOUD_EVENT, ("record_id", b"plain")], BODY).record_id == "plain"
    assert "differ" in refusal([*CLOUD_EVENT, ("tenant", b"globex")], BODY)


def test_a_cloudevent_of_a_known_origin_is_still_read_as_one() -> None:
    both_ways(NAMES, BODY)
    assert both_ways([*NAMES, ("ce_specversion", b"1.0"), ("ce_subject", b"cus_1")], BODY).record_id == "cus_1"


def test_cloudevents_names_without_specversion_are_somebody_elses() -> None:
    assert both_ways([*NAMES, ("ce_subject", b"x")], BODY).record_id is None


def test_cloudevents_in_structured_mode() -> None:
    event = {"specversion": "1.0", "id": "1", "source": "/b", "type": "t", "subject": "cus_1", "data": {"id": "cus_1"}}
    value = json.dumps(event | {"tenant": "acme", "connector": "stripe", "entity": "customer"}).encode()
    headers: Headers = [("content-type", b"application/cloudevents+json; charset=utf-8")]
    assert both_ways(headers, value) == RawMessage(ORIGIN, "upsert", "cus_1", None, None, None, {"id": "cus_1"})


def envelope(**changes: Any) -> bytes:
    fields = {"tenant": "acme", "connector": "stripe", "entity": "customer", "record": {"id": "cus_1"}} | changes
    return json.dumps({name: value for name, value in fields.items() if value is not ...}).encode()


def test_an_envelope() -> None:
    assert both_ways(None, envelope()) == RawMessage(ORIGIN, "upsert", None, None, None, None, {"id": "cus_1"})
    message = both_ways([("traceparent", TRACE)], envelope(record_id=7, observed_at=1000, connection="eu", op="delete"))
    assert message[1:5] == ("delete", "7", 1_000_000, TRACE.decode())
    assert message.origin.connection == "eu"
    assert both_ways(None, envelope(record=None, record_id="7")).op == "delete"


@pytest.mark.parametrize(
    ("changes", "word"),
    [
        ({"record": ...}, "record"),
        ({"record": [1]}, "object"),
        ({"record": None}, "record_id"),
        ({"tenant": ...}, "tenant"),
        ({"tenant": 7}, "tenant"),
        ({"connector": ...}, "envelope"),
        ({"recordid": "7"}, "other fields"),
        ({"record_id": True}, "record_id"),
        ({"record_id": "\ud800"}, ""),
    ],
)
def test_an_envelope_that_is_none(changes: dict[str, Any], word: str) -> None:
    assert word in refusal(None, envelope(**changes))


def test_an_envelope_against_its_header() -> None:
    assert "differ" in refusal([("tenant", b"globex")], envelope())


def test_framed_avro_needs_a_decoder() -> None:
    framed = b"\x00\x00\x00\x00\x01body"
    assert "Schema Registry" in refusal(NAMES, framed)
    message = both_ways(NAMES, framed, decode_avro=lambda value: {"length": len(value)})
    assert (message.body, message.record) == (None, {"length": len(framed)})


def test_a_bound_topic() -> None:
    assert both_ways(NAMES, BODY, bound_tenant="acme").origin == ORIGIN
    assert both_ways(NAMES[1:], BODY, key=b"anything", bound_tenant="acme").origin == ORIGIN
    assert both_ways(None, envelope(tenant=...), bound_tenant="acme").origin == ORIGIN
    assert "bound" in refusal(NAMES, BODY, bound_tenant="globex")
    assert "bound" in refusal(None, envelope(), bound_tenant="globex")


def test_the_memory_of_origins_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(raw_record, "CACHED_ORIGINS", 10)
    for number in range(100):
        both_ways([("tenant", b"t%d" % number), *NAMES[1:]], BODY)
    assert len(raw_record._origins) <= 10
    assert len(raw_record._plain) <= 10


HEADER_NAMES = st.sampled_from([*sorted(raw_record._READ), "x"])
HEADER_VALUES = st.one_of(
    st.none(),
    st.binary(max_size=6),
    st.sampled_from([b"acme", b"1.0", b"delete", b"0", b"2026-01-01", b"application/cloudevents+json", TRACE]),
)
JSON_VALUES = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=4), st.just("acme")),
    lambda inner: st.one_of(st.lists(inner, max_size=2), st.dictionaries(st.text(max_size=3), inner, max_size=2)),
    max_leaves=4,
)
ENVELOPES = st.dictionaries(
    st.sampled_from([*sorted(raw_record._ENVELOPE_KEYS), "data", "subject", "time", "specversion"]), JSON_VALUES
).map(lambda fields: json.dumps(fields).encode())
VALUES = st.one_of(st.none(), st.binary(max_size=20), ENVELOPES, st.binary(max_size=5).map(lambda tail: b"\x00" + tail))


@given(
    headers=st.one_of(st.none(), st.lists(st.tuples(HEADER_NAMES, HEADER_VALUES), max_size=8)),
    key=st.one_of(st.none(), st.binary(max_size=4), st.just(b"acme")),
    value=VALUES,
    bound=st.sampled_from([None, "acme"]),
)
def test_anything_is_a_message_or_an_invalid_record(
    headers: Headers | None, key: bytes | None, value: bytes | None, bound: str | None
) -> None:
    """And the memory of origins changes no answer."""

    def outcome() -> RawMessage | str:
        try:
            return read_raw(headers, key, value, bound_tenant=bound)
        except InvalidRecord as error:
            return str(error)

    raw_record._origins.clear()
    raw_record._plain.clear()
    first = outcome()
    for known in ([("tenant", b"acme"), ("connector", b"acme"), ("entity", b"acme")], headers):
        try:
            read_raw(known, b"acme", b"{}")
        except InvalidRecord:
            continue
    assert outcome() == first
