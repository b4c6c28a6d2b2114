"""The worker: builds settings, clients, cache and agents, wires them, and runs them in one Faust worker.

The only file where the parts of `agents` meet. What ends a worker, other than a signal, leaves it as an error.
"""

import asyncio
import gc
import hashlib
import logging
import signal
import tempfile
import time
from collections.abc import Callable, Collection
from contextlib import ExitStack
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Protocol

import faust
from confluent_kafka import KafkaException
from mode import Service

from agents.app import MeshApp, add_agent, build_app
from agents.ask_llm import LlmAsker
from agents.batch import Batch
from agents.batch_journal import BatchJournal
from agents.canonicalize import Canonicalizer
from agents.clients import batch_producer, group_consumer, slot_transactional_id
from agents.commit import AfterWrites, Transactional
from agents.compiled_sets import CompiledSets
from agents.decide_mappings import MappingDecider
from agents.event_framing import event_prefixes
from agents.health import HealthServer
from agents.mapping_cache import MappingCache
from agents.novel_fields import NovelFields
from agents.observe_schema import SchemaObserver
from agents.parked_records import ParkedRecords
from agents.publish_mappings import MappingPublisher
from agents.registry_access import OpenPool
from agents.release_parked import ReleaseParked, Releaser
from agents.retrieve_mappings import MappingRetriever, NovelFieldKeeper, Scorer
from agents.settings import WorkerSettings
from agents.source import BatchLimits, Source
from agents.watchdog import Watchdog
from connectors.settings import ConnectorSettings
from inference.settings import InferenceSettings
from mapping.decide import Bands
from mapping.question import Proposer
from registry.secrets import SecretSettings
from schemas.canonical_model import load_entities
from schemas.failures import Misconfigured
from topics import provision
from topics.avro_reader import make_avro_reader
from topics.clients import as_aam_error, make_admin
from topics.settings import KafkaSettings

if TYPE_CHECKING:
    from connectors.limits import LimitBook

log = logging.getLogger(__name__)

AGENTS: Final = (
    "canonicalize",
    "publish_mappings",
    "observe_schema",
    "release_parked",
    "retrieve_mappings",
    "ask_llm",
    "decide_mappings",
    "sync_connectors",
    "scan_schemas",
)
# One proposal is a transaction of the registry, one list of unresolved fields some calls of a model.
PROPOSALS_OF_A_BATCH: Final = 100
QUESTIONS_OF_A_BATCH: Final = 4
QUESTIONS_SECONDS: Final = 240.0
BEAT_SECONDS: Final = 1.0
START_CHECK_SECONDS: Final = 0.1
TOPICS_CHECK_SECONDS: Final = 0.2


class Handler(Protocol):
    """An agent's own part: it settles batches, and gives back what it holds."""

    async def handle(self, batch: Batch) -> None: ...

    def close(self) -> None: ...


