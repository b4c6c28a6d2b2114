"""The hot path: raw records in; canonical events, dead letters, parked records, novel fields out, in one transaction.

For each record this decides which of them it becomes. Where it comes from is read by `topics.raw_record`, its set found
in the mapping cache, the mapping done by the set's compiled function; offsets and the transaction are the source's.
"""

import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

from confluent_kafka import Message

from agents.batch import Batch
from agents.compiled_sets import CompiledSets
from agents.dead_letters import Output, bury
from agents.mapping_cache import Key, MappingTable
from agents.novel_fields import NovelFields, SourceWatch
from mapping.compile import CompiledSet
from mapping.decode_json import decode
from mapping.origin import Delivery, Origin
from observability import metrics
from schemas import headers as header_names
from schemas.failures import Bug, InvalidRecord, Misconfigured, TransientError
from schemas.messages import NovelReason
from topics.foreign_record import read_any
from topics.kafka_record import OUTPUT_LIMIT_BYTES, ConsumedRecord, original_coordinates, read_original
from topics.names import TopicNames
from topics.parked_record import parked
from topics.raw_bindings import RawBindings
from topics.raw_record import AvroDecoder, RawMessage, read_raw

# Headers and framing of an event need little; the topic's limit counts them.
EVENT_LIMIT_BYTES: Final = OUTPUT_LIMIT_BYTES - 4096
ROUTES_KEPT: Final = 65_536
_OUR_HEADERS: Final = "aam-"
_new = tuple.__new__  # half the price of Delivery(...)


class _Route:
    """What is the same for all records of one origin: looked up once a record, kept as long as the table."""

    __slots__ = ("compiled", "events", "key", "origin", "watch")

    def __init__(self, origin: Origin, compiled: CompiledSet | None, watch: SourceWatch) -> None:
        self.origin = origin
        self.compiled = compiled
        self.watch = watch
        self.key = origin.tenant.encode()
        self.events = 0


class Outcomes:
    """What a batch's records became, counted; told to the metrics once it has committed."""

    def __init__(self) -> None:
        self.events: Counter[str] = Counter()
        self.tenants: Counter[str] = Counter()
        self.dead: Counter[str] = Counter()
        self.dead_tenants: Counter[str] = Counter()
        self.novel: Counter[str] = Counter()
        self.parked = 0
        self.seen: list[SourceWatch] = []

    def tell(self, agent: str) -> None:
        """Add to the metrics."""
        for entity, count in self.events.items():
            metrics.EVENTS_OUT.labels(entity).inc(count)
        for tenant, count in self.tenants.items():
            metrics.TENANT_EVENTS.labels(metrics.tenant_label(tenant)).inc(count)
        for kind, count in self.dead.items():
            metrics.DEAD_LETTERS.labels(agent, kind).inc(count)
        for tenant, count in self.dead_tenants.items():
            metrics.TENANT_DEAD_LETTERS.labels(metrics.tenant_label(tenant)).inc(count)
        for reason, count in self.novel.items():
            metrics.NOVEL_FIELDS.labels(reason).inc(count)
        metrics.RECORDS_PARKED.inc(self.parked)


