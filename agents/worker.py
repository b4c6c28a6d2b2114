"""The worker: builds settings, clients, cache and agents, wires them, and runs them in one Faust worker.

The only file where the parts of `agents` meet. What ends a worker, other than a signal, leaves it as an error.
"""

import asyncio
import logging
import signal
import tempfile
from collections.abc import Callable, Collection
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Final

import faust
from confluent_kafka import KafkaException
from mode import Service

from agents.app import MeshApp, add_agent, build_app
from agents.canonicalize import Canonicalizer
from agents.clients import batch_producer, group_consumer, slot_transactional_id
from agents.commit import AfterWrites, Transactional
from agents.compiled_sets import CompiledSets
from agents.event_framing import event_prefixes
from agents.health import HealthServer
from agents.mapping_cache import MappingCache
from agents.novel_fields import NovelFields
from agents.observe_schema import SchemaObserver
from agents.parked_records import ParkedRecords
from agents.publish_mappings import MappingPublisher, OpenPool
from agents.release_parked import ReleaseParked, Releaser
from agents.settings import WorkerSettings
from agents.source import BatchLimits, Source
from agents.watchdog import Watchdog
from schemas.canonical_model import load_entities
from schemas.failures import Misconfigured
from topics import provision
from topics.avro_reader import make_avro_reader
from topics.clients import as_aam_error, make_admin
from topics.settings import KafkaSettings

log = logging.getLogger(__name__)

AGENTS: Final = ("canonicalize", "publish_mappings", "observe_schema", "release_parked")
BEAT_SECONDS: Final = 1.0