class Worker:
    """One worker process. `open_pool` reaches Postgres, which may be away."""

    def __init__(
        self,
        kafka: KafkaSettings,
        settings: WorkerSettings,
        open_pool: OpenPool,
        agents: Collection[str] = AGENTS,
        *,
        inference: InferenceSettings | None = None,
        connectors: ConnectorSettings | None = None,
        secrets: SecretSettings | None = None,
    ) -> None:
        unknown = sorted(set(agents) - set(AGENTS))
        if unknown:
            raise Misconfigured(f"no such agent: {', '.join(unknown)}; there are {', '.join(AGENTS)}")
        self._kafka = kafka
        self._settings = settings
        self._open_pool = open_pool
        self._agents = agents
        self._inference = inference or InferenceSettings()
        self._connectors = connectors or ConnectorSettings()
        self._secrets = secrets or SecretSettings()
        self._cache = MappingCache(kafka)
        self._watchdog = Watchdog(loop_stall_seconds=settings.loop_stall_seconds)
        self._sources: list[Source] = []
        self._services: list[Service] = []
        self._closing = ExitStack()
        self._failure: BaseException | None = None

    def run(self) -> None:
        """Work until SIGTERM or SIGINT.

        Raises:
            Misconfigured: topics are missing, or Kafka refuses us.
            AamError: what ended the worker.
        """
        await_topics(self._kafka, seconds=self._settings.start_wait_seconds)
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
            settling = asyncio.ensure_future(self._settle())
            ended = asyncio.ensure_future(self._given_up.wait())
            for number in (signal.SIGTERM, signal.SIGINT):
                self._loop.add_signal_handler(number, self._given_up.set)
            await asyncio.wait({running, ended}, return_when=asyncio.FIRST_COMPLETED)
            # All at once: Faust alone would wait for one after the other to leave its group.
            await asyncio.gather(*(service.stop() for service in self._services))
            await worker.stop()
            ended.cancel()
            settling.cancel()
            await asyncio.gather(running, settling, return_exceptions=True)
            self._failure = self._failure or worker.crash_reason
        self._closing.close()
        self._watchdog.stop()
        self._cache.stop()

    async def _settle(self) -> None:
        """What there is once the mapping table was read stays: the collector need not look through it in mid-stream."""
        while not self._cache.ready.is_set():  # noqa: ASYNC110  # set by a thread
            await asyncio.sleep(START_CHECK_SECONDS)
        gc.collect()
        gc.freeze()

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
            "retrieve_mappings": self._retrieve_mappings,
            "ask_llm": self._ask_llm,
            "decide_mappings": self._decide_mappings,
            "sync_connectors": self._sync_connectors,
            "scan_schemas": self._scan_schemas,
        }
        self._services = [build[agent](app) for agent in AGENTS if agent in self._agents]
        health = HealthServer(
            host=self._settings.worker_host,
            port=self._settings.worker_port,
            is_live=self._watchdog.overdue,
            is_ready=self._awaited,
        )
        app.services = (health, Heart(self._watchdog), *self._services)
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
            topics=_raw_topics(self._kafka),
            style=Transactional(
                batch_producer(self._kafka, self._settings, transactional_id),
                timeout_seconds=self._settings.transaction_timeout_seconds,
            ),
            channel=add_agent(app, "canonicalize", canonicalizer.handle),
            attempts=self._settings.batch_attempts,
            journal=BatchJournal(journal_file(self._kafka, self._settings)),
        )
        source.on_rebalance(novel.forget)
        return source

    def _publish_mappings(self, _app: MeshApp) -> Service:
        return MappingPublisher(self._kafka, self._open_pool, gather_seconds=self._settings.publish_interval_seconds)

    def _observe_schema(self, app: MeshApp) -> Service:
        observer = SchemaObserver(names=self._kafka.names, table=self._cache.snapshot, open_pool=self._open_pool)
        return self._after_writes(app, "observe_schema", self._kafka.names.schema_changes, observer)

    def _release_parked(self, _app: MeshApp) -> Service:
        parked = ParkedRecords(self._kafka)
        canonicalizer = build_canonicalizer(self._kafka, self._settings, self._cache, self._novel_fields())
        releaser = build_releaser(self._kafka, self._settings, parked, canonicalizer)
        return ReleaseParked(self._kafka, self._cache, parked, releaser, slot=self._settings.slot)

    def _retrieve_mappings(self, app: MeshApp) -> Service:
        keeper = NovelFieldKeeper(self._kafka, self._settings, self._open_pool)
        source = self._after_writes(app, "retrieve_mappings", self._kafka.names.fields_novel, keeper)
        retriever = MappingRetriever(
            self._kafka,
            self._settings,
            self._open_pool,
            table=self._cache.snapshot,
            may_start=self._cache.ready.is_set,
            load_scorer=lambda: load_scorer(self._inference, self._settings.bands),
        )
        source.add_dependency(retriever)
        return source

    def _ask_llm(self, app: MeshApp) -> Service:
        asker = LlmAsker(self._kafka, self._inference, self._open_pool, lambda: open_proposer(self._inference))
        return self._after_writes(
            app,
            "ask_llm",
            self._kafka.names.fields_unresolved,
            asker,
            records=QUESTIONS_OF_A_BATCH,
            deadline_seconds=QUESTIONS_SECONDS,
        )

    def _decide_mappings(self, app: MeshApp) -> Service:
        decider = MappingDecider(self._kafka, self._settings, self._open_pool)
        return self._after_writes(
            app, "decide_mappings", self._kafka.names.mapping_proposals, decider, records=PROPOSALS_OF_A_BATCH
        )

    # What talks to vendors takes 25 MB and half a second to import: only where these agents run.

    @cached_property
    def _limits(self) -> "LimitBook":
        """A vendor's limits, shared by syncs and scans."""
        from connectors.limits import LimitBook  # noqa: PLC0415  # see above

        return LimitBook()

    def _sync_connectors(self, _app: MeshApp) -> Service:
        from agents.sync_connectors import ConnectionSyncs  # noqa: PLC0415  # see above

        return ConnectionSyncs(self._kafka, self._open_pool, self._connectors, self._secrets, self._limits)

    def _scan_schemas(self, _app: MeshApp) -> Service:
        from agents.scan_schemas import SchemaScans  # noqa: PLC0415  # see above

        settings = (self._connectors, self._secrets, self._limits)
        return SchemaScans(self._kafka, self._settings, self._open_pool, *settings)

    def _after_writes(self, app: MeshApp, agent: str, topic: str, handler: Handler, **limits: Any) -> Source:
        """A source of an agent that writes elsewhere first, and waits while Postgres is down."""
        self._closing.callback(handler.close)
        return self._source(
            agent,
            topics=[topic],
            style=AfterWrites(
                batch_producer(self._kafka, self._settings, None),
                timeout_seconds=self._settings.transaction_timeout_seconds,
            ),
            channel=add_agent(app, agent, handler.handle),
            attempts=None,
            **limits,
        )

    def _novel_fields(self) -> NovelFields:
        return NovelFields(reannounce_seconds=self._settings.novel_reannounce_seconds)

    def _source(
        self,
        agent: str,
        *,
        attempts: int | None,
        records: int | None = None,
        deadline_seconds: float | None = None,
        **given: Any,
    ) -> Source:
        source = Source(
            agent,
            open_consumer=lambda **extra: group_consumer(self._kafka, self._settings, agent, **extra),
            limits=BatchLimits(
                records=records or self._settings.batch_records,
                deadline_seconds=deadline_seconds or self._settings.batch_deadline_seconds,
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


def journal_file(kafka: KafkaSettings, settings: WorkerSettings) -> Path:
    """One file a cluster, prefix and slot: several installations may share a machine."""
    cluster = hashlib.sha256(kafka.bootstrap_servers.encode()).hexdigest()[:12]
    return settings.state_dir / f"{kafka.topic_prefix}-{cluster}-{settings.slot}.json"


def _raw_topics(kafka: KafkaSettings) -> list[str]:
    """What canonicalize reads: our raw topic, and those that are bound to tenants; `^` begins a pattern."""
    bound = [*kafka.tenant_topics, *kafka.raw_bindings.subscriptions()]
    return list(dict.fromkeys([kafka.names.raw_records, *bound]))


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
        bindings=kafka.raw_bindings,
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


def load_scorer(settings: InferenceSettings, bands: Bands) -> Scorer:
    """What scores novel fields."""
    from agents import score_source  # noqa: PLC0415  # slow to import, with all that it needs

    return score_source.load_scorer(settings, bands)


def open_proposer(settings: InferenceSettings) -> Proposer | None:
    """The language model of the settings; None without a key."""
    if settings.openai_api_key is None:
        return None
    from inference.propose_mapping import LlmProposer  # noqa: PLC0415  # slow to import

    return LlmProposer(settings)


def await_topics(kafka: KafkaSettings, *, seconds: float) -> None:
    """Waits for the topics: whoever creates them may have started together with the worker. Raises as below."""
    end = time.monotonic() + seconds
    while True:
        try:
            return require_topics(kafka)
        except Misconfigured:
            if time.monotonic() > end:
                raise
        time.sleep(TOPICS_CHECK_SECONDS)


def require_topics(kafka: KafkaSettings) -> None:
    """Raises Misconfigured if a topic of the catalogue is missing, TransientError without Kafka."""
    there = provision.metadata(make_admin(kafka)).topics
    wanted = [*(spec.name for spec in kafka.catalogue()), *kafka.tenant_topics, *kafka.raw_bindings.topics]
    missing = [name for name in wanted if name not in there]
    if missing:
        raise Misconfigured(f"{len(missing)} topics are missing, e.g. {missing[0]}: run `aam topics apply`")
