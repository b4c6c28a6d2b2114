"""Releases parked records once their source has a mapping set: as canonical events, with their first coordinates.

Exactly once: what the records become, and the marks that say how far their sources are released, are one transaction.
One worker at a time owns the parked topic, as the member of a group; the fixed transactional id fences any other.
"""

import logging
import math
import threading
import time
from collections import Counter
from collections.abc import Collection, Iterator
from contextlib import ExitStack
from typing import Final

from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaException, Message, Producer, TopicPartition

from agents.batch import Writer
from agents.canonicalize import Canonicalizer, Outcomes
from agents.commit import OpenProducer, retried
from agents.mapping_cache import Key, MappingCache
from agents.parked_records import PARTITION, ParkedRecords
from agents.thread_service import ThreadService
from observability import metrics
from schemas.failures import AamError, Bug
from topics.clients import make_consumer
from topics.settings import KafkaSettings

log = logging.getLogger(__name__)

AGENT: Final = "release_parked"
POLL_SECONDS: Final = 0.5
RETRY_SECONDS: Final = 2.0
# The group is polled between turns, or the worker would be taken for dead.
TURN_SECONDS: Final = 30.0
# Each source in a transaction needs a client of its group for a moment.
SOURCES_AT_ONCE: Final = 20
# Brokers drop the offsets of a group without members after a while (offsets.retention.minutes, a week by default).
REFRESH_SECONDS: Final = 24 * 3600.0
FIRST_REFRESH_SECONDS: Final = 300.0


class Releaser:
    """Releases sources from `parked`, chunk by chunk. After an error, forget what was read and begin again."""

    def __init__(
        self,
        kafka: KafkaSettings,
        parked: ParkedRecords,
        canonicalizer: Canonicalizer,
        open_producer: OpenProducer,
        *,
        chunk_records: int,
        timeout_seconds: float,
    ) -> None:
        self._kafka = kafka
        self._parked = parked
        self._canonicalizer = canonicalizer
        self._open_producer = open_producer
        self._chunk_records = chunk_records
        self._timeout = timeout_seconds
        self._producer: Producer | None = None

    def open(self) -> None:
        """End and fence whatever another process was releasing. To be called before the marks are read."""
        self._producer = None
        producer = self._open_producer()
        retried(lambda: producer.init_transactions(self._timeout), seconds=self._timeout)
        self._producer = producer

    def covered(self) -> list[Key]:
        """Sources with pending records that a set now maps."""
        return [key for key in self._parked.pending if self._canonicalizer.maps(key)]

    def release(self, keys: Collection[Key], *, seconds: float = math.inf) -> Counter[Key]:
        """Release what is pending of `keys`, or as much as `seconds` allow; records released, by source.

        Raises:
            AamError, KafkaException: nothing of the current chunk was released; `open` anew.
        """
        released: Counter[Key] = Counter()
        end = time.monotonic() + seconds
        for some in _groups(sorted(keys), SOURCES_AT_ONCE):
            for chunk in self._chunks(set(some)):
                outcomes, marks = self._transact(chunk, {key: (m.offset() or 0) + 1 for key, m in chunk})
                counts = Counter(key for key, _ in chunk)
                for key, mark in marks.items():
                    self._parked.released(key, mark=mark, count=counts[key])
                outcomes.tell(AGENT)
                metrics.RECORDS_RELEASED.inc(len(chunk))
                released += counts
                if time.monotonic() > end:
                    return released
        return released

    def refresh(self) -> None:
        """Commit all marks again, so that brokers don't let them expire."""
        marks = {key: mark for key, mark in self._parked.marks.items() if mark > 0}
        for some in _groups(sorted(marks), SOURCES_AT_ONCE):
            self._transact([], {key: marks[key] for key in some})

    def _chunks(self, keys: set[Key]) -> Iterator[list[tuple[Key, Message]]]:
        start = min(self._parked.pending[key].first_offset for key in keys)
        end = self._parked.next_offset
        chunk: list[tuple[Key, Message]] = []
        for message in self._parked.read(start):
            if (message.offset() or 0) >= end:
                break
            key = self._parked.source_of(message)
            if key in keys and (message.offset() or 0) >= self._parked.marks[key]:
                chunk.append((key, message))
            if len(chunk) >= self._chunk_records:
                yield chunk
                chunk = []
        if chunk:
            yield chunk

    def _transact(self, chunk: list[tuple[Key, Message]], marks: dict[Key, int]) -> tuple[Outcomes, dict[Key, int]]:
        producer = self._producer
        if producer is None:
            raise Bug("released without `open`: the marks may be old")
        self._producer = None  # kept only if the transaction ends well; `open` ends what this one leaves
        outcomes = Outcomes()
        try:
            producer.begin_transaction()
            writer = Writer(producer, time.monotonic() + self._timeout / 2)
            outcomes = self._canonicalizer.process([message for _, message in chunk], writer)
            self._commit(producer, marks)
        except BaseException:
            self._canonicalizer.aborted(outcomes)
            raise
        self._producer = producer
        return outcomes, marks

    def _commit(self, producer: Producer, marks: dict[Key, int]) -> None:
        with ExitStack() as clients:
            for key, mark in marks.items():
                client = make_consumer(self._kafka, group_id=self._parked.group(key))
                clients.callback(client.close)
                self._send_mark(producer, client, mark)
            retried(lambda: producer.commit_transaction(self._timeout), seconds=self._timeout)

    def _send_mark(self, producer: Producer, client: Consumer, mark: int) -> None:
        offsets = [TopicPartition(self._parked.topic, PARTITION, mark)]
        member = client.consumer_group_metadata()
        retried(lambda: producer.send_offsets_to_transaction(offsets, member, self._timeout), seconds=self._timeout)


