"""What a user does first, with the product's own commands and the field's own clients."""

import json
import time
from typing import Any

import pytest
from confluent_kafka import Message
from confluent_kafka.schema_registry import SchemaRegistryClient
from confluent_kafka.schema_registry.avro import AvroDeserializer
from confluent_kafka.serialization import MessageField, SerializationContext

HEADERS: list[tuple[str, Any]] = [("tenant", b"acme"), ("connector", b"stripe"), ("entity", b"customer")]
CUSTOMER = {"id": "cus_1", "object": "customer", "name": "Ann", "email": "ann@example.com", "created": 1_700_000_000}


def decoder(gateway: str) -> Any:
    """confluent-kafka's own deserializer, reading schemas from the gateway."""
    deserialize = AvroDeserializer(SchemaRegistryClient({"url": gateway}))
    return lambda message: deserialize(message.value(), SerializationContext(message.topic(), MessageField.VALUE))


def by_name(messages: list[Message], decode: Any) -> dict[str, Any]:
    return {event["display_name"]: event for event in map(decode, messages)}


@pytest.mark.usefixtures("worker")
def test_a_bare_json_record_becomes_an_event_that_standard_tools_decode(system: Any, gateway: str) -> None:
    system.produce(b"acme", json.dumps(CUSTOMER).encode(), HEADERS)
    (message,) = system.read("canonical.customer", 1)
    event = decoder(gateway)(message)
    assert message.key() == b"acme"
    assert event["display_name"] == "Ann"
    assert event["emails"] == ["ann@example.com"]
    assert event["created_at"].isoformat() == "2023-11-14T22:13:20+00:00"
    aam = event["aam"]
    assert (aam["tenant_id"], aam["source_system"], aam["source_entity"]) == ("acme", "stripe", "customer")
    assert (aam["source_id"], aam["op"], aam["raw"]["offset"]) == ("cus_1", "upsert", 0)
    assert aam["mapping_revision"] > 0


@pytest.mark.usefixtures("worker")
def test_a_changed_mapping_is_used_within_two_seconds(system: Any, gateway: str) -> None:
    decode = decoder(gateway)
    system.produce(b"acme", json.dumps(CUSTOMER | {"name": "before", "nick": "N"}).encode(), HEADERS)
    before = by_name(system.read("canonical.customer", 1), decode)["before"]
    change = ("mappings", "set", "--connector", "stripe", "--entity", "customer", "--from", "nick", "--to")
    system.aam(*change, "customer.display_name")
    changed = time.monotonic()
    sent = 0
    while time.monotonic() - changed < 2:
        sent += 1
        system.produce(b"acme", json.dumps(CUSTOMER | {"nick": f"n{sent}", "name": "before"}).encode(), HEADERS)
        time.sleep(0.2)
    system.produce(b"acme", json.dumps(CUSTOMER | {"nick": "after", "name": "before"}).encode(), HEADERS)
    events = by_name(system.read("canonical.customer", sent + 2), decode)
    assert events["after"]["aam"]["mapping_revision"] > before["aam"]["mapping_revision"]


@pytest.mark.usefixtures("worker")
def test_an_unknown_source_is_parked_and_comes_out_once_it_has_a_set(system: Any, gateway: str) -> None:
    headers = [("tenant", b"acme"), ("connector", b"homegrown"), ("entity", b"person")]
    system.produce(b"acme", b'{"uid": "u1", "label": "Ann"}', headers)
    (parked,) = system.read("raw.parked", 1)
    assert parked.value() == b'{"uid": "u1", "label": "Ann"}'
    arguments = ("--from", "label", "--to", "customer.display_name", "--primary-key", "uid")
    system.aam("mappings", "set", "--connector", "homegrown", "--entity", "person", *arguments)
    (released,) = system.read("canonical.customer", 1)
    event = decoder(gateway)(released)
    assert event["display_name"] == "Ann"
    assert event["aam"]["source_id"] == "u1"
    assert event["aam"]["raw"] == {
        "topic": system.topic("raw.records"),
        "partition": event["aam"]["raw"]["partition"],
        "offset": 0,
    }


@pytest.mark.usefixtures("worker")
def test_produce_and_tail_are_a_pair(system: Any) -> None:
    lines = b"".join(json.dumps(CUSTOMER | {"id": f"cus_{n}", "name": f"n{n}"}).encode() + b"\n" for n in range(50))
    system.aam("produce", "-", "--tenant", "acme", "--connector", "stripe", "--entity", "customer", stdin=lines)
    tailed = system.aam("tail", "customer", "--from", "beginning", "--limit", "50", "--json", "--tenant", "acme")
    events = [json.loads(line) for line in tailed.stdout.splitlines()]
    assert {event["display_name"] for event in events} == {f"n{n}" for n in range(50)}
