"""A batch of records on its way through an agent, and the arithmetic of its offsets.

The source makes it, the agent settles it, the source alone commits or aborts it. A batch is never half done: what an
agent writes through it is committed with its offsets or not at all.
"""

import asyncio
import random
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
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


class Batch:
    """Records in the order read, what an agent writes because of them, and a future for their outcome.

    Writes are held back until the batch's own transaction is open: the one before it may still be committing.
    """

    def __init__(self, messages: list[Message], *, thread: Executor, condemned: Sequence[Message] = ()) -> None:
        self.messages = messages
        self.condemned = condemned  # those of `messages` that must not be worked on: they end the process
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._thread = thread
        self._writes: list[tuple[str, bytes | None, bytes | None, Any]] = []
        self._after_commit: list[Callable[[], None]] = []
        self._after_abort: list[Callable[[], None]] = []

    def produce(self, topic: str, value: bytes | None, key: bytes | None = None, headers: Any = None) -> None:
        """Write one message when the batch is committed."""
        self._writes.append((topic, value, key, headers))

    def write(self, writer: Writer) -> None:
        """Hand all writes to `writer`, in the order they were made. Raises as `Writer.produce` does."""
        for topic, value, key, headers in self._writes:
            writer.produce(topic, value, key, headers)

    @property
    def is_open(self) -> bool:
        """False once settled or abandoned."""
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

    def after_abort(self, callback: Callable[[], None]) -> None:
        """Have `callback` run, in the source's thread, if the batch is given up and will be read again."""
        self._after_abort.append(callback)

    def committed(self) -> None:
        """Run what waits for the commit."""
        for callback in self._after_commit:
            callback()

    def aborted(self) -> None:
        """Run what waits for the batch's end without a commit."""
        for callback in self._after_abort:
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