class ReleaseParked(ThreadService):
    """Tails the parked topic while this worker owns it, and releases what the mapping cache now covers."""

    def __init__(
        self, kafka: KafkaSettings, cache: MappingCache, parked: ParkedRecords, releaser: Releaser, *, slot: int
    ) -> None:
        super().__init__()
        self._kafka = kafka
        self._cache = cache
        self._parked = parked
        self._releaser = releaser
        self._slot = slot
        self._owns = False
        self._refresh_at = 0.0
        self._changed = threading.Event()
        cache.on_change(self._changed.set)

    def run(self) -> None:
        while not self.ending.is_set() and not self._cache.ready.wait(POLL_SECONDS):
            pass
        while not self.ending.is_set():
            try:
                self._follow()
            except (AamError, KafkaException) as error:
                log.warning("parked records: %s; beginning again", error)
            except Exception:
                log.exception("parked records: a bug; beginning again")
            self.ending.wait(RETRY_SECONDS)

    def _follow(self) -> None:
        group = self._kafka.names.group("parked-release")
        consumer = make_consumer(self._kafka, group_id=group, group_instance_id=f"{group}-{self._slot}")
        try:
            consumer.subscribe([self._parked.topic], on_assign=self._take_over, on_revoke=self._leave)
            while not self.ending.is_set():
                self._turn(consumer)
        finally:
            self._owns = False
            consumer.close()

    def _turn(self, consumer: Consumer) -> None:
        messages = [m for m in consumer.consume(1000, POLL_SECONDS) if m.error() is None]
        if not self._owns:
            return
        if messages:
            self._parked.take(messages)
        if messages or self._changed.is_set():
            self._changed.clear()
            self._release()
        if time.monotonic() > self._refresh_at:
            self._refresh_at = time.monotonic() + REFRESH_SECONDS
            self._releaser.refresh()
        metrics.RECORDS_PENDING.set(sum(waiting.count for waiting in self._parked.pending.values()))

    def _release(self) -> None:
        covered = self._releaser.covered()
        if covered:
            for key, count in self._releaser.release(covered, seconds=TURN_SECONDS).items():
                log.info("released %d parked records of %s", count, "/".join(key))
            self._changed.set()  # look again: there may be more than a turn's work

    def _take_over(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        # From the beginning: what is pending is told by the marks, not by this group's own offset.
        consumer.assign([TopicPartition(p.topic, p.partition, OFFSET_BEGINNING) for p in partitions])
        self._owns = bool(partitions)
        if self._owns:
            self._releaser.open()
            self._parked.forget()
            self._changed.set()
            self._refresh_at = time.monotonic() + FIRST_REFRESH_SECONDS

    def _leave(self, _consumer: Consumer, _partitions: list[TopicPartition]) -> None:
        self._owns = False


def _groups(items: list[Key], size: int) -> Iterator[list[Key]]:
    for start in range(0, len(items), size):
        yield items[start : start + size]
