"""The hot path: raw records in; events, dead letters, parked records and novel fields out, in one transaction.

For each record this decides which of them it becomes. Where it comes from is read by `topics.raw_record`, its set found
in the mapping cache, the mapping done by the set's compiled function; offsets and the transaction are the source's.
"""

import logging
import time
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any

from confluent_kafka import Message

from agents.batch import Batch
from agents.compiled_sets import CompiledSets
from agents.mapping_cache import MappingCache, MappingTable
from agents.novel_fields import NovelFields
from mapping.compile import CompiledSet
from mapping.decode_json import decode
from mapping.origin import Delivery, Origin
from observability import metrics
from schemas.failures import FailureKind, InvalidRecord, TransientError
from schemas.messages import NovelField, RawCoordinates
from topics.dead_letter import Failure, dead_letter
from topics.kafka_record import OUTPUT_LIMIT_BYTES, ConsumedRecord, read_original
from topics.names import TopicNames
from topics.parked_record import parked
from topics.raw_record import AvroDecoder, RawMessage, read_raw

log = logging.getLogger(__name__)

AGENT = "canonicalize"
# Headers of a record that was never released or retried; only beyond them the coordinates can stand.
_PLAIN_HEADERS = 4
_EVENT_LIMIT_BYTES = OUTPUT_LIMIT_BYTES - 4096


class Canonicalizer:
    """Turns batches of raw records into outputs. One per worker; not for several threads at a time."""

    def __init__(
        self,
        *,
        names: TopicNames,
        entities: Mapping[str, Any],
        cache: MappingCache,
        compiled: CompiledSets,
        novel: NovelFields,
        tenant_topics: Mapping[str, str],
        decode_avro: AvroDecoder | None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._topics = {entity: names.canonical(entity) for entity in entities}
        self._names = names
        self._cache = cache
        self._compiled = compiled
        self._novel = novel
        self._tenant_topics = tenant_topics
        self._decode_avro = decode_avro
        self._clock = clock
        self._table: MappingTable | None = None
        self._routes: dict[Origin, CompiledSet | None] = {}

    async def handle(self, batch: Batch) -> None:
        """Processes `batch` off the event loop; metrics and memory follow its commit."""
        with batch.outcome():
            await batch.in_thread(self.process, batch)

    def process(self, batch: Batch) -> None:
        """Writes what the batch's records become through `batch`. Raises TransientError to have it replayed."""
        table = self._cache.table
        if table is not self._table:
            self._table, self._routes = table, {}
        self._novel.begin()
        counts: Counter[tuple[str, str]] = Counter()
        emitted_at_us = int(self._clock() * 1_000_000)
        for message in batch.messages:
            self._process_one(message, batch, table, emitted_at_us, counts)
        batch.after_commit(lambda: self._committed(counts))

    def _process_one(
        self, message: Message, batch: Batch, table: MappingTable, emitted_at_us: int, counts: Counter[tuple[str, str]]
    ) -> None:
        headers: Any = message.headers()
        stage = "decode"
        try:
            topic = message.topic() or ""
            raw = read_raw(
                headers,
                message.key(),
                message.value(),
                bound_tenant=self._tenant_topics.get(topic) if self._tenant_topics else None,
                decode_avro=self._decode_avro,
            )
            origin = raw.origin
            if origin in self._routes:
                compiled = self._routes[origin]
            else:
                compiled = self._compiled.find(table, origin.tenant, origin.connector, origin.entity)
                self._routes[origin] = compiled
            if compiled is None:
                self._park(message, origin, batch, counts)
                return
            record = _content(raw)
            stage = "map"
            delivery = _delivery(message, headers, raw, emitted_at_us)
            events, leftover = compiled.apply(record, origin, delivery)
            if any(len(body) > _EVENT_LIMIT_BYTES for _, body in events):
                raise InvalidRecord(f"an event of this record would be larger than {_EVENT_LIMIT_BYTES} bytes")
        except TransientError:
            raise
        except Exception as error:
            self._bury(message, error, stage, batch, counts)
            return
        key = origin.tenant.encode()
        topics, produce = self._topics, batch.produce
        for entity, body in events:
            produce(topics[entity], body, key=key)
            counts["event", entity] += 1
        counts["tenant", origin.tenant] += len(events)
        if leftover:
            seen_at = _coordinates(delivery)
            self._announce(self._novel.announce(origin, leftover, compiled.mapping_set.ignored, seen_at), batch, counts)

    def _park(self, message: Message, origin: Origin, batch: Batch, counts: Counter[tuple[str, str]]) -> None:
        record = ConsumedRecord.from_message(message)
        try:
            letter = parked(record)
        except InvalidRecord as error:
            self._bury(message, error, "park", batch, counts)
            return
        batch.produce(self._names.raw_parked, letter.value, key=letter.key, headers=letter.headers)
        counts["parked", ""] += 1
        seen_at = RawCoordinates(topic=record.topic, partition=record.partition, offset=record.offset)
        self._announce(self._novel.announce_source(origin, seen_at), batch, counts)

    def _announce(self, fields: Any, batch: Batch, counts: Counter[tuple[str, str]]) -> None:
        field: NovelField
        for field in fields:
            body = field.model_dump_json().encode()
            batch.produce(self._names.fields_novel, body, key=field.tenant.encode())
            counts["novel", field.reason] += 1

    def _bury(
        self, message: Message, error: Exception, stage: str, batch: Batch, counts: Counter[tuple[str, str]]
    ) -> None:
        failure = Failure.of(error, stage)
        if failure.kind is FailureKind.BUG:
            log.error("a record at %s could not be processed: %s", _where(message), failure.exception, exc_info=error)
        letter = dead_letter(ConsumedRecord.from_message(message), failure)
        batch.produce(self._names.dead_letters, letter.value, key=letter.key, headers=letter.headers)
        counts["dead", str(failure.kind)] += 1

    def _committed(self, counts: Counter[tuple[str, str]]) -> None:
        self._novel.committed()
        for (what, label), count in counts.items():
            if what == "event":
                metrics.EVENTS_OUT.labels(label).inc(count)
            elif what == "tenant":
                metrics.TENANT_EVENTS.labels(metrics.tenant_label(label)).inc(count)
            elif what == "dead":
                metrics.DEAD_LETTERS.labels(AGENT, label).inc(count)
            elif what == "novel":
                metrics.NOVEL_FIELDS.labels(label).inc(count)
            else:
                metrics.RECORDS_PARKED.inc(count)


def _content(raw: RawMessage) -> dict[str, Any]:
    if raw.record is not None:
        return raw.record
    return {} if raw.body is None else decode(raw.body)


def _delivery(message: Message, headers: Any, raw: RawMessage, emitted_at_us: int) -> Delivery:
    original = read_original(headers) if headers and len(headers) > _PLAIN_HEADERS else None
    if original is None:
        topic, partition, offset = message.topic() or "", message.partition() or 0, message.offset() or 0
        timestamp_ms = message.timestamp()[1]
    else:
        topic, partition, offset, timestamp_ms = original
    return Delivery(topic, partition, offset, timestamp_ms, raw.op, raw.record_id, raw.observed_at_us, emitted_at_us)


def _coordinates(delivery: Delivery) -> RawCoordinates:
    return RawCoordinates(topic=delivery.topic, partition=delivery.partition, offset=delivery.offset)


def _where(message: Message) -> str:
    return f"{message.topic()}[{message.partition()}]@{message.offset()}"
