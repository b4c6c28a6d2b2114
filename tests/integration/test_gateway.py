"""Confluent's own client and deserializer read canonical events with nothing but the gateway's address."""

import io
import json
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import fastavro
import pytest
import uvicorn
from confluent_kafka.schema_registry import Schema, SchemaRegistryClient
from confluent_kafka.schema_registry.avro import AvroDeserializer, AvroSerializer
from confluent_kafka.schema_registry.error import SchemaRegistryError
from confluent_kafka.serialization import MessageField, SerializationContext

from gateway.app import create_app
from gateway.settings import GatewaySettings
from registry.errors import RegistryMisconfigured
from registry.pool import Pool
from schemas.canonical_model import load_entities
from schemas.schema_ids import schema_id, subject_of
from schemas.wire_format import frame, unframe


def no_registry() -> AbstractContextManager[Pool]:
    """The schemas are served without Postgres."""
    raise RegistryMisconfigured("DATABASE_URL is not set")


START_SECONDS = 20
CUSTOMER = load_entities()["customer"]
TOPIC = "aam.canonical.customer.v1"
AT = datetime(2026, 11, 24, 9, 30, 0, 123456, tzinfo=UTC)
EVENT: dict[str, Any] = {
    "aam": {
        "event_id": "e1",
        "tenant_id": "t1",
        "connection": "shop",
        "source_system": "shop",
        "source_entity": "customers",
        "source_id": "17",
        "op": "upsert",
        "mapping_revision": 3,
        "schema_version": 1,
        "observed_at": None,
        "emitted_at": AT,
        "confidence": 0.97,
        "provisional": ["status"],
        "absent": [],
        "unconverted": {},
        "raw": {"topic": "aam.raw.records.v1", "partition": 0, "offset": 5},
        "custom_fields": {"loyalty.tier": '"gold"'},
        "arm": None,
    },
    "display_name": "Zoë",
    "emails": ["zoe@example.com"],
    "addresses": [{"city": "Graz", "country": "AT"}],
    "balance": Decimal("-12.500000000"),
    "created_at": AT,
    "deleted": False,
}


@pytest.fixture(scope="module")
def registry() -> Iterator[SchemaRegistryClient]:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port = listener.getsockname()[1]
        server = uvicorn.Server(uvicorn.Config(create_app(GatewaySettings(), no_registry), log_level="warning"))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        try:
            deadline = time.monotonic() + START_SECONDS
            while not server.started:
                assert thread.is_alive()
                assert time.monotonic() < deadline
                time.sleep(0.02)
            yield SchemaRegistryClient({"url": f"http://127.0.0.1:{port}"})
        finally:
            server.should_exit = True
            thread.join(START_SECONDS)


@pytest.fixture
def written() -> bytes:
    body = io.BytesIO()
    fastavro.schemaless_writer(body, CUSTOMER.avro, EVENT)
    return frame(schema_id(CUSTOMER)) + body.getvalue()


@pytest.fixture
def context() -> SerializationContext:
    return SerializationContext(TOPIC, MessageField.VALUE)


def test_avro_deserializer_reads_an_event(
    registry: SchemaRegistryClient, written: bytes, context: SerializationContext
) -> None:
    event = AvroDeserializer(registry)(written, context)
    assert isinstance(event, dict)
    assert event["aam"] == EVENT["aam"]
    assert {name: event[name] for name in EVENT if name != "addresses"} == {
        name: value for name, value in EVENT.items() if name != "addresses"
    }
    assert event["addresses"][0]["city"] == "Graz"
    assert event["currency"] is None


@pytest.mark.parametrize("auto_register", [True, False])
def test_avro_serializer_finds_our_ids(
    registry: SchemaRegistryClient, written: bytes, context: SerializationContext, auto_register: bool
) -> None:
    serializer = AvroSerializer(registry, json.dumps(CUSTOMER.avro), conf={"auto.register.schemas": auto_register})
    value = serializer(EVENT, context)
    assert value == written
    assert value is not None
    assert unframe(value)[0] == schema_id(CUSTOMER)


def test_client_reads_the_registry(registry: SchemaRegistryClient) -> None:
    subject, known = subject_of("customer"), schema_id(CUSTOMER)
    assert registry.get_subjects() == sorted(subject_of(name) for name in load_entities())
    assert registry.get_versions(subject) == [1]
    latest = registry.get_latest_version(subject)
    assert (latest.schema_id, latest.version, latest.subject) == (known, 1, subject)
    assert registry.get_version(subject, 1).schema_id == known
    assert registry.lookup_schema(subject, Schema(json.dumps(CUSTOMER.avro), "AVRO")).schema_id == known
    assert registry.get_subjects_by_schema_id(known) == [subject]
    assert [(v.subject, v.version) for v in registry.get_schema_versions(known)] == [(subject, 1)]
    assert json.loads(registry.get_schema(known).schema_str or "") == CUSTOMER.avro


def test_client_understands_refusals(registry: SchemaRegistryClient) -> None:
    with pytest.raises(SchemaRegistryError) as missing:
        registry.get_schema(1)
    assert (missing.value.http_status_code, missing.value.error_code) == (404, 40403)
    with pytest.raises(SchemaRegistryError) as refused:
        registry.register_schema("other-value", Schema('"string"', "AVRO"))
    assert (refused.value.http_status_code, refused.value.error_code) == (422, 42205)
