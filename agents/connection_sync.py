"""One sync of one connection: reads with `connectors.sync`, produces to the raw topic, checkpoints what was delivered.

A position is written only when Kafka has all records before it, under the sync's claim: a sync that is killed, or that
another has replaced, loses nothing and may send a page twice. How it ended is left on the connection.
"""

import asyncio
import contextlib
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final

from confluent_kafka import KafkaError, KafkaException, Producer

from agents.connection_credentials import StoredCredentials
from agents.vendor_tools import VendorTools
from connectors.errors import ActionRequired
from connectors.read_records import record_key
from connectors.spec_files import load_spec
from connectors.sync import Batch, EntityEnd, sync
from connectors.sync_state import Position, StateKey
from connectors.vendor import Access, Vendor
from mapping.decode_json import decode
from observability import metrics
from registry.connections import Claim, StoredConnection
from schemas import headers as names
from schemas.connector_spec import ConnectorSpec, EntitySpec
from schemas.failures import AamError, InvalidRecord, Misconfigured, TransientError
from topics.clients import as_aam_error
from topics.dead_letter import Failure, dead_letter
from topics.kafka_record import ConsumedRecord, OutgoingRecord

AGENT: Final = "sync_connectors"
STAGE: Final = "sync connectors"
CHECKPOINT_SECONDS: Final = 2.0
AGAIN_SECONDS: Final = 300.0
UNDELIVERED_RECORDS: Final = 4_000
RAW_LIMIT_BYTES: Final = 1_000_000  # 1 MiB with room for headers

Progress = Callable[[str, int, int | None], None]
"""(entity, records so far, records in all if the vendor tells)"""


@dataclass
class Ticket:
    """One batch on its way to Kafka."""

    positions: Mapping[StateKey, Position]
    records: int
    left: int


@dataclass
class SyncResult:
    """How a sync ended. `problems`: entity → {reason, fix, at}; the whole connection's problem stands under ``."""

    records: dict[str, int] = field(default_factory=dict)
    problems: dict[str, dict[str, str]] = field(default_factory=dict)
    action_required: ActionRequired | None = None
    requests: int = 0
    is_transient: bool = False


@dataclass(frozen=True)
class Tools(VendorTools):
    """What all syncs of a process share."""

    producer: Producer


