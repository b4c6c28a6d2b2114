"""Publishes the registry's changes to the mapping table: one leader at a time, in order, one transaction each.

What is due is decided by `registry.outbox`; who leads by its advisory lock, and by the transactional id, which fences a
leader that doesn't know yet that it is none. A crash between commit and mark publishes the same again: harmless.
"""

import logging
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Final

from confluent_kafka import KafkaException, Producer

from agents.bites import in_bites
from agents.commit import retried
from agents.mapping_cache import MARKER, TableAssembler, key_bytes, marker_bytes
from agents.registry_access import OpenPool
from agents.thread_service import ThreadService
from mapping.experiment import ARMS, set_of_arm
from mapping.mapping_set import ANY_TENANT, MappingSet, compose
from mapping.plan import validate_set
from observability import metrics
from registry.audit import Recorded
from registry.outbox import Leadership, Outbox, Publication
from schemas.canonical_model import load_entities
from schemas.failures import AamError
from schemas.messages import RegistryEvent
from topics.clients import make_producer
from topics.kafka_record import OUTPUT_LIMIT_BYTES
from topics.read_topic import Until, read_topic
from topics.settings import KafkaSettings

log = logging.getLogger(__name__)

WAIT_SECONDS: Final = 1.0
RETRY_SECONDS: Final = 2.0
TRANSACTION_SECONDS: Final = 30.0
SET_LIMIT_BYTES: Final = OUTPUT_LIMIT_BYTES - 4096
EVENT_LIMIT_BYTES: Final = 1_000_000  # under the 1 MiB of `aam.registry.events.v1`
MIRRORED_DECISIONS: Final = 1_000  # a transaction
PRUNE_SECONDS: Final = 3600.0
KEEP_SECONDS: Final = 7 * 24 * 3600.0  # published changes stay so long in the outbox, for a look at it


class MappingPublisher(ThreadService):
    """Tries to lead for as long as the worker lives; Postgres or Kafka may come and go.

    `open_pool` gives connections to the registry; it is called again after each failure.
    """

    def __init__(self, kafka: KafkaSettings, open_pool: OpenPool, *, gather_seconds: float) -> None:
        super().__init__()
        self._kafka = kafka
        self._open_pool = open_pool
        self._gather_seconds = gather_seconds

    def run(self) -> None:
        while not self.ending.is_set():
            self._try()

    def _try(self) -> None:
        try:
            with self._open_pool() as pool:
                outbox = Outbox(pool)
                while not self.ending.is_set():
                    with outbox.try_lead() as leadership:
                        if leadership is not None:
                            self._lead(outbox, leadership)
                    self.ending.wait(RETRY_SECONDS)
        except (AamError, KafkaException) as error:
            metrics.PUBLISHER_FAILURES.labels(type(error).__name__).inc()
            log.warning("publisher: %s; trying again", error)
        except Exception:
            metrics.PUBLISHER_FAILURES.labels("bug").inc()
            log.exception("publisher: a bug; trying again")
        finally:
            metrics.PUBLISHER_LEADING.set(0)
        self.ending.wait(RETRY_SECONDS)

    def _lead(self, outbox: Outbox, leadership: Leadership) -> None:
        transactional_id = self._kafka.names.transactional_id("mapping-publisher")
        producer = make_producer(self._kafka, transactional_id=transactional_id)
        retried(lambda: producer.init_transactions(TRANSACTION_SECONDS), seconds=TRANSACTION_SECONDS)
        metrics.PUBLISHER_LEADING.set(1)
        published = self._read_published()
        version = published.table.version if published.table else None
        log.info("publisher: leading; the topic stands at %s", version)
        if outbox.reconcile(version):
            keys = list(published.table.sets) if published.table else []
            self._write(producer, outbox, outbox.everything(keys))
        pruned = -PRUNE_SECONDS
        while not self.ending.is_set():
            publication = outbox.pending()
            if publication is not None:
                self._write(producer, outbox, publication)
            metrics.PUBLISHER_LAG.set(outbox.oldest_pending_seconds())
            if time.monotonic() - pruned > PRUNE_SECONDS:
                outbox.prune(KEEP_SECONDS)
                pruned = time.monotonic()
            # changes go before decisions: workers wait for them
            if not self._mirror(producer, outbox) and leadership.wait(WAIT_SECONDS):
                self.ending.wait(self._gather_seconds)

    def _read_published(self) -> TableAssembler:
        published = TableAssembler()
        for record in read_topic(self._kafka, self._kafka.names.mapping_table, until=Until.WRITTEN):
            published.take(record.key, record.value)
        return published

    def _write(self, producer: Producer, outbox: Outbox, publication: Publication) -> None:
        names = self._kafka.names
        sets = list(in_bites(usable(publication.sets)))
        producer.begin_transaction()
        for mapping_set, body in sets:
            producer.produce(names.mapping_table, body, key_bytes(mapping_set.key))
        producer.produce(names.mapping_table, marker_bytes(publication.epoch, publication.revision), MARKER)
        for mapping_set, _ in in_bites(sets):
            event = _event(mapping_set, publication)
            producer.produce(names.registry_events, event.model_dump_json().encode(), key_bytes(mapping_set.key))
        retried(lambda: producer.commit_transaction(TRANSACTION_SECONDS), seconds=TRANSACTION_SECONDS)
        outbox.mark_published(publication.epoch, publication.revision)
        metrics.PUBLISHED_SETS.inc(len(sets))
        log.info("published %d sets at epoch %d, revision %d", len(sets), publication.epoch, publication.revision)

    def _mirror(self, producer: Producer, outbox: Outbox) -> bool:
        """Writes the next decisions of the audit trail; whether more may wait."""
        decisions = outbox.decisions(MIRRORED_DECISIONS)
        if not decisions:
            return False
        producer.begin_transaction()
        for decision in in_bites(decisions):
            key = key_bytes((decision.tenant, decision.connector, decision.entity))
            producer.produce(self._kafka.names.registry_events, decision_bytes(decision), key)
        retried(lambda: producer.commit_transaction(TRANSACTION_SECONDS), seconds=TRANSACTION_SECONDS)
        outbox.mark_mirrored(decisions[-1].id)
        return len(decisions) == MIRRORED_DECISIONS


