"""Everything bad that a producer can send: the worker lives, the record is in dead letters with its reason or comes out
whole, and its neighbours come out."""

import json
from typing import Any

import pytest

GOOD: list[tuple[str, Any]] = [("tenant", b"acme"), ("connector", b"stripe"), ("entity", b"customer")]
CUSTOMER = {"id": "cus_1", "name": "Ann"}


def body(**fields: Any) -> bytes:
    return json.dumps(CUSTOMER | fields).encode()


def nested(depth: int) -> bytes:
    return b'{"id":"d","deep":' + b'{"a":' * depth + b"1" + b"}" * depth + b"}"


Case = tuple[bytes | None, bytes | None, list[tuple[str, Any]]]
CLOUD_EVENT = {"specversion": "1.0", "id": "1", "source": "x", "type": "y", "tenant": "acme", "connector": "stripe"}

DEAD: dict[str, Case] = {
    "not JSON": (b"acme", b"hello", GOOD),
    "no object": (b"acme", b"[1, 2]", GOOD),
    "empty": (b"acme", b"", GOOD),
    "no tenant": (None, body(), GOOD[1:]),
    "no headers": (b"acme", body(), []),
    "empty tenant": (b"acme", body(), [("tenant", b""), *GOOD[1:]]),
    "any tenant": (b"acme", body(), [("tenant", b"*"), *GOOD[1:]]),
    "two tenants": (b"acme", body(), [("tenant", b"other"), *GOOD]),
    "header in no UTF-8": (b"acme", body(), [*GOOD, ("record_id", b"\xff\xfe")]),
    "unknown op": (b"acme", body(), [*GOOD, ("op", b"merge")]),
    "NaN": (b"acme", b'{"id":"n","balance":NaN}', GOOD),
    "duplicate keys": (b"acme", b'{"id":"k","name":"a","name":"b"}', GOOD),
    "invalid UTF-8": (b"acme", b'{"id":"u","name":"\xff"}', GOOD),
    "lone surrogate": (b"acme", b'{"id":"s","name":"\\ud800"}', GOOD),
    "deeper than anything": (b"acme", nested(2000), GOOD),
    "digits without end": (b"acme", b'{"id":"h","n":' + b"9" * 5000 + b"}", GOOD),
    "unknown schema id": (b"acme", b"\x00\x00\x00\x30\x39\x02\x02", GOOD),
    "null without id": (b"acme", None, GOOD),
}
WHOLE: dict[str, Case] = {
    "10,000 keys": (b"acme", body(id="keys", **{f"k{n}": n for n in range(10_000)}), GOOD),
    "200 deep": (b"acme", nested(200), GOOD),
    "near the limit": (b"acme", body(id="large", blob="x" * 1_000_000), GOOD),
    "huge integer": (b"acme", b'{"id":"big","n":123456789012345678901234567890}', GOOD),
    "our own names": (b"acme", body(id="own", aam={"a": 1}, custom_fields=2, __class__="c", __proto__=[]), GOOD),
    "a repeated header": (b"acme", body(id="twice"), [*GOOD, GOOD[0]]),
    "headers of 64 KiB": (b"acme", body(id="headers"), [*GOOD, ("note", b"h" * 65_536)]),
    "null with id": (b"acme", None, [*GOOD, ("record_id", b"cus_gone")]),
    "null tenant, but in the key": (b"acme", body(id="null_tenant"), [("tenant", None), *GOOD[1:]]),
    "no key": (None, body(id="keyless"), GOOD),
    "envelope": (
        b"acme",
        json.dumps({"tenant": "acme", "connector": "stripe", "entity": "customer", "record": CUSTOMER}).encode(),
        [],
    ),
    "CloudEvents": (
        b"acme",
        body(id="ce"),
        [*((f"ce_{name}", value.encode()) for name, value in CLOUD_EVENT.items()), ("ce_entity", b"customer")],
    ),
}


def headers_of(message: Any) -> dict[str, Any]:
    """The last value of each header."""
    return dict(message.headers())


@pytest.mark.usefixtures("worker")
def test_bad_records_are_dead_letters_and_neighbours_come_out(system: Any) -> None:
    cases = [*DEAD.values(), *WHOLE.values()]
    for index, (key, value, headers) in enumerate(cases):
        system.produce(b"acme", body(id=f"neighbour_{index}"), GOOD)
        system.produce(key, value, headers)
    events = system.read("canonical.customer", len(cases) + len(WHOLE), seconds=60)
    assert len(events) == len(cases) + len(WHOLE)
    letters = system.read("dead-letters", len(DEAD))
    assert len(letters) == len(DEAD)
    originals = [(key, value) for key, value, _ in DEAD.values()]
    for letter in letters:
        assert (letter.key(), letter.value()) in originals
        told = headers_of(letter)
        assert told["__connect.errors.exception.message"]
        assert told["__connect.errors.topic"] == system.topic("raw.records").encode()
        assert told["aam-error-kind"] == b"invalid_record"


@pytest.mark.usefixtures("worker")
def test_dead_letters_can_be_seen_and_retried(system: Any) -> None:
    headers = [("tenant", b"acme"), ("connector", b"stripe")]
    system.produce(b"acme", body(), headers)
    system.read("dead-letters", 1)
    (listed,) = system.aam("deadletters", "list", "--json").stdout.splitlines()
    assert json.loads(listed)["kind"] == "invalid_record"
    system.aam("deadletters", "retry", "--all")
    letters = system.read("dead-letters", 2)
    failed = [headers_of(letter) for letter in letters if letter.value() is not None]
    attempts = sorted(headers["aam-error-attempts"] for headers in failed)
    assert attempts == [b"1", b"2"]
