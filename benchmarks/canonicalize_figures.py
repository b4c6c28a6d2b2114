"""Figures of our worker alone: how soon a changed mapping is used, what 50,000 compiled mappings weigh, how fast
two workers are together.
"""

import threading
import time
from collections.abc import Iterator
from itertools import islice
from typing import Any, Final

import orjson
from confluent_kafka import Consumer, TopicPartition

from benchmarks.canonicalize_latency import Load
from benchmarks.canonicalize_stage import Stage
from benchmarks.canonicalize_systems import System
from benchmarks.canonicalize_throughput import MEGABYTE, run_throughput
from benchmarks.worker_process import WorkerProcess
from mapping.mapping_set import Mapping, MappingSet, Transform
from schemas.canonical_model import CanonicalField, FieldKind, load_entities
from schemas.failures import TransientError
from topics.clients import make_consumer, make_producer
from topics.read_topic import partitions_of

CONNECTOR_ENTITIES: Final = 1_000
FIELDS: Final = 50
UPDATES: Final = 5
UPDATE_RATE: Final = 500
SETTLE_SECONDS: Final = 120.0
NUMBERS: Final = 3_000_000_000

_OPS: Final = {FieldKind.TIMESTAMP: "epoch_seconds", FieldKind.DATE: "iso_date"}
_VALUES: Final[dict[FieldKind, Any]] = {
    FieldKind.STRING: "a text",
    FieldKind.LONG: 7,
    FieldKind.DOUBLE: 1.5,
    FieldKind.BOOLEAN: True,
    FieldKind.DECIMAL: 12,
    FieldKind.TIMESTAMP: 1_750_000_000,
    FieldKind.DATE: "2025-06-15",
}


def two_workers(stage: Stage, *, warm_up_share: float) -> float:
    """Records per second of two workers together, Avro."""
    two = System("ours", "avro", "exactly-once", workers=2)
    return float(run_throughput(stage, two, "two-workers", warm_up_share=warm_up_share)["records_per_s"])


def mapping_update_seconds(stage: Stage) -> float:
    """The longest of a few times from a mapping's commit in the registry to the first readable event made with it."""
    stage.fresh_outputs()
    stage.start_group(stage.kafka.names.group("canonicalize"), stage.raw_ends())
    worker = _worker(stage, "update", AAM_EVENT_FORMAT="json")
    reader = _reader(stage)
    try:
        worker.wait_until_ready()
        load = Load(stage, NUMBERS)
        sending = threading.Thread(target=load.send_for, args=(4.0 * UPDATES, UPDATE_RATE), daemon=True)
        sending.start()
        longest = max(_one_update(stage, reader, number) for number in range(UPDATES))
        sending.join()
    finally:
        reader.close()
        worker.stop()
    return round(longest, 3)


def worker_megabytes(stage: Stage) -> float:
    """Resident memory of a worker that has compiled `CONNECTOR_ENTITIES` sets of `FIELDS` mappings each."""
    sets = list(islice(_large_sets(), CONNECTOR_ENTITIES))
    with stage.registry() as store:
        store.import_seed(sets, actor="benchmark")
    group = stage.kafka.names.group("canonicalize")
    stage.start_group(group, stage.raw_ends())
    worker = _worker(stage, "memory")
    try:
        worker.wait_until_ready()
        _wait(lambda: worker.metric("aam_mapping_sets") >= CONNECTOR_ENTITIES, "the sets were not published")
        _send_one_of_each(stage, sets)
        watcher, ends = stage.watcher(group), stage.raw_ends()
        wanted = sum(place.offset for place in ends)
        _wait(
            lambda: sum(max(0, p.offset) for p in watcher.committed(ends, timeout=10)) >= wanted,
            "the records were not canonicalized",
        )
        watcher.close()
        return round(worker.rss_bytes() / MEGABYTE, 1)
    finally:
        worker.stop()


def _worker(stage: Stage, name: str, **settings: str) -> WorkerProcess:
    log = stage.folder / f"{stage.shape.name}-figure-{name}.log"
    return WorkerProcess(stage.environment | settings, log, agents="canonicalize")


def _one_update(stage: Stage, reader: Consumer, number: int) -> float:
    time.sleep(1.0)
    source = stage.sources[0].mapping_set
    mapping = Mapping(
        canonical_entity=source.mappings[0].canonical_entity,
        canonical_field="company_name",
        source_field=("name", "description")[number % 2],
    )
    with stage.registry() as store:
        revision = store.set_mapping(
            connector=source.connector, entity=source.entity, mapping=mapping, method="manual", actor="benchmark"
        )
        committed = time.monotonic()
    while time.monotonic() - committed < SETTLE_SECONDS:
        for message in reader.consume(500, 0.02):
            value = message.value()
            if message.error() is None and orjson.loads(value or b"")["aam"]["mapping_revision"] >= revision:
                return time.monotonic() - committed
    raise TransientError("the changed mapping was never used")


def _reader(stage: Stage) -> Consumer:
    reader = make_consumer(stage.kafka, group_id=stage.kafka.names.group("bench-update"))
    topic = stage.outputs[stage.sources[0].target]
    reader.assign([TopicPartition(topic, partition, 0) for partition in partitions_of(reader, topic)])
    return reader


def _large_sets() -> Iterator[MappingSet]:
    targets = [
        (entity.name, field)
        for entity in load_entities().values()
        for field in entity.fields
        if field.kind is not None and not field.is_list
    ][:FIELDS]
    number = 0
    while True:
        mappings = tuple(_mapping(entity, field) for entity, field in targets)
        yield MappingSet(
            connector=f"vendor-{number // 10:03d}",
            entity=f"object-{number % 10}",
            epoch=0,
            revision=0,
            primary_key=("id",),
            mappings=mappings,
        )
        number += 1


def _mapping(entity: str, field: CanonicalField) -> Mapping:
    assert field.kind is not None, "chosen so"
    return Mapping(
        canonical_entity=entity,
        canonical_field=field.name,
        source_field=f"{entity}_{field.name}",
        transform=Transform(op=_OPS.get(field.kind, "copy")),
    )


def _send_one_of_each(stage: Stage, sets: list[MappingSet]) -> None:
    producer, entities = make_producer(stage.kafka), load_entities()
    for mapping_set in sets:
        record: dict[str, Any] = {"id": "1"}
        for mapping in mapping_set.mappings:
            kind = entities[mapping.canonical_entity].field(mapping.canonical_field).kind
            record[mapping.source_field or ""] = _VALUES[kind or FieldKind.STRING]
        headers: Any = {"tenant": "tenant-000", "connector": mapping_set.connector, "entity": mapping_set.entity}
        producer.produce(stage.kafka.names.raw_records, orjson.dumps(record), b"tenant-000", headers=headers)
    producer.flush(60)


def _wait(true: Any, otherwise: str) -> None:
    end = time.monotonic() + SETTLE_SECONDS
    while not true():
        if time.monotonic() > end:
            raise TransientError(otherwise)
        time.sleep(0.1)
