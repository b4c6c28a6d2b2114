"""The one way to read Kafka: whole batches from a consumer group, through a Faust channel, into one agent.

The source owns consumer, offsets and transaction. An agent that fails or is late has its batch aborted and replayed;
when that does not help, the worker ends (docs/adr/0006-source-inside-faust.md). Reading and the batch's own work run in
one thread, the commit of the batch before it in a second: waiting for brokers costs no throughput, and the event loop
stays free for timers and health.
"""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition
from mode import Service

from agents.batch import (
    Batch,
    Partition,
    Stopping,
    Writer,
    as_partitions,
    backoff_seconds,
    first_offsets,
    next_offsets,
)
from agents.batch_journal import BatchJournal
from agents.commit import CommitStyle, kafka_error
from agents.watchdog import Watchdog
from observability import metrics
from schemas.failures import Bug, FailureKind, Misconfigured, TransientError

log = logging.getLogger(__name__)
Result = TypeVar("Result")

POLL_SECONDS = 0.2
GATHER_SECONDS = 0.005
START_CHECK_SECONDS = 0.1
STATS_SECONDS = 1.0
# What a batch may take beyond its deadline to abort and to seek back before the watchdog ends the process: as many
# deadlines, at most this long. The client's own limits don't hold when a broker dies in the middle of a commit.
GRACE_DEADLINES, GRACE_SECONDS = 2, 30.0

DENIED = {
    KafkaError._AUTHENTICATION,
    KafkaError._SSL,
    KafkaError.SASL_AUTHENTICATION_FAILED,
    KafkaError.TOPIC_AUTHORIZATION_FAILED,
    KafkaError.GROUP_AUTHORIZATION_FAILED,
    KafkaError.TRANSACTIONAL_ID_AUTHORIZATION_FAILED,
}


OpenConsumer = Callable[..., Consumer]


class Channel(Protocol):
    """The part of a Faust channel that a source uses."""

    async def send(self, *, value: Any) -> Any: ...


@dataclass(frozen=True)
class BatchLimits:
    """How large and how slow a batch may be; times in seconds. `attempts` None: it is tried for ever."""

    records: int
    deadline_seconds: float
    attempts: int | None
    retry_seconds: float

    @property
    def patience_seconds(self) -> float:
        """When the process ends that does not get on with it."""
        return self.deadline_seconds + min(GRACE_SECONDS, GRACE_DEADLINES * self.deadline_seconds)


@dataclass
class Flight:
    """A batch whose commit is under way."""

    batch: Batch
    landing: Future[None]
    started: float


