"""A batch of records on its way through an agent, and the arithmetic of its offsets.

The source makes it, the agent settles it, the source alone commits or aborts it. A batch is never half done: what an
agent wrote through it is committed with its offsets or not at all.
"""

import asyncio
import random
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor
from contextlib import contextmanager
from typing import Any, Protocol, TypeVar

from confluent_kafka import Message, Producer, TopicPartition

from schemas.failures import Bug, TransientError

Result = TypeVar("Result")
Partition = tuple[str, int]

BUFFER_WAIT_SECONDS = 0.05


class Positioned(Protocol):
    """What offsets are counted from: a message, or a test's stand-in."""

    def topic(self) -> str | None: ...
    def partition(self) -> int | None: ...
    def offset(self) -> int | None: ...


class Stopping(TransientError):
    """The worker ends; the batch is aborted and read again by the next one."""


def first_offsets(messages: Iterable[Positioned]) -> dict[Partition, int]:
    """Where each partition of the batch begins: (topic, partition) -> lowest offset."""
    firsts: dict[Partition, int] = {}
    for message in messages:
        firsts.setdefault((message.topic() or "", message.partition() or 0), message.offset() or 0)
    return firsts


def next_offsets(messages: Iterable[Positioned]) -> dict[Partition, int]:
    """What to commit: (topic, partition) -> last consumed offset + 1. Holes left by transactions don't matter."""
    lasts: dict[Partition, int] = {}
    for message in messages:
        lasts[(message.topic() or "", message.partition() or 0)] = message.offset() or 0
    return {partition: last + 1 for partition, last in lasts.items()}


def as_partitions(offsets: dict[Partition, int]) -> list[TopicPartition]:
    """`offsets` in the shape the Kafka client takes."""
    return [TopicPartition(topic, partition, offset) for (topic, partition), offset in offsets.items()]


def backoff_seconds(attempt: int, *, base: float, limit: float = 10.0) -> float:
    """Pause before replay number `attempt` (from 1): doubles from `base` to `limit`, half of it by chance."""
    pause = min(limit, base * 2.0 ** (attempt - 1))
    return pause * (0.5 + random.random() / 2)  # noqa: S311  # jitter, not a secret


class Writer:
    """Writes messages with `producer`, within its transaction if it has one, up to `deadline` (monotonic seconds)."""

    def __init__(self, producer: Producer, deadline: float) -> None:
        self.producer = producer
        self.deadline = deadline

    def produce(self, topic: str, value: bytes | None, key: bytes | None = None, headers: Any = None) -> None:
        """Write one message. Waits while the client's buffer is full.

        Raises:
            KafkaException: the message can't be sent, e.g. it is too large.
            TransientError: the buffer stayed full up to the deadline.
        """
        while True:
            try:
                if headers:
                    self.producer.produce(topic, value, key, headers=headers)
                else:  # half the price of empty headers
                    self.producer.produce(topic, value, key)
            except BufferError:
                self.drain()
            else:
                return

    def drain(self) -> None:
        """Let the client's full buffer empty a little."""
        if time.monotonic() > self.deadline:
            raise TransientError("Kafka takes records too slowly: the producer's buffer stayed full")
        self.producer.poll(BUFFER_WAIT_SECONDS)


class Batch(Writer):
    """Records in the order read, a future for their outcome, and the producer of their transaction."""

    def __init__(
        self, messages: list[Message], *, producer: Producer, thread: Executor, deadline_seconds: float
    ) -> None:
        super().__init__(producer, time.monotonic() + deadline_seconds)
        self.messages = messages
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._thread = thread
        self._after_commit: list[Callable[[], None]] = []

    @property
    def is_open(self) -> bool:
        """False once settled or abandoned: a late agent must not write into the next batch's transaction."""
        return not self.done.done()

    async def in_thread(self, work: Callable[..., Result], *args: Any) -> Result:
        """Run `work` in the source's own thread, off the event loop."""
        return await asyncio.get_running_loop().run_in_executor(self._thread, self._guarded, work, args)

    def _guarded(self, work: Callable[..., Result], args: tuple[Any, ...]) -> Result:
        if not self.is_open:
            raise Bug("a batch was worked on after its end")
        return work(*args)

    def after_commit(self, callback: Callable[[], None]) -> None:
        """Have `callback` run, in the source's thread, once the batch has committed."""
        self._after_commit.append(callback)

    def run_after_commit(self) -> None:
        for callback in self._after_commit:
            callback()

    @contextmanager
    def outcome(self) -> Iterator[None]:
        """Settle the batch by how the block ends. No exception leaves it: Faust would drop the batch for good."""
        try:
            yield
        except asyncio.CancelledError:
            self.fail(Stopping("the agent was stopped"))
            raise
        except Exception as error:
            self.fail(error)
        else:
            if not self.done.done():
                self.done.set_result(None)

    def fail(self, error: Exception) -> None:
        if not self.done.done():
            self.done.set_exception(error)
