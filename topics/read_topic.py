"""Reads a topic once from a start to its end as it was when asked, committed records only, in no consumer group.

For commands and checks that look at a topic; agents read by their own source.
"""

import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from enum import Enum
from typing import Any

from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaError, KafkaException, Producer, TopicPartition

from schemas.failures import Misconfigured, TransientError
from topics.clients import as_aam_error, make_consumer
from topics.kafka_record import ConsumedRecord
from topics.settings import KafkaSettings

REQUEST_TIMEOUT_SECONDS = 10.0
# Longer than the transaction.timeout.ms of AAM's producers (60 s), after which Kafka aborts an open transaction.
OPEN_TRANSACTION_SECONDS = 75.0
_BATCH_RECORDS = 500


class Until(Enum):
    """Where reading ends.

    COMMITTED: at the last record that is readable now; what stands behind an open transaction is left out.
    WRITTEN: at the last record written before the call, waiting for open transactions to end.
    FOREVER: never; new records follow.
    """

    COMMITTED = "committed"
    WRITTEN = "written"
    FOREVER = "forever"


def partitions_of(client: Consumer | Producer, topic: str) -> list[int]:
    """The partitions of a topic. Raises Misconfigured if there is no such topic, TransientError without Kafka."""
    try:
        metadata = client.list_topics(topic, timeout=REQUEST_TIMEOUT_SECONDS).topics[topic]
    except KafkaException as error:
        raise as_aam_error(error, "list topics") from error
    if metadata.error is not None or not metadata.partitions:
        raise Misconfigured(f"there is no topic {topic}: run `aam topics apply`")
    return sorted(metadata.partitions)


def read_topic(
    settings: KafkaSettings,
    topic: str,
    *,
    start: Mapping[int, int] | None = None,
    until: Until = Until.COMMITTED,
    wait_seconds: float = OPEN_TRANSACTION_SECONDS,
    clock: Callable[[], float] = time.monotonic,
) -> Iterator[ConsumedRecord]:
    """The records of a topic, in order within each partition.

    Args:
        start: partition -> first offset, librdkafka's special ones too; None for all partitions from the beginning.
        wait_seconds: longest time without any progress before the end is reached; not with FOREVER.
    Raises:
        TransientError: Kafka doesn't answer, or a transaction stays open.
        Misconfigured: no such topic, or no right to read it.
    """
    options: dict[str, Any] = {"enable.partition.eof": True, "fetch.wait.max.ms": 50}
    consumer = make_consumer(settings, group_id=settings.names.group("cli"), **options)
    try:
        first = start if start is not None else dict.fromkeys(partitions_of(consumer, topic), OFFSET_BEGINNING)
        # for COMMITTED any end of what is readable will do
        ends = _written_ends(settings, topic, first) if until is Until.WRITTEN else dict.fromkeys(first, 0)
        consumer.assign([TopicPartition(topic, partition, offset) for partition, offset in first.items()])
        yield from _records(consumer, ends, until, wait_seconds, clock)
    except KafkaException as error:
        raise as_aam_error(error, f"read {topic}") from error
    finally:
        consumer.close()


def _written_ends(settings: KafkaSettings, topic: str, partitions: Iterable[int]) -> dict[int, int]:
    """partition -> offset after the last record written. A reader of committed records is told the end of these."""
    options: dict[str, Any] = {"isolation.level": "read_uncommitted"}
    consumer = make_consumer(settings, group_id=settings.names.group("cli"), **options)
    try:
        ends = {}
        for partition in partitions:
            place = TopicPartition(topic, partition)
            _, ends[partition] = consumer.get_watermark_offsets(place, timeout=REQUEST_TIMEOUT_SECONDS)
        return ends
    finally:
        consumer.close()


def _records(
    consumer: Consumer, ends: dict[int, int], until: Until, wait_seconds: float, clock: Callable[[], float]
) -> Iterator[ConsumedRecord]:
    progress = clock()
    while ends:
        messages = consumer.consume(_BATCH_RECORDS, timeout=0.2)
        for message in messages:
            error = message.error()
            if error is None:
                yield ConsumedRecord.from_message(message)
            elif error.code() != KafkaError._PARTITION_EOF:
                raise as_aam_error(error, f"read {message.topic()}")
            elif until is not Until.FOREVER and (message.offset() or 0) >= ends.get(message.partition() or 0, 0):
                ends.pop(message.partition() or 0, None)
        if messages:
            progress = clock()
        elif until is not Until.FOREVER and clock() - progress > wait_seconds:
            raise TransientError(f"no end of partition {min(ends)} within {wait_seconds:.0f} s: Kafka or a transaction")
