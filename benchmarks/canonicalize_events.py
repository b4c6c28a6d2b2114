"""Whether a system wrote the same events as our compiled function gives for the same raw records.

Compared is a sample, whole, but for what differs by nature: when an event was emitted, and its id, which Kafka Streams
makes with another hash.
"""

import io
import json
import time
from collections.abc import Iterator
from typing import Any, Final

import fastavro
from confluent_kafka import Consumer, Message, TopicPartition

from benchmarks.canonicalize_stage import Stage
from mapping.compile import Apply, compile_set
from mapping.decode_json import decode
from mapping.origin import Delivery, Origin
from schemas.canonical_model import load_entities
from schemas.wire_format import FRAME_BYTES
from topics.clients import make_consumer
from topics.read_topic import partitions_of

SAMPLE_OFFSETS: Final = 300  # of each raw partition, from its beginning
READ_SECONDS: Final = 20.0
ENOUGH: Final = 200

Place = tuple[int, int]  # raw partition, offset


def compare_events(stage: Stage, event_format: str) -> int:
    """How many events of the sample were compared; AssertionError at the first that differs, or if there are few."""
    expected = _expected(stage, "avro" if event_format == "avro" else "json")
    entities = {topic: entity for entity, topic in stage.outputs.items()}
    schemas = {e: fastavro.parse_schema(load_entities()[e].avro) for e in entities.values()}
    seen: set[Place] = set()
    for message in _messages(stage, list(entities), len(expected)):
        event = _decoded(message, schemas[entities[message.topic() or ""]] if event_format == "avro" else None)
        raw = event["aam"]["raw"]
        place = raw["partition"], raw["offset"]
        if place in expected:
            wanted, found = _comparable(expected[place]), _comparable(event)
            assert wanted == found, f"{place}: {found}\nis not\n{wanted}"
            seen.add(place)
    assert len(seen) >= min(ENOUGH, len(expected)), f"only {len(seen)} of {len(expected)} sample events were found"
    return len(seen)


def _expected(stage: Stage, event_format: str) -> dict[Place, dict[str, Any]]:
    """Raw place → the event that our function makes; of Avro, as fastavro would read it."""
    functions = _functions(stage, event_format)
    schemas = {entity: fastavro.parse_schema(load_entities()[entity].avro) for entity in stage.outputs}
    expected: dict[Place, dict[str, Any]] = {}
    for message in _raw_sample(stage):
        headers: dict[str, bytes] = dict(message.headers() or [])  # type: ignore[arg-type]  # as the load writes them
        tenant, connector, entity = (headers[name].decode() for name in ("tenant", "connector", "entity"))
        topic, partition, offset = message.topic() or "", message.partition() or 0, message.offset() or 0
        delivery = Delivery(topic, partition, offset, message.timestamp()[1], "upsert", None, None, 0)
        origin = Origin(tenant, connector, entity, connector)
        events, _ = functions[connector](decode(message.value() or b""), origin, delivery)
        target, event = events[0]
        expected[partition, offset] = json.loads(event) if event_format == "json" else _read(event, schemas[target])
    return expected


def _read(body: bytes, schema: Any) -> dict[str, Any]:
    event: Any = fastavro.schemaless_reader(io.BytesIO(body), schema, None)
    return dict(event)


def _functions(stage: Stage, event_format: str) -> dict[str, Apply]:
    form: Any = event_format
    return {s.connector: compile_set(s, load_entities(), event_format=form).apply for s in stage.sets}


def _raw_sample(stage: Stage) -> list[Message]:
    places = [TopicPartition(p.topic, p.partition, 0) for p in stage.raw_ends() if p.offset > 0]
    wanted = sum(min(SAMPLE_OFFSETS, p.offset) for p in stage.raw_ends())
    found: list[Message] = []
    consumer = make_consumer(stage.kafka, group_id=stage.kafka.names.group("bench"))
    consumer.assign(places)
    end = time.monotonic() + READ_SECONDS
    while len(found) < wanted and time.monotonic() < end:
        found += [m for m in consumer.consume(5_000, 0.5) if m.error() is None and (m.offset() or 0) < SAMPLE_OFFSETS]
    consumer.close()
    return found


def _messages(stage: Stage, topics: list[str], enough: int) -> list[Message]:
    """The beginning of every output partition, where the sample's events are."""
    consumer: Consumer = make_consumer(stage.kafka, group_id=stage.kafka.names.group("bench"))
    consumer.assign([TopicPartition(topic, p, 0) for topic in topics for p in partitions_of(consumer, topic)])
    found: list[Message] = []
    last = time.monotonic()
    while time.monotonic() - last < 2.0 and len(found) < 20 * enough:
        messages = [m for m in consumer.consume(5_000, 0.5) if m.error() is None]
        found += messages
        last = time.monotonic() if messages else last
    consumer.close()
    return found


def _decoded(message: Message, schema: Any) -> dict[str, Any]:
    value = message.value() or b""
    if schema is None:
        event: dict[str, Any] = json.loads(value)
        return event
    return _read(value[FRAME_BYTES:], schema)


def _comparable(event: dict[str, Any]) -> dict[str, Any]:
    aam = {k: v for k, v in event["aam"].items() if k not in {"event_id", "emitted_at"} and v is not None}
    custom = dict(leaf for path, text in aam["custom_fields"].items() for leaf in _leaves(path, json.loads(text)))
    return event | {"aam": aam | {"custom_fields": custom}}


def _leaves(path: str, value: Any) -> Iterator[tuple[str, Any]]:
    """A custom field may hold an object whole or in parts; what it says is the same."""
    if isinstance(value, dict) and value:
        for name, inner in value.items():
            yield from _leaves(f"{path}.{name}", inner)
    else:
        yield path, value