class Canonicalizer:
    """Turns raw records into outputs. Not for several threads at a time."""

    def __init__(
        self,
        *,
        names: TopicNames,
        entities: Iterable[str],
        table: Callable[[], MappingTable],
        compiled: CompiledSets,
        novel: NovelFields,
        tenant_topics: Mapping[str, str],
        decode_avro: AvroDecoder | None,
        bindings: RawBindings | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._names = names
        self._topics = {entity: names.canonical(entity) for entity in entities}
        self._current_table = table
        self._compiled = compiled
        self._novel = novel
        self._tenant_topics = tenant_topics
        self._bindings = bindings if bindings is not None else RawBindings({})
        self._has_bound_topics = bool(tenant_topics or self._bindings)
        self._decode_avro = decode_avro
        self._clock = clock
        self._known: tuple[MappingTable, int] | None = None
        self._routes: dict[int, _Route] = {}

    async def handle(self, batch: Batch) -> None:
        """Settle one batch, its work done off the event loop; metrics follow its commit."""
        with batch.outcome():
            batch.after_abort(lambda: self.aborted(Outcomes()))
            outcomes = await batch.in_thread(self._process_batch, batch)
            batch.after_abort(lambda: self.aborted(outcomes))
            batch.after_commit(lambda: outcomes.tell("canonicalize"))

    def aborted(self, outcomes: Outcomes) -> None:
        """To be called when what `process` wrote has not committed: it announced nothing."""
        self._novel.undo(outcomes.seen)

    def _process_batch(self, batch: Batch) -> Outcomes:
        spared = batch.messages
        if batch.condemned:
            spared = [message for message in batch.messages if message not in batch.condemned]
        outcomes = self.process(spared, batch)
        for message in batch.condemned:
            self._bury(message, Bug("processing this record ended the worker, time and again"), "map", batch, outcomes)
        return outcomes

    def maps(self, key: Key) -> bool:
        """Whether records of this (tenant, connector, entity) have a function now."""
        return self._compiled.find(self._current_table(), *key) is not None

    def process(self, messages: Iterable[Message], output: Output) -> Outcomes:
        """Write what each of `messages` becomes. One bad record hurts no other.

        Raises:
            TransientError: a dependency did not answer; abort and try the whole batch again.
            Misconfigured: no record of this kind can be processed until a setting is put right.
        """
        table = self._current_table()
        self._novel.begin()
        known = (table, self._novel.generation)
        if known != self._known or len(self._routes) > ROUTES_KEPT:
            self._known, self._routes = known, {}
        outcomes = Outcomes()
        emitted_at_us = int(self._clock() * 1_000_000)
        for message in messages:
            self._process_one(message, output, emitted_at_us, outcomes)
        self._announce(output, outcomes)
        for route in self._routes.values():
            if route.events:
                outcomes.tenants[route.origin.tenant] += route.events
                route.events = 0
        return outcomes

    def _process_one(self, message: Message, output: Output, emitted_at_us: int, outcomes: Outcomes) -> None:
        headers: Any = message.headers()
        stage = "decode"
        try:
            key, value = message.key(), message.value()
            original = read_original(headers) if headers and headers[-1][0].startswith(_OUR_HEADERS) else None
            if self._has_bound_topics:
                raw = self._read_bound(original.topic if original else message.topic() or "", headers, key, value)
            else:
                raw = read_raw(headers, key, value, decode_avro=self._decode_avro)
            origin, op, record_id, observed_at_us, traceparent, body, record = raw
            route = self._routes.get(id(origin))
            if route is None or route.origin is not origin:
                route = self._find_route(origin)
            compiled = route.compiled
            if record is None:
                record = {} if body is None else decode(body)
            if compiled is None:
                self._park(message, route.watch, record, output, outcomes)
                return
            stage = "map"
            delivery = _new(
                Delivery,
                (
                    *(original or (message.topic(), message.partition(), message.offset(), message.timestamp()[1])),
                    op,
                    record_id,
                    observed_at_us,
                    emitted_at_us,
                ),
            )
            events, leftover = compiled.apply(record, origin, delivery)
            for _, event in events:
                if len(event) > EVENT_LIMIT_BYTES:
                    raise InvalidRecord(f"an event of this record would be larger than {EVENT_LIMIT_BYTES} bytes")
        except (TransientError, Misconfigured, MemoryError):
            raise
        except Exception as error:
            self._bury(message, error, stage, output, outcomes)
            return
        trace = [(header_names.TRACEPARENT, traceparent)] if traceparent else None
        for entity, event in events:
            output.produce(self._topics[entity], event, route.key, trace)
            outcomes.events[entity] += 1
        route.events += len(events)
        if leftover:
            watch = route.watch
            if watch.samples_left or not watch.shapes.knows(leftover):
                watch.take(leftover, delivery)

    def _read_bound(self, topic: str, headers: Any, key: bytes | None, value: bytes | None) -> RawMessage:
        """Where topics are bound to tenants; one released or retried is read as a record of its first topic."""
        return read_any(
            topic,
            headers,
            key,
            value,
            bindings=self._bindings,
            tenant_topics=self._tenant_topics,
            decode_avro=self._decode_avro,
        )

    def _find_route(self, origin: Origin) -> _Route:
        assert self._known is not None, "set by process"
        compiled = self._compiled.find(self._known[0], origin.tenant, origin.connector, origin.entity)
        reason: NovelReason = "unmapped" if compiled else "unknown_source"
        watch = self._novel.watch(origin, ignored=compiled.mapping_set.ignored if compiled else (), reason=reason)
        route = self._routes[id(origin)] = _Route(origin, compiled, watch)  # keeps the origin, so its id stays its own
        return route

    def _park(
        self, message: Message, watch: SourceWatch, record: dict[str, Any], output: Output, outcomes: Outcomes
    ) -> None:
        consumed = ConsumedRecord.from_message(message)
        kept = parked(consumed)
        output.produce(self._names.raw_parked, kept.value, kept.key, kept.headers)
        outcomes.parked += 1
        if watch.samples_left or not watch.shapes.knows(record):
            watch.take(record, original_coordinates(consumed))

    def _announce(self, output: Output, outcomes: Outcomes) -> None:
        fields, outcomes.seen = self._novel.drain()
        for field in fields:
            output.produce(self._names.fields_novel, field.model_dump_json().encode(), field.tenant.encode())
            outcomes.novel[field.reason] += 1

    def _bury(self, message: Message, error: Exception, stage: str, output: Output, outcomes: Outcomes) -> None:
        kind, tenant = bury(message, error, stage=stage, names=self._names, output=output)
        outcomes.dead[kind] += 1
        outcomes.dead_tenants[tenant] += 1