class ConnectionSync:
    """Runs once. The claim must be held; it is released at the end, unless the process dies."""

    def __init__(self, tools: Tools, claim: Claim, *, on_progress: Progress | None = None) -> None:
        self._tools = tools
        self._claim = claim
        self._on_progress = on_progress
        self._tickets: deque[Ticket] = deque()
        self._undelivered = 0
        self._delivery_error: KafkaError | None = None
        self._done = SyncResult()
        self._totals: dict[str, int | None] = {}
        self._ending = asyncio.Event()

    async def run(self, *, entities: list[str] | None = None, full: bool = False) -> SyncResult:
        """Syncs; what goes wrong is in the result and on the connection. Raises TransientError: Kafka or Postgres."""
        result = self._done
        try:
            stored = await asyncio.to_thread(self._tools.connections.get, self._claim.tenant, self._claim.id)
            await self._sync(stored, entities, full=full)
        except ActionRequired as error:
            result.action_required = error
            self._problem("", error)
        except Misconfigured as error:
            result.action_required = ActionRequired(str(error))
            self._problem("", error)
        except BaseException as error:
            # Killed, or Kafka or Postgres is away: the claim needn't run out before another goes on.
            result.is_transient = True
            with contextlib.suppress(AamError):
                await self._release()
            if isinstance(error, AamError):
                self._problem("", error)
            raise
        await self._release()
        return result

    async def _sync(self, stored: StoredConnection, entities: list[str] | None, *, full: bool) -> None:
        tools = self._tools
        spec = load_spec(stored.connector, tools.settings.specs_folder)
        credentials = await asyncio.to_thread(StoredCredentials, stored, tools.connections, tools.secrets)
        access = Access(stored.tenant, stored.id, credentials, stored.settings, stored.base_url)
        vendor = Vendor(spec, access, tools.egress, tools.book, tools.settings)
        wanted = entities or stored.entities or list(spec.entities)
        unknown = sorted(set(wanted) - spec.entities.keys())
        if unknown:
            raise ActionRequired(f"{spec.name} has no entity {unknown[0]}", f"there are {', '.join(spec.entities)}")
        rows = await asyncio.to_thread(tools.connections.positions, stored.tenant, stored.id)
        states = {key: Position.model_validate(position) for key, position in rows.items()}
        checkpoints = asyncio.create_task(self._checkpoints())
        try:
            async for item in sync(vendor, wanted, states, full=full, at_once=spec.max_concurrent):
                if isinstance(item, EntityEnd):
                    self._ended(item)
                else:
                    await self._produce(stored, item, spec)
                if checkpoints.done():
                    break
            await self._drained(checkpoints)
        finally:
            self._done.requests = vendor.requests
            self._ending.set()
            await checkpoints
            await self._save()

    async def _produce(self, stored: StoredConnection, batch: Batch, spec: ConnectorSpec) -> None:
        ticket = Ticket(batch.positions, len(batch.records), len(batch.records))
        self._tickets.append(ticket)
        self._totals[batch.entity] = batch.total or self._totals.get(batch.entity)

        def delivered(error: KafkaError | None, _message: object) -> None:
            ticket.left -= 1
            self._undelivered -= 1
            if error is not None:
                self._delivery_error = self._delivery_error or error

        raw_topic = self._tools.names.raw_records
        tenant, observed = stored.tenant.encode(), str(batch.observed_at_ms).encode()
        headers = {entity: _headers(stored, entity, observed) for entity in {r.entity for r in batch.records}}
        for record in batch.records:
            sent = headers[record.entity]
            if record.op == "delete":
                sent = [*sent, (names.OP, b"delete")]
                if record.record_id is not None:
                    sent.append((names.RECORD_ID, record.record_id.encode()))
            topic, outgoing = raw_topic, OutgoingRecord(tenant, record.value, sent)
            if record.value is not None and len(record.value) > RAW_LIMIT_BYTES:
                topic = self._tools.names.dead_letters
                outgoing = self._too_large(outgoing, record.value, batch, spec.entities[batch.entity])
            await self._send(topic, outgoing, delivered)
        self._done.records[batch.entity] = self._done.records.get(batch.entity, 0) + len(batch.records)
        metrics.SYNC_RECORDS.labels(stored.connector).inc(len(batch.records))
        if self._on_progress is not None:
            self._on_progress(batch.entity, self._done.records[batch.entity], self._totals[batch.entity])
        self._tools.producer.poll(0)

    async def _send(
        self, topic: str, record: OutgoingRecord, delivered: Callable[[KafkaError | None, object], None]
    ) -> None:
        producer, (key, value, headers) = self._tools.producer, record
        while self._undelivered >= UNDELIVERED_RECORDS:
            producer.poll(0)
            await asyncio.sleep(0.005)
        while True:
            try:
                producer.produce(topic, value, key, headers=headers, on_delivery=delivered)  # type: ignore[arg-type]  # its stub knows no null
                break
            except BufferError:
                producer.poll(0)
                await asyncio.sleep(0.01)
            except KafkaException as error:
                raise as_aam_error(error, "take records") from error
        self._undelivered += 1

    async def _checkpoints(self) -> None:
        """Saves now and then, which also holds on to the claim. Ends with what went wrong."""
        while True:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._ending.wait(), CHECKPOINT_SECONDS)
                return
            await self._save()

    async def _drained(self, checkpoints: "asyncio.Task[None]") -> None:
        """Waits until Kafka has everything."""
        while self._undelivered and self._delivery_error is None and not checkpoints.done():
            self._tools.producer.poll(0)
            await asyncio.sleep(0.01)

    async def _save(self) -> None:
        """Writes the positions whose records are delivered, in order. Raises TransientError, ClaimLost."""
        self._tools.producer.poll(0)
        if self._delivery_error is not None:
            raise as_aam_error(self._delivery_error, "take records")
        positions: dict[StateKey, dict[str, Any]] = {}
        records = 0
        while self._tickets and self._tickets[0].left <= 0:
            ticket = self._tickets.popleft()
            records += ticket.records
            for key, position in ticket.positions.items():
                positions[key] = position.model_dump(mode="json", exclude_defaults=True)
        progress = {
            entity: {"records": n, "total": self._totals.get(entity)} for entity, n in self._done.records.items()
        }
        await asyncio.to_thread(
            self._tools.connections.save, self._claim, positions, records=records, progress=progress
        )

    def _ended(self, end: EntityEnd) -> None:
        self._done.records.setdefault(end.entity, 0)
        if end.error is not None:
            self._problem(end.entity, end.error)
            self._done.is_transient |= isinstance(end.error, TransientError)

    def _problem(self, entity: str, error: AamError) -> None:
        at = datetime.now(UTC).isoformat(timespec="seconds")
        self._done.problems[entity] = {"reason": str(error), "fix": str(getattr(error, "fix", "")), "at": at}
        metrics.SYNC_PROBLEMS.labels(error.kind).inc()

    def _too_large(self, record: OutgoingRecord, value: bytes, batch: Batch, entity: EntitySpec) -> OutgoingRecord:
        """The dead letter of a record that the raw topic does not take. It never stood there: offset -1."""
        error = InvalidRecord(f"a record of {len(value)} bytes is a dead letter: the raw topic takes 1 MiB")
        self._problem(batch.entity, error)
        metrics.DEAD_LETTERS.labels(AGENT, str(error.kind)).inc()
        headers = [*record.headers, (names.RECORD_ID, record_key(entity, decode(value)).encode())]
        raw_topic = self._tools.names.raw_records
        unsent = ConsumedRecord(raw_topic, -1, -1, batch.observed_at_ms, record.key, value, headers)
        return dead_letter(unsent, Failure.of(error, STAGE))

    async def _release(self) -> None:
        done = self._done
        stop = done.action_required
        await asyncio.to_thread(
            self._tools.connections.release,
            self._claim,
            problems=done.problems,
            reason=str(stop) if stop else "",
            fix=stop.fix if stop else "",
            again_seconds=AGAIN_SECONDS if done.is_transient else None,
        )


def _headers(stored: StoredConnection, entity: str, observed_at_ms: bytes) -> list[tuple[str, bytes | None]]:
    return [
        (names.TENANT, stored.tenant.encode()),
        (names.CONNECTOR, stored.connector.encode()),
        (names.ENTITY, entity.encode()),
        (names.CONNECTION, stored.id.encode()),
        (names.OBSERVED_AT, observed_at_ms),
    ]
