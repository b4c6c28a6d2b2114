"""Finds what novel fields may be: keeps their profiles, gathers those of an entity, has them scored together.

`NovelFieldKeeper` puts what is announced into the registry; `MappingRetriever` takes what has waited long enough from
there and writes proposals, or what retrieval can't tell as unresolved. The scoring is in `agents.score_source`.
"""

import logging
import time
from collections.abc import Callable, Iterable
from typing import Final, Protocol

from confluent_kafka import KafkaException, Message, Producer

from agents.batch import Batch
from agents.control_message import parse_message
from agents.dead_letters import Output, bury_message
from agents.mapping_cache import MappingTable
from agents.registry_access import OpenPool, RegistryAccess
from agents.settings import WorkerSettings
from agents.thread_service import ThreadService
from observability import metrics
from registry.novel_fields import DueSource, NovelFieldStore
from registry.pool import Pool
from schemas.failures import AamError, InvalidRecord, TransientError
from schemas.messages import MappingProposal, NovelField, UnresolvedFields
from topics.clients import make_producer
from topics.settings import KafkaSettings

log = logging.getLogger(__name__)

IDLE_SECONDS: Final = 0.25
RETRY_SECONDS: Final = 2.0
FLUSH_SECONDS: Final = 30.0
# Long enough for the slowest turn, short enough that a dead worker's sources don't wait for long.
LEASE_SECONDS: Final = 60.0


class Scored(Protocol):
    """`agents.score_source.Scored`."""

    @property
    def proposals(self) -> tuple[MappingProposal, ...]: ...
    @property
    def unresolved(self) -> tuple[UnresolvedFields, ...]: ...
    @property
    def waits(self) -> bool: ...


class Scorer(Protocol):
    """`agents.score_source.SourceScorer`."""

    def score(self, source: DueSource, table: MappingTable, pool: Pool) -> Scored: ...


LoadScorer = Callable[[], Scorer]
"""Slow, so it is called when the first field waits, off the event loop."""


class NovelFieldKeeper:
    """Keeps what is announced. After-writes: the registry first, then the offsets."""

    def __init__(self, kafka: KafkaSettings, settings: WorkerSettings, open_pool: OpenPool) -> None:
        self._names = kafka.names
        self._gather_seconds = settings.gather_seconds
        self._registry = RegistryAccess(open_pool)

    def close(self) -> None:
        """Give the connections back."""
        self._registry.close()

    async def handle(self, batch: Batch) -> None:
        """Settle one batch."""
        with batch.outcome():
            await batch.in_thread(self.process, batch.messages, batch)

    def process(self, messages: Iterable[Message], output: Output) -> None:
        """Keep them all. Raises TransientError or Misconfigured without Postgres: to be tried again."""
        fields = []
        for message in messages:
            try:
                fields.append(parse_message(NovelField, message.value()))
            except InvalidRecord as error:
                bury_message(message, error, agent="retrieve_mappings", names=self._names, output=output)
        NovelFieldStore(self._registry.pool).keep(fields, gather_seconds=self._gather_seconds)


class MappingRetriever(ThreadService):
    """Has sources scored whose turn it is, for as long as the worker lives; Postgres and Kafka may come and go."""

    def __init__(
        self,
        kafka: KafkaSettings,
        settings: WorkerSettings,
        open_pool: OpenPool,
        *,
        table: Callable[[], MappingTable],
        may_start: Callable[[], bool],
        load_scorer: LoadScorer,
    ) -> None:
        super().__init__()
        self._kafka = kafka
        self._settings = settings
        self._registry = RegistryAccess(open_pool)
        self._table = table
        self._may_start = may_start
        self._load_scorer = load_scorer
        self._scorer: Scorer | None = None
        self._producer: Producer | None = None
        self._undelivered: list[str] = []

    def run(self) -> None:
        while not self.ending.is_set():
            pause = IDLE_SECONDS
            try:
                if self._may_start() and self.turn():
                    continue
            except (AamError, KafkaException) as error:
                log.warning("retrieval: %s; trying again", error)
                self._producer, pause = None, RETRY_SECONDS
                self._registry.close()
            except Exception:
                log.exception("retrieval: a bug; trying again")
                pause = RETRY_SECONDS
            self.ending.wait(pause)
        self._registry.close()

    def turn(self) -> int:
        """Have the sources scored whose turn it is; how many there were."""
        pool = self._registry.pool
        store = NovelFieldStore(pool)
        due = store.claim(sources=self._settings.sources_at_once, lease_seconds=LEASE_SECONDS)
        if due and self._scorer is None:
            self._scorer = self._load_scorer()
        waiting = {}
        for source in due:
            assert self._scorer is not None
            started = time.perf_counter()
            scored = self._scorer.score(source, self._table(), pool)
            metrics.RETRIEVAL_SECONDS.observe(time.perf_counter() - started)
            self._write(scored)
            waiting[source.key] = scored.waits
        self._flush()
        for source in due:
            store.settled(source, waits=waiting[source.key])
        return len(due)

    def _write(self, scored: Scored) -> None:
        if self._producer is None:
            self._producer = make_producer(self._kafka, on_delivery=self._on_delivery)
        names = self._kafka.names
        for proposal in scored.proposals:
            body = proposal.model_dump_json().encode()
            self._producer.produce(names.mapping_proposals, body, proposal.tenant.encode())
        for unresolved in scored.unresolved:
            body = unresolved.model_dump_json().encode()
            self._producer.produce(names.fields_unresolved, body, unresolved.tenant.encode())

    def _on_delivery(self, error: object, _message: object) -> None:
        if error is not None:
            self._undelivered.append(str(error))

    def _flush(self) -> None:
        if self._producer is None:
            return
        waiting = self._producer.flush(FLUSH_SECONDS)
        failed, self._undelivered = self._undelivered, []
        if waiting or failed:
            raise TransientError(f"Kafka did not take the proposals: {failed[0] if failed else 'no answer'}")