class Worker:
    """One worker process. `open_pool` reaches Postgres, which may be away."""

    def __init__(
        self, kafka: KafkaSettings, settings: WorkerSettings, open_pool: OpenPool, agents: Collection[str] = AGENTS
    ) -> None:
        unknown = sorted(set(agents) - set(AGENTS))
        if unknown:
            raise Misconfigured(f"no such agent: {', '.join(unknown)}; there are {', '.join(AGENTS)}")
        self._kafka = kafka
        self._settings = settings
        self._open_pool = open_pool
        self._agents = agents
        self._cache = MappingCache(kafka)
        self._watchdog = Watchdog(loop_stall_seconds=settings.loop_stall_seconds)
        self._sources: list[Source] = []
        self._closing = ExitStack()
        self._failure: BaseException | None = None

    def run(self) -> None:
        """Work until SIGTERM or SIGINT.

        Raises:
            Misconfigured: topics are missing, or Kafka refuses us.
            AamError: what ended the worker.
        """
        require_topics(self._kafka)
        asyncio.run(self._run())
        if isinstance(self._failure, KafkaException):
            raise as_aam_error(self._failure, "work on") from self._failure
        if self._failure is not None:
            raise self._failure

    async def _run(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._given_up = asyncio.Event()
        self._cache.start()
        self._watchdog.start()
        with tempfile.TemporaryDirectory(prefix="aam-faust-") as data_dir:
            worker = QuietWorker(self._build(Path(data_dir)), loop=self._loop)
            running = asyncio.ensure_future(worker.start())
            ended = asyncio.ensure_future(self._given_up.wait())
            for number in (signal.SIGTERM, signal.SIGINT):
                self._loop.add_signal_handler(number, self._given_up.set)
            await asyncio.wait({running, ended}, return_when=asyncio.FIRST_COMPLETED)
            await worker.stop()
            ended.cancel()
            await asyncio.gather(running, return_exceptions=True)
            self._failure = self._failure or worker.crash_reason
        self._closing.close()
        self._watchdog.stop()
        self._cache.stop()

    def _give_up(self, error: Exception) -> None:
        """End the worker because of `error`; the first one counts. From any thread."""
        self._failure = self._failure or error
        self._loop.call_soon_threadsafe(self._given_up.set)

    def _build(self, data_dir: Path) -> MeshApp:
        app = build_app(self._kafka.topic_prefix, data_dir=data_dir)
        build: dict[str, Callable[[MeshApp], Service]] = {
            "canonicalize": self._canonicalize,
            "publish_mappings": self._publish_mappings,
            "observe_schema": self._observe_schema,
            "release_parked": self._release_parked,
        }
        services = [build[agent](app) for agent in AGENTS if agent in self._agents]
        health = HealthServer(
            host=self._settings.worker_host,
            port=self._settings.worker_port,
            is_live=self._watchdog.overdue,
            is_ready=self._awaited,
        )
        app.services = (health, Heart(self._watchdog), *services)
        return app

    def _awaited(self) -> str | None:
        """What keeps this worker from being ready; None if it is."""
        if not self._cache.ready.is_set():
            return "the mapping table has not been read, or holds no complete publication"
        waiting = [source.name for source in self._sources if not source.joined]
        return f"not in its consumer group yet: {', '.join(waiting)}" if waiting else None

    def _canonicalize(self, app: MeshApp) -> Service:
        novel = self._novel_fields()
        canonicalizer = build_canonicalizer(self._kafka, self._settings, self._cache, novel)
        transactional_id = slot_transactional_id(self._kafka, self._settings, "canonicalize")
        source = self._source(
            "canonicalize",
            topics=list(dict.fromkeys([self._kafka.names.raw_records, *self._kafka.tenant_topics])),
            style=Transactional(
                batch_producer(self._kafka, self._settings, transactional_id),
                timeout_seconds=self._settings.transaction_timeout_seconds,
            ),
            channel=add_agent(app, "canonicalize", canonicalizer.handle),
            attempts=self._settings.batch_attempts,
        )
        source.on_rebalance(novel.forget)
        return source

    def _publish_mappings(self, _app: MeshApp) -> Service:
        return MappingPublisher(self._kafka, self._open_pool, gather_seconds=self._settings.publish_interval_seconds)

    def _observe_schema(self, app: MeshApp) -> Service:
        observer = SchemaObserver(names=self._kafka.names, table=self._cache.snapshot, open_pool=self._open_pool)
        self._closing.callback(observer.close)
        return self._source(
            "observe_schema",
            topics=[self._kafka.names.schema_changes],
            style=AfterWrites(
                batch_producer(self._kafka, self._settings, None),
                timeout_seconds=self._settings.transaction_timeout_seconds,
            ),
            channel=add_agent(app, "observe_schema", observer.handle),
            attempts=None,  # while Postgres is down it waits, and the others work on
        )

    def _release_parked(self, _app: MeshApp) -> Service:
        parked = ParkedRecords(self._kafka)
        canonicalizer = build_canonicalizer(self._kafka, self._settings, self._cache, self._novel_fields())
        releaser = build_releaser(self._kafka, self._settings, parked, canonicalizer)
        return ReleaseParked(self._kafka, self._cache, parked, releaser, slot=self._settings.slot)

    def _novel_fields(self) -> NovelFields:
        return NovelFields(reannounce_seconds=self._settings.novel_reannounce_seconds)

    def _source(self, agent: str, *, attempts: int | None, **given: Any) -> Source:
        source = Source(
            agent,
            open_consumer=lambda **extra: group_consumer(self._kafka, self._settings, agent, **extra),
            limits=BatchLimits(
                records=self._settings.batch_records,
                linger_seconds=self._settings.batch_linger_seconds,
                deadline_seconds=self._settings.batch_deadline_seconds,
                attempts=attempts,
                retry_seconds=self._settings.retry_seconds,
            ),
            may_start=self._cache.ready.is_set,
            watchdog=self._watchdog,
            give_up=self._give_up,
            **given,
        )
        self._sources.append(source)
        return source


class QuietWorker(faust.Worker):
    """Faust's worker without its own logging, spinner, banner and process title."""

    def __init__(self, app: MeshApp, *, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(app, loop=loop, quiet=True, redirect_stdouts=False, override_logging=False)
        self.spinner = None

    def install_signal_handlers(self) -> None:
        """Signals are `Worker`'s: Faust's own handlers don't wait for the stop to be complete."""

    async def on_execute(self) -> None:
        """No process title."""

    def on_worker_shutdown(self) -> None:
        """No process title."""


class Heart(Service):
    """Tells the watchdog that the event loop turns."""

    def __init__(self, watchdog: Watchdog) -> None:
        super().__init__()
        self._watchdog = watchdog

    @Service.task
    async def _beat(self) -> None:
        while not self.should_stop:
            self._watchdog.beat()
            await self.sleep(BEAT_SECONDS)


def build_canonicalizer(
    kafka: KafkaSettings, settings: WorkerSettings, cache: MappingCache, novel: NovelFields
) -> Canonicalizer:
    """What turns records into outputs, with compiled functions of its own. Raises as `event_prefixes` does."""
    entities = load_entities()
    prefixes = event_prefixes(kafka, entities) if settings.event_format == "avro" else {}
    return Canonicalizer(
        names=kafka.names,
        entities=entities,
        table=cache.snapshot,
        compiled=CompiledSets(entities, event_format=settings.event_format, prefixes=prefixes),
        novel=novel,
        tenant_topics=kafka.tenant_topics,
        decode_avro=make_avro_reader(kafka),
    )


def build_releaser(
    kafka: KafkaSettings, settings: WorkerSettings, parked: ParkedRecords, canonicalizer: Canonicalizer
) -> Releaser:
    """What releases parked records; the transactional id is the same everywhere, so that one at a time does."""
    return Releaser(
        kafka,
        parked,
        canonicalizer,
        batch_producer(kafka, settings, kafka.names.transactional_id("parked-release")),
        chunk_records=settings.release_chunk_records,
        timeout_seconds=settings.batch_deadline_seconds,
    )


def require_topics(kafka: KafkaSettings) -> None:
    """Raises Misconfigured if a topic of the catalogue is missing, TransientError without Kafka."""
    there = provision.metadata(make_admin(kafka)).topics
    wanted = [*(spec.name for spec in kafka.catalogue()), *kafka.tenant_topics]
    missing = [name for name in wanted if name not in there]
    if missing:
        raise Misconfigured(f"{len(missing)} topics are missing, e.g. {missing[0]}: run `aam topics apply`")