def decision_bytes(decision: Recorded) -> bytes:
    """The decision as a registry event; without its evidence where that is too much for the topic."""
    event = RegistryEvent(
        kind="decision",
        epoch=0,
        revision=decision.revision,
        tenant=decision.tenant,
        connector=decision.connector,
        entity=decision.entity,
        at=decision.at,
        audit_id=decision.id,
        action=decision.action,
        actor=decision.actor,
        canonical_entity=decision.canonical_entity,
        canonical_field=decision.canonical_field,
        version=decision.version,
        before=decision.before,
        after=decision.after,
        reason=decision.reason,
        evidence=decision.evidence,
    )
    body = event.model_dump_json().encode()
    if len(body) <= EVENT_LIMIT_BYTES:
        return body
    return event.model_copy(update={"evidence": {"too_large": len(body)}}).model_dump_json().encode()


def usable(sets: tuple[MappingSet, ...]) -> Iterator[tuple[MappingSet, bytes]]:
    """The sets that a worker can compile, with their bytes; of each other one an error is logged and counted."""
    bases = {(s.connector, s.entity): s for s in sets if s.tenant == ANY_TENANT}
    for mapping_set in sets:
        try:
            body = mapping_set.model_dump_json().encode()
            if len(body) > SET_LIMIT_BYTES:
                raise AamError(f"it has {len(body)} bytes, over {SET_LIMIT_BYTES}")
            _validate(mapping_set)
            base = bases.get((mapping_set.connector, mapping_set.entity))
            composed = compose(base, mapping_set) if base is not None and base is not mapping_set else None
            if composed is not None:
                _validate(composed)
        except AamError as error:
            metrics.PUBLISHER_FAILURES.labels("invalid_set").inc()
            log.error("set %s is not published: %s", mapping_set.key, error)
        else:
            yield mapping_set, body


def _validate(mapping_set: MappingSet) -> None:
    for arm in ARMS if mapping_set.experiment is not None else ARMS[:1]:
        validate_set(set_of_arm(mapping_set, arm), load_entities())


def _event(mapping_set: MappingSet, publication: Publication) -> RegistryEvent:
    return RegistryEvent(
        kind="mapping_set_published",
        epoch=publication.epoch,
        revision=publication.revision,
        tenant=mapping_set.tenant,
        connector=mapping_set.connector,
        entity=mapping_set.entity,
        at=datetime.now(UTC),
    )
