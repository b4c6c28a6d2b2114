"""Looks at vendors when a scan job asks for it: critical jobs before normal ones, normal before bulk, many at once.

No batch: jobs end in any order, and a slow vendor holds up nobody else's. A partition's offset is committed up to its
first open job, after Kafka has what the jobs before it wrote. What one job does is decided in `agents.scan_job`, which
is next in `agents.scan_queue`.
"""

import asyncio
import contextlib
import logging
import time
from typing import Final

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, Producer, TopicPartition

from agents.batch import Partition, as_partitions
from agents.clients import group_consumer
from agents.control_message import parse_message
from agents.registry_access import OpenPool
from agents.scan_job import ScanTools, Settled, run_scan
from agents.scan_queue import Lane, Place, QueuedJob, ScanQueue
from agents.settings import WorkerSettings
from agents.vendor_service import VendorService
from agents.vendor_tools import VendorTools
from connectors.limits import LimitBook
from connectors.settings import ConnectorSettings
from observability import metrics
from registry.secrets import SecretSettings
from schemas.failures import InvalidRecord, TransientError
from schemas.messages import ScanJob
from topics.clients import as_aam_error, make_producer
from topics.settings import KafkaSettings

log = logging.getLogger(__name__)

AGENT: Final = "scan_schemas"
AT_ONCE: Final = {"critical": 64, "normal": 48, "bulk": 32}
"""Urgency → scans under way up to which one of it begins."""
READ_AHEAD: Final = 64
LOOK_SECONDS: Final = 0.1
COMMIT_SECONDS: Final = 1.0


class SchemaScans(VendorService):
    """Does scan jobs for as long as the worker lives."""

    doing = "scan"

    def __init__(
        self,
        kafka: KafkaSettings,
        worker: WorkerSettings,
        open_pool: OpenPool,
        settings: ConnectorSettings,
        secrets: SecretSettings,
        book: LimitBook,
    ) -> None:
        super().__init__(kafka, open_pool, settings, secrets, book)
        self._worker = worker

    async def serve(self, tools: VendorTools) -> None:
        """Takes jobs and does them, many at once."""
        consumer = group_consumer(self._kafka, self._worker, AGENT)
        turn = Scanner(ScanTools(**vars(tools)), consumer, make_producer(self._kafka))
        try:
            while not self.should_stop:
                turn.step()
                await self.sleep(LOOK_SECONDS)
        finally:
            await turn.end()
            await asyncio.to_thread(consumer.close)


class Scanner:
    """The jobs of one consumer. Everything runs in the event loop; Kafka's calls here don't block."""

    def __init__(self, tools: ScanTools, consumer: Consumer, producer: Producer) -> None:
        self._tools = tools
        self._consumer = consumer
        self._producer = producer
        self._urgency = {topic: urgency for urgency, topic in tools.names.scan_jobs.items()}
        self._queue = ScanQueue([Lane(topic, AT_ONCE[urgency]) for topic, urgency in self._urgency.items()])
        self._running: dict[Place, asyncio.Task[None]] = {}
        self._assigned: set[Partition] = set()
        self._paused: set[Partition] = set()
        self._next_commit = 0.0
        consumer.subscribe(list(self._urgency), on_assign=self._on_assign, on_revoke=self._on_revoke)

    def step(self) -> None:
        """Reads, begins what may begin, and commits what is over. Raises AamErrors: begin again from the commits."""
        for message in self._consumer.consume(READ_AHEAD, 0):
            self._take_in(message)
        self._keep_reading_short()
        self._producer.poll(0)
        self._reap()
        while (job := self._queue.take(time.time(), len(self._running))) is not None:
            self._running[job.place] = asyncio.create_task(self._one(job))
        metrics.SCANS_RUNNING.set(len(self._running))
        if time.monotonic() >= self._next_commit:
            self._next_commit = time.monotonic() + COMMIT_SECONDS
            self._commit()

    async def end(self) -> None:
        """Gives up what is under way: another worker, or this one later, does it again."""
        for task in self._running.values():
            task.cancel()
        await asyncio.gather(*self._running.values(), return_exceptions=True)
        self._reap_quietly()
        with contextlib.suppress(KafkaException):
            self._commit()
        metrics.SCANS_RUNNING.set(0)

    def _take_in(self, message: Message) -> None:
        error = message.error()
        if error is not None:
            if error.fatal():
                raise as_aam_error(error, "read scan jobs")
            log.warning("scan: %s", error)
            return
        place = (message.topic() or "", message.partition() or 0, message.offset() or 0)
        self._queue.add(QueuedJob(message, place, _due(message)))

    def _keep_reading_short(self) -> None:
        """Reads a lane on only while few of its jobs wait."""
        now = time.time()
        for topic in self._urgency:
            waiting = self._queue.due(topic, now)
            own = {partition for partition in self._assigned if partition[0] == topic}
            if waiting >= READ_AHEAD and (full := own - self._paused):
                self._consumer.pause([TopicPartition(*partition) for partition in full])
                self._paused |= full
            elif waiting < READ_AHEAD // 2 and (hungry := own & self._paused):
                self._consumer.resume([TopicPartition(*partition) for partition in hungry])
                self._paused -= hungry

    async def _one(self, job: QueuedJob) -> None:
        settled = await run_scan(self._tools, job.message)
        await self._written(settled)
        metrics.SCANS.labels(self._urgency[job.place[0]], settled.outcome).inc()
        if settled.kind:
            metrics.DEAD_LETTERS.labels(AGENT, settled.kind).inc()

    async def _written(self, settled: Settled) -> None:
        """Writes, and waits until Kafka has all of it. Raises AamErrors."""
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        left = len(settled.writes)

        def delivered(error: KafkaError | None, _message: object) -> None:
            nonlocal left
            left -= 1
            if done.done():
                return
            if error is not None:
                done.set_exception(as_aam_error(error, "take what a scan found"))
            elif not left:
                done.set_result(None)

        for topic, key, value, headers in settled.writes:
            try:
                self._producer.produce(topic, value, key, headers=list(headers), on_delivery=delivered)
            except BufferError as error:
                raise TransientError("Kafka takes records too slowly: the producer's buffer is full") from error
        if left:
            await done

    def _reap(self) -> None:
        for place, task in list(self._running.items()):
            if task.done():
                del self._running[place]
                task.result()
                self._queue.over(place)

    def _reap_quietly(self) -> None:
        for place, task in self._running.items():
            if task.done() and not task.cancelled() and task.exception() is None:
                self._queue.over(place)
        self._running.clear()

    def _commit(self) -> None:
        offsets = self._queue.committable()
        if offsets:
            self._consumer.commit(offsets=as_partitions(offsets), asynchronous=True)
            self._queue.committed(offsets)

    def _on_assign(self, _consumer: Consumer, partitions: list[TopicPartition]) -> None:
        self._assigned |= {(p.topic, p.partition) for p in partitions}

    def _on_revoke(self, _consumer: Consumer, partitions: list[TopicPartition]) -> None:
        gone = {(p.topic, p.partition) for p in partitions}
        with contextlib.suppress(KafkaException):
            self._commit()
        for place, task in list(self._running.items()):
            if place[:2] in gone:
                task.cancel()
                del self._running[place]
        self._assigned -= gone
        self._paused -= gone
        self._queue.drop(gone)


def _due(message: Message) -> float:
    """When a job may begin, in epoch seconds; what is no job may at once, to be told so."""
    try:
        job = parse_message(ScanJob, message.value())
    except InvalidRecord:
        return time.time()
    return max(time.time(), job.not_before.timestamp() if job.not_before else 0.0)
