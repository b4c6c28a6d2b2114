"""The two ways a batch becomes final: in one Kafka transaction with its offsets, or after its writes are acknowledged.

Blocking: called in the source's thread only. What to do after a failure is decided by `agents.source`.
"""

import logging
import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any

from confluent_kafka import Consumer, KafkaError, KafkaException, Producer, TopicPartition

from schemas.failures import TransientError

log = logging.getLogger(__name__)

OpenProducer = Callable[..., Producer]


def kafka_error(error: BaseException) -> KafkaError | None:
    """The client's error inside a KafkaException; None for anything else."""
    if isinstance(error, KafkaException) and error.args and isinstance(error.args[0], KafkaError):
        return error.args[0]
    return None


def retried(call: Callable[[], None], *, seconds: float) -> None:
    """Run a call of the transaction API again while the client says it may be; each is safe to repeat.

    Raises:
        KafkaException: not retriable, or still failing after `seconds`.
    """
    end = time.monotonic() + seconds
    while True:
        try:
            return call()
        except KafkaException as error:
            detail = kafka_error(error)
            if detail is None or not detail.retriable() or time.monotonic() >= end:
                raise
            time.sleep(0.1)


class CommitStyle(ABC):
    """How a batch is begun, committed and given up. Owns the producer its agent writes with.

    `overlaps`: whether its commit may run in a thread of its own, beside reading.
    """

    overlaps: bool

    def __init__(self, open_producer: OpenProducer, *, timeout_seconds: float) -> None:
        self._open_producer = open_producer
        self._timeout = timeout_seconds
        self._producer: Producer | None = None

    @property
    def producer(self) -> Producer:
        if self._producer is None:
            self._producer = self._open()
        return self._producer

    def open(self) -> None:
        """Have the producer ready. To be called before offsets are read: those of a transaction that a predecessor
        left open are not told before it ends, by this or by its timeout.
        """
        _ = self.producer

    def close(self) -> None:
        """Forget the producer; what it holds undelivered belongs to no committed batch."""
        if self._producer is not None:
            self._producer.purge()
            self._producer.flush(1.0)
        self._producer = None

    @abstractmethod
    def _open(self) -> Producer: ...

    @abstractmethod
    def begin(self) -> None: ...

    @abstractmethod
    def commit(self, offsets: list[TopicPartition], consumer: Consumer, member: Any) -> None:
        """`member` is the consumer's group metadata. Only a style that does not overlap may call the consumer."""

    @abstractmethod
    def abort(self) -> None: ...


class Transactional(CommitStyle):
    """One transaction a batch: outputs and offsets become visible together, or never."""

    overlaps = True
    _is_open = False

    def _open(self) -> Producer:
        producer = self._open_producer()
        # Also ends what a predecessor of this transactional.id left open, and fences it.
        retried(lambda: producer.init_transactions(self._timeout), seconds=self._timeout)
        return producer

    def begin(self) -> None:
        self.producer.begin_transaction()
        self._is_open = True

    def commit(self, offsets: list[TopicPartition], consumer: Consumer, member: Any) -> None:
        producer, end = self.producer, time.monotonic() + self._timeout
        retried(lambda: producer.send_offsets_to_transaction(offsets, member, self._timeout), seconds=self._timeout)
        retried(lambda: producer.commit_transaction(self._timeout), seconds=max(0.0, end - time.monotonic()))
        self._is_open = False

    def abort(self) -> None:
        """Leave no transaction open; a producer that cannot abort is replaced, which ends its transaction too."""
        if self._producer is None or not self._is_open:
            return
        self._is_open = False
        try:
            retried(lambda: self.producer.abort_transaction(self._timeout), seconds=self._timeout)
        except KafkaException as error:
            log.warning("the transactional producer is replaced: %s", error)
            self._producer = None
            self.open()


class AfterWrites(CommitStyle):
    """Offsets follow once every write of the batch is acknowledged: at least once, for idempotent writers.

    Its commit needs the consumer, which a `consume` in another thread would keep from it.
    """

    overlaps = False

    def __init__(self, open_producer: OpenProducer, *, timeout_seconds: float) -> None:
        super().__init__(open_producer, timeout_seconds=timeout_seconds)
        self._undelivered: list[str] = []

    def _open(self) -> Producer:
        return self._open_producer(on_delivery=self._on_delivery)

    def _on_delivery(self, error: KafkaError | None, _message: object) -> None:
        if error is not None:
            self._undelivered.append(str(error))

    def begin(self) -> None:
        self._undelivered.clear()

    def commit(self, offsets: list[TopicPartition], consumer: Consumer, member: Any) -> None:
        if self.producer.flush(self._timeout):
            raise TransientError("Kafka did not acknowledge the batch's writes in time")
        if self._undelivered:
            raise TransientError(f"{len(self._undelivered)} writes failed, the first with {self._undelivered[0]}")
        consumer.commit(offsets=offsets, asynchronous=False)

    def abort(self) -> None:
        self.close()