class Source(Service):
    """Reads `topics` as a member of a consumer group and feeds `channel`. `give_up(error)` ends the worker."""

    def __init__(
        self,
        name: str,
        *,
        topics: list[str],
        open_consumer: OpenConsumer,
        style: CommitStyle,
        channel: Channel,
        may_start: Callable[[], bool] = lambda: True,
        limits: BatchLimits,
        watchdog: Watchdog,
        give_up: Callable[[Exception], None],
        journal: BatchJournal | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.name = name
        self._journal = journal
        self.topics = topics
        self.assigned: set[Partition] = set()
        self.joined = False
        self._open_consumer = open_consumer
        self._may_start = may_start
        self._style = style
        self._channel = channel
        self._limits = limits
        self._watchdog = watchdog
        self._give_up = give_up
        self._thread = ThreadPoolExecutor(1, thread_name_prefix=name)
        self._commit_thread = ThreadPoolExecutor(1, thread_name_prefix=f"{name}-commit")
        self._flight: Flight | None = None
        self._listeners: list[Callable[[], None]] = []
        self._revoked: set[Partition] = set()
        self._astray: set[Partition] = set()  # their offset is not known, or not there
        self._fatal: Exception | None = None
        self._attempts = 0
        self._lost: list[Batch] = []  # to be read again
        self._last_stats = 0.0
        self._consumer: Consumer = None  # type: ignore[assignment]  # until _open
        self._ended = asyncio.Event()

    def on_rebalance(self, listener: Callable[[], None]) -> None:
        """Have `listener` called, in the source's thread, whenever partitions come or go."""
        self._listeners.append(listener)

    # -- life cycle

    async def on_stop(self) -> None:
        # The batch in hand ends first: committed, or aborted at its deadline.
        await self._ended.wait()
        await self._call(self._close)
        self._thread.shutdown(wait=False)
        self._commit_thread.shutdown(wait=False)

    def _open(self) -> None:
        self._style.open()
        self._consumer = self._open_consumer(error_cb=self._on_error, **{"auto.offset.reset": "error"})
        self._consumer.subscribe(
            self.topics, on_assign=self._on_assign, on_revoke=self._on_revoke, on_lost=self._on_lost
        )

    def _close(self) -> None:
        # A static member does not leave its group: its next self takes the partitions up where they stand.
        self._style.close()
        if self._consumer is not None:
            self._consumer.close()

    @Service.task
    async def _read(self) -> None:
        try:
            while not self._may_start() and not self.should_stop:
                await self.sleep(START_CHECK_SECONDS)
            if not self.should_stop:
                await self._call(self._open)
            while not self.should_stop:
                await self._turn()
            await self._landed()
        except Exception as error:
            log.error("%s ends: %s: %s", self.name, type(error).__name__, error)
            self._give_up(error)
        finally:
            self._ended.set()

    async def _turn(self) -> None:
        """Read and work on one batch, while the one before it commits; then let it follow."""
        if self._lost and not await self._rewound():
            return
        if self._astray and not await self._placed():
            return
        messages = await self._call(self._fetch)
        if self._fatal is not None:
            raise self._fatal
        started = time.monotonic()
        condemned = self._journal.condemned(messages) if self._journal else []
        batch = Batch(messages, condemned=condemned, thread=self._thread)
        failure = await _error_of(self._worked(batch))
        failure = await _error_of(self._landed()) or failure
        if failure is None and messages:
            failure = await _error_of(self._depart(batch, started))
        if failure is not None:
            self._lost.append(batch)
            await self._failed(failure)

    async def _call(self, work: Callable[..., Result], *args: Any) -> Result:
        return await asyncio.get_running_loop().run_in_executor(self._thread, work, *args)

    # -- one batch

    async def _worked(self, batch: Batch) -> None:
        """Let the agent settle the batch."""
        if not batch.messages:
            return
        self._watchdog.expect(self.name, self._limits.patience_seconds)
        if self._journal:
            self._journal.begin(batch.messages)
        await self._channel.send(value=batch)
        try:
            await asyncio.wait_for(asyncio.shield(batch.done), self._limits.deadline_seconds)
        except TimeoutError:
            late = TransientError(f"the agent did not settle its batch in {self._limits.deadline_seconds:g} s")
            batch.fail(late)
            batch.done.exception()  # seen
            raise late from None
        finally:
            self._watchdog.done(self.name)
            if self._journal:
                self._journal.end()

    async def _depart(self, batch: Batch, started: float) -> None:
        """Begin to commit."""
        # Asked for here: in the commit's thread it would wait for as long as a `consume` does.
        member = await self._call(self._consumer.consumer_group_metadata)
        name = f"{self.name}'s commit"
        self._watchdog.expect(name, self._limits.patience_seconds)
        landing = (self._commit_thread if self._style.overlaps else self._thread).submit(self._commit, batch, member)
        landing.add_done_callback(lambda _: self._watchdog.done(name))
        self._flight = Flight(batch, landing, started)

    async def _landed(self) -> None:
        """Wait for the commit that is under way. Raises what made it fail; its batch is then to be read again."""
        flight, self._flight = self._flight, None
        if flight is None:
            return
        try:
            await asyncio.wrap_future(flight.landing)
        except Exception:
            self._lost.append(flight.batch)
            raise
        await self._call(flight.batch.committed)
        self._attempts = 0
        self._observe(flight.batch.messages, time.monotonic() - flight.started)

    def _commit(self, batch: Batch, member: Any) -> None:
        self._style.begin()
        batch.write(Writer(self._style.producer, time.monotonic() + self._limits.deadline_seconds))
        self._style.commit(as_partitions(next_offsets(batch.messages)), self._consumer, member)

    async def _rewound(self) -> bool:
        """End the failed batch's transaction and go back to where it began; whether that worked."""
        return await self._mended(self._rewind)

    async def _placed(self) -> bool:
        """Place the partitions that are astray, once the batch before has landed; whether that worked."""
        failure = await _error_of(self._landed())
        if failure is not None:
            await self._failed(failure)
            return False
        return await self._mended(self._place)

    async def _mended(self, mend: Callable[[], None]) -> bool:
        """Whether `mend` worked; a watchdog looks after it, and a failure counts."""
        self._watchdog.expect(self.name, self._limits.patience_seconds)
        try:
            await self._call(mend)
        except Exception as error:
            await self._failed(error)
            return False
        finally:
            self._watchdog.done(self.name)
        return True

    def _place(self) -> None:
        """Begin where the group stands, else at a partition's beginning. The client's own rule would not ask: it takes
        an epoch that a broker forgot in a crash for a truncated log, and reads all of it again.
        """
        astray = [TopicPartition(*partition) for partition in self._astray & self.assigned]
        for place in self._consumer.committed(astray, timeout=self._limits.deadline_seconds) if astray else ():
            if place.error:
                raise KafkaException(place.error)
            start = self._start_of(place.topic, place.partition, place.offset)
            self._consumer.incremental_unassign([TopicPartition(place.topic, place.partition)])
            self._consumer.incremental_assign([TopicPartition(place.topic, place.partition, start)])
            self._astray.discard((place.topic, place.partition))
        self._astray &= self.assigned

    def _start_of(self, topic: str, partition: int, committed: int) -> int:
        place = TopicPartition(topic, partition)
        low, high = self._consumer.get_watermark_offsets(place, timeout=self._limits.deadline_seconds)
        if committed > high:
            raise TransientError(f"{topic} [{partition}] ends at {high}, before {committed}, where {self.name} stands")
        if 0 <= committed < low:
            log.error("%s: %d records of %s [%d] were deleted unread", self.name, low - committed, topic, partition)
        return max(low, committed)

    def _rewind(self) -> None:
        # From what is committed, not from where the batches began: a commit whose answer was lost may have held.
        self._style.abort()
        self._seek_committed(first_offsets(message for batch in self._lost for message in batch.messages))
        for batch in self._lost:
            batch.aborted()
        self._lost.clear()

    async def _failed(self, error: Exception) -> None:
        """Count a failure and pause before the next try. Raises `error` when trying again is no use."""
        self._attempts += 1
        if isinstance(error, Stopping):
            return
        kind = getattr(error, "kind", FailureKind.TRANSIENT if kafka_error(error) else FailureKind.BUG)
        metrics.BATCH_FAILURES.labels(self.name, str(kind)).inc()
        log.warning("%s: batch aborted (try %d): %s: %s", self.name, self._attempts, type(error).__name__, error)
        limit = self._limits.attempts
        if limit is not None and (isinstance(error, Misconfigured) or self._attempts >= limit):
            raise error
        self._watchdog.done(self.name)
        await self.sleep(backoff_seconds(self._attempts, base=self._limits.retry_seconds))

    def _seek_committed(self, firsts: dict[Partition, int]) -> None:
        # One that is astray has no place to seek from; it is placed next.
        held = [TopicPartition(t, p) for t, p in firsts if (t, p) in self.assigned - self._astray]
        if not held:
            return
        for partition in self._consumer.committed(held, timeout=self._limits.deadline_seconds):
            if partition.error:
                raise KafkaException(partition.error)
            start = partition.offset if partition.offset >= 0 else firsts[(partition.topic, partition.partition)]
            self._consumer.seek(TopicPartition(partition.topic, partition.partition, start))

    # -- in the source's thread: reading and rebalances

    def _fetch(self) -> list[Message]:
        self._revoked.clear()
        self._observe_lag()
        most = self._journal.limit(self._limits.records) if self._journal else self._limits.records
        messages = self._consumer.consume(1, POLL_SECONDS)
        if messages:
            messages += self._gather(most - 1)
        records = [m for m in messages if self._is_record(m)]
        if self._revoked:
            records = self._without_revoked(records)
        return records

    def _gather(self, most: int) -> list[Message]:
        """What else is there, and what comes while the batch before commits: a transaction costs by its number and its
        partitions, hardly by its size, so its duration is how long the next one may grow for nothing.
        """
        gathered: list[Message] = self._consumer.consume(most, 0) if most else []
        while len(gathered) < most and self._flight is not None and not self._flight.landing.done():
            # Not inside `consume`, which keeps other threads from the consumer.
            wait([self._flight.landing], timeout=GATHER_SECONDS)
            gathered += self._consumer.consume(most - len(gathered), 0)
        return gathered

    def _is_record(self, message: Message) -> bool:
        error = message.error()
        if error is None:
            return True
        if error.code() == KafkaError._AUTO_OFFSET_RESET:
            self._astray.add((message.topic() or "", message.partition() or 0))
        else:
            self._on_error(error)
        return False

    def _without_revoked(self, records: list[Message]) -> list[Message]:
        """Drop what was read before its partition went: the new owner reads it. Read again what came back."""
        dropped = [m for m in records if (m.topic(), m.partition()) in self._revoked]
        self._seek_committed(first_offsets(dropped))
        return [m for m in records if (m.topic(), m.partition()) not in self._revoked]

    def _on_error(self, error: KafkaError) -> None:
        if error.fatal() or error.code() in {KafkaError._FATAL, KafkaError.FENCED_INSTANCE_ID}:
            self._fatal = Bug(f"{self.name}: another process took this worker's slot, or its session ended: {error}")
        elif error.code() in DENIED:
            self._fatal = Misconfigured(f"Kafka refuses {self.name}: {error}")
        else:
            log.warning("%s: %s", self.name, error)

    def _on_assign(self, _consumer: Consumer, partitions: list[TopicPartition]) -> None:
        self.joined = True
        self.assigned |= {(p.topic, p.partition) for p in partitions}
        self._rebalanced("assigned", partitions)

    def _on_revoke(self, _consumer: Consumer, partitions: list[TopicPartition]) -> None:
        self._forget("revoked", partitions)

    def _on_lost(self, _consumer: Consumer, partitions: list[TopicPartition]) -> None:
        self._forget("lost", partitions)

    def _forget(self, change: str, partitions: list[TopicPartition]) -> None:
        if self._flight is not None:
            # Its offsets must be there before the next owner reads them.
            wait([self._flight.landing], timeout=self._limits.deadline_seconds)
        gone = {(p.topic, p.partition) for p in partitions}
        self.assigned -= gone
        for topic, partition in gone:
            with suppress(KeyError):  # not measured yet
                metrics.CONSUMER_LAG.remove(self.name, topic, str(partition))
        self._revoked |= gone
        self._rebalanced(change, partitions)

    def _rebalanced(self, change: str, partitions: list[TopicPartition]) -> None:
        log.info("%s: %s %s", self.name, change, sorted(p.partition for p in partitions))
        metrics.REBALANCES.labels(self.name, change).inc()
        metrics.ASSIGNED_PARTITIONS.labels(self.name).set(len(self.assigned))
        for listener in self._listeners:
            listener()

    # -- what is measured, once a batch

    def _observe(self, messages: list[Message], seconds: float) -> None:
        metrics.RECORDS_IN.labels(self.name).inc(len(messages))
        metrics.BATCH_RECORDS.labels(self.name).observe(len(messages))
        metrics.BATCH_SECONDS.labels(self.name).observe(seconds)
        metrics.RECORD_DELAY.labels(self.name).observe(max(0.0, time.time() - messages[0].timestamp()[1] / 1000))

    def _observe_lag(self) -> None:
        now = time.monotonic()
        if now - self._last_stats < STATS_SECONDS or not self.assigned:
            return
        self._last_stats = now
        for place in self._consumer.position([TopicPartition(*partition) for partition in self.assigned]):
            _, high = self._consumer.get_watermark_offsets(place, cached=True)
            if place.offset >= 0 and high >= 0:
                labels = (self.name, place.topic, str(place.partition))
                metrics.CONSUMER_LAG.labels(*labels).set(max(0, high - place.offset))


async def _error_of(step: Awaitable[None]) -> Exception | None:
    """What `step` raises, or None."""
    try:
        await step
    except Exception as error:
        return error
    return None
