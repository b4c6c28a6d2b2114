"""What waits in the parked topic, by source, and how far each source was released.

The mark of a source is the offset of a consumer group of its own on the parked topic's one partition: everything
before it is released. Reads only; who moves a mark is `agents.release_parked` (docs/adr/0007-parked-release.md).
"""

import time
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import quote

from confluent_kafka import (
    OFFSET_BEGINNING,
    Consumer,
    ConsumerGroupTopicPartitions,
    KafkaError,
    KafkaException,
    Message,
    TopicPartition,
)

from agents.mapping_cache import Key
from schemas.failures import InvalidRecord, TransientError
from topics.avro_reader import make_avro_reader
from topics.clients import as_aam_error, make_admin, make_consumer
from topics.foreign_record import read_any
from topics.kafka_record import read_original
from topics.settings import KafkaSettings

PARTITION: Final = 0
REQUEST_SECONDS: Final = 15.0
STALLED_SECONDS: Final = 75.0  # longer than an open transaction can hold back what is committed behind it


@dataclass
class Pending:
    """Parked records of one source that wait. Times in milliseconds since the epoch."""

    count: int
    first_offset: int
    oldest_ms: int
    newest_ms: int


def group_of(names_group: str, key: Key) -> str:
    """The consumer group that holds the mark of `key`; names may hold dots, so those are escaped."""
    return ".".join([names_group, *(quote(part, safe="").replace(".", "%2E") for part in key)])


class ParkedRecords:
    """The parked topic, as far as it was read. Not for several threads at a time."""

    def __init__(self, kafka: KafkaSettings) -> None:
        self._kafka = kafka
        self._admin = make_admin(kafka)
        self._decode_avro = make_avro_reader(kafka)
        self.pending: dict[Key, Pending] = {}
        self.marks: dict[Key, int] = {}
        self.next_offset = 0

    @property
    def topic(self) -> str:
        return self._kafka.names.raw_parked

    def group(self, key: Key) -> str:
        return group_of(self._kafka.names.group("parked"), key)

    def forget(self) -> None:
        """Start anew: another process may have released in the meantime."""
        self.pending.clear()
        self.marks.clear()
        self.next_offset = 0

    def take(self, messages: Collection[Message]) -> None:
        """Take in what was read next. Raises TransientError without Kafka."""
        found = [(key, message) for message in messages if (key := self.source_of(message)) is not None]
        self._load_marks({key for key, _ in found} - self.marks.keys())
        for key, message in found:
            self._count(key, message.offset() or 0, message.timestamp()[1])
        for message in messages:
            self.next_offset = (message.offset() or 0) + 1

    def scan(self) -> None:
        """Read the whole topic, once."""
        self.forget()
        batch: list[Message] = []
        for message in self.read(OFFSET_BEGINNING):
            batch.append(message)
            if len(batch) >= 1000:
                self.take(batch)
                batch = []
        self.take(batch)

    def released(self, key: Key, *, mark: int, count: int) -> None:
        """A release has committed: `count` records of `key`, all before `mark`."""
        self.marks[key] = mark
        waiting = self.pending.get(key)
        if waiting is not None:
            waiting.count -= count
            waiting.first_offset = mark
            if waiting.count <= 0:
                del self.pending[key]

    def source_of(self, message: Message) -> Key | None:
        """(tenant, connector, entity) of a parked record; None if it can no longer be told."""
        headers: Any = message.headers()
        original = read_original(headers or [])
        try:
            raw = read_any(
                original.topic if original else "",
                headers,
                message.key(),
                message.value(),
                bindings=self._kafka.raw_bindings,
                tenant_topics=self._kafka.tenant_topics,
                decode_avro=self._decode_avro,
            )
        except InvalidRecord:
            return None
        return raw.origin.tenant, raw.origin.connector, raw.origin.entity

    def read(self, start: int) -> Iterator[Message]:
        """Committed records from offset `start` to the end."""
        extra: dict[str, Any] = {"enable.partition.eof": True}
        consumer = make_consumer(self._kafka, group_id=self._kafka.names.group("parked"), **extra)
        try:
            consumer.assign([TopicPartition(self.topic, PARTITION, start)])
            yield from _to_the_end(consumer)
        finally:
            consumer.close()

    def _count(self, key: Key, offset: int, timestamp_ms: int) -> None:
        if offset < self.marks[key]:
            return
        waiting = self.pending.get(key)
        if waiting is None:
            self.pending[key] = Pending(1, offset, timestamp_ms, timestamp_ms)
        else:
            waiting.count += 1
            waiting.oldest_ms = min(waiting.oldest_ms, timestamp_ms)
            waiting.newest_ms = max(waiting.newest_ms, timestamp_ms)

    def _load_marks(self, keys: Collection[Key]) -> None:
        partition = TopicPartition(self.topic, PARTITION)
        asked = {}
        for key in keys:
            request = ConsumerGroupTopicPartitions(self.group(key), [partition])
            # Stable: an offset that a release is just committing is waited for.
            (future,) = self._admin.list_consumer_group_offsets(
                [request], require_stable=True, request_timeout=REQUEST_SECONDS
            ).values()
            asked[key] = future
        for key, future in asked.items():
            try:
                (answer,) = future.result().topic_partitions
            except KafkaException as error:
                raise as_aam_error(error, "read the marks of parked records") from error
            self.marks[key] = max(0, answer.offset)


def _to_the_end(consumer: Consumer) -> Iterator[Message]:
    progress = time.monotonic()
    while time.monotonic() - progress < STALLED_SECONDS:
        for message in consumer.consume(1000, 0.2):
            error = message.error()
            if error is None:
                progress = time.monotonic()
                yield message
            elif error.code() == KafkaError._PARTITION_EOF:
                return
            else:
                raise as_aam_error(error, "read parked records")
    raise TransientError("the parked topic could not be read to its end")
