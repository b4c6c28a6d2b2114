"""What the arms of an experiment made: reads the canonical topics of the last minutes, and the raw records of a sample.

The events tell their arm themselves (`aam.arm`); nothing else is joined. The sample, for the disagreement of the arms,
are the newest events' raw records, found by their coordinates.
"""

import time
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from confluent_kafka import OFFSET_END, KafkaException, TopicPartition

from cli.tail import ReleasedSchemas, decode_event
from mapping.arm_measures import ArmComparison, Disagreement, disagreement
from mapping.decode_json import decode
from mapping.mapping_set import ANY_TENANT, MappingSet
from mapping.origin import Delivery, Origin
from registry.experiments import StoredExperiment
from schemas.canonical_model import load_entities
from schemas.failures import InvalidRecord
from topics.avro_reader import AvroReader, make_avro_reader
from topics.clients import as_aam_error, make_consumer
from topics.raw_record import read_raw
from topics.read_topic import REQUEST_TIMEOUT_SECONDS, Until, partitions_of, read_topic
from topics.settings import KafkaSettings

# Between two raw records of the sample lie others; of one partition at most so many are read.
READ_A_PARTITION: Final = 50_000


@dataclass(frozen=True)
class Findings:
    """What was counted over `minutes`, and what the sample says."""

    comparison: ArmComparison
    disagreement: Disagreement


def read_findings(
    settings: KafkaSettings, experiment: StoredExperiment, mapping_set: MappingSet, *, minutes: float, sample: int
) -> Findings:
    """Reads the events of the experiment's entities that are newer than `minutes`; of their raw records `sample`.

    Raises as `read_topic` does.
    """
    assert mapping_set.experiment is not None, "the experiment's set"
    comparison = ArmComparison(mapping_set)
    places: dict[tuple[str, int, int], None] = {}
    reader = make_avro_reader(settings) or AvroReader(ReleasedSchemas())
    for entity in sorted({mapping.canonical_entity for mapping in mapping_set.experiment.mappings}):
        for event in _events(settings, settings.names.canonical(entity), minutes, reader):
            if _is_of(event["aam"], experiment):
                comparison.add(entity, event)
                raw = event["aam"]["raw"]
                places[raw["topic"], raw["partition"], raw["offset"]] = None
    newest = sorted(places, key=lambda place: place[2])[-sample:]
    records = _raw_records(settings, newest)
    return Findings(comparison, disagreement(mapping_set, load_entities(), records))


def _is_of(aam: Mapping[str, Any], experiment: StoredExperiment) -> bool:
    tenant, connector, entity = experiment.key
    revision = aam["mapping_revision"]
    return (
        (aam["source_system"], aam["source_entity"]) == (connector, entity)
        and tenant in (ANY_TENANT, aam["tenant_id"])
        and revision >= experiment.started_revision
        and (experiment.ended_revision is None or revision < experiment.ended_revision)
    )


def _events(settings: KafkaSettings, topic: str, minutes: float, reader: AvroReader) -> Iterator[Mapping[str, Any]]:
    start = _offsets_since(settings, topic, round((time.time() - 60 * minutes) * 1000))
    for record in read_topic(settings, topic, start=start, until=Until.COMMITTED) if start else ():
        try:
            yield decode_event(record.value, reader)
        except InvalidRecord:
            continue  # written by other means than ours


def _offsets_since(settings: KafkaSettings, topic: str, moment_ms: int) -> dict[int, int]:
    """partition → first offset with a timestamp from `moment_ms` on, of those that have one."""
    consumer = make_consumer(settings, group_id=settings.names.group("cli"))
    try:
        wanted = [TopicPartition(topic, number, moment_ms) for number in partitions_of(consumer, topic)]
        found = consumer.offsets_for_times(wanted, timeout=REQUEST_TIMEOUT_SECONDS)
    except KafkaException as error:
        raise as_aam_error(error, f"find a time in {topic}") from error
    finally:
        consumer.close()
    return {place.partition: place.offset for place in found if place.offset not in (OFFSET_END, -1)}


def _raw_records(
    settings: KafkaSettings, places: list[tuple[str, int, int]]
) -> Iterator[tuple[dict[str, Any], Origin, Delivery]]:
    wanted: dict[str, dict[int, set[int]]] = defaultdict(lambda: defaultdict(set))
    for topic, partition, offset in places:
        wanted[topic][partition].add(offset)
    avro = make_avro_reader(settings)
    for topic, partitions in wanted.items():
        for partition, offsets in partitions.items():
            last, read = max(offsets), 0
            for record in read_topic(settings, topic, start={partition: min(offsets)}):
                read += 1
                if record.offset in offsets:
                    try:
                        raw = read_raw(record.headers, record.key, record.value, decode_avro=avro)
                        body = raw.record if raw.record is not None else decode(raw.body or b"")
                    except InvalidRecord:
                        continue
                    place = (topic, partition, record.offset, record.timestamp_ms)
                    yield body, raw.origin, Delivery(*place, raw.op, raw.record_id, None, 0)
                if record.offset >= last or read >= READ_A_PARTITION:
                    break
