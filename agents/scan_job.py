"""One scan job: looks at a connection's vendor, and says what is to be written because of it.

Entities that could be told become schema changes. Of the others, those whose vendor did not answer are tried again,
later each time, in a job of their own; what no other try can change, and the last try, is a dead letter. Refused
credentials leave the connection waiting for somebody's action.
"""

import asyncio
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final, NamedTuple

from confluent_kafka import Message

from agents.batch import backoff_seconds
from agents.connection_credentials import StoredCredentials
from agents.control_message import parse_message
from agents.vendor_tools import VendorTools
from connectors.discover_vendor import discover_each
from connectors.discovery import DiscoveredEntity, schema_change
from connectors.errors import ActionRequired, VendorUnavailable
from connectors.spec_files import load_spec
from connectors.vendor import Access, Vendor
from registry.connections import StoredConnection
from registry.errors import RegistryMisconfigured, RegistryUnavailable
from schemas import headers as header_names
from schemas.connector_spec import ConnectorSpec
from schemas.failures import AamError, InvalidRecord, Misconfigured, TransientError
from schemas.messages import ScanJob
from topics.dead_letter import Failure, dead_letter
from topics.kafka_record import ConsumedRecord, Headers, last_header

log = logging.getLogger(__name__)

ATTEMPTS: Final = 5
PATIENCE_SECONDS: Final = 120.0
PAUSE_SECONDS: Final = 10.0
LONGEST_PAUSE_SECONDS: Final = 600.0
STAGE: Final = "scan schemas"


class Write(NamedTuple):
    """A message to be written."""

    topic: str
    key: bytes | None
    value: bytes | None
    headers: Headers = ()


class Settled(NamedTuple):
    """What a job ends with: `outcome` is done, retried or dead_letter; `kind` the failure's, of a dead letter."""

    outcome: str
    writes: list[Write]
    kind: str = ""


@dataclass(frozen=True)
class ScanTools(VendorTools):
    """What all scans of a process share."""

    patience_seconds: float = PATIENCE_SECONDS
    pause_seconds: float = PAUSE_SECONDS


async def run_scan(tools: ScanTools, message: Message) -> Settled:
    """Does the job that `message` asks for. Raises RegistryUnavailable, RegistryMisconfigured: not the job's fault."""
    record = ConsumedRecord.from_message(message)
    try:
        job = parse_message(ScanJob, record.value)
        return settle(tools, record, job, *await _look_at(tools, job))
    except (RegistryUnavailable, RegistryMisconfigured):
        raise
    except Exception as error:
        if not isinstance(error, AamError):
            log.error("bug: a scan job died of %s", type(error).__name__)
        return _dead(tools, record, error)


async def _look_at(tools: ScanTools, job: ScanJob) -> tuple[StoredConnection, dict[str, DiscoveredEntity | AamError]]:
    stored = await asyncio.to_thread(tools.connections.get, job.tenant, job.connection)
    if stored.status != "active":
        raise Misconfigured(f"connection {stored.id} is {stored.status.replace('_', ' ')}: see what it waits for")
    try:
        spec = load_spec(stored.connector, tools.settings.specs_folder)
        wanted = _wanted(job, stored, spec)
        credentials = await asyncio.to_thread(StoredCredentials, stored, tools.connections, tools.secrets)
        access = Access(stored.tenant, stored.id, credentials, stored.settings, stored.base_url)
        vendor = Vendor(spec, access, tools.egress, tools.book, tools.settings)
        async with asyncio.timeout(tools.patience_seconds):
            return stored, await discover_each(vendor, wanted)
    except TimeoutError:
        late = VendorUnavailable(f"not looked at within {tools.patience_seconds:g} s")
        return stored, dict.fromkeys(wanted, late)
    except Misconfigured as error:
        fix = getattr(error, "fix", "")
        await asyncio.to_thread(
            tools.connections.set_status, stored.tenant, stored.id, "action_required", reason=str(error), fix=fix
        )
        raise ActionRequired(str(error), fix) from error


def _wanted(job: ScanJob, stored: StoredConnection, spec: ConnectorSpec) -> list[str]:
    wanted = list(job.entities or stored.entities or spec.entities)
    unknown = [name for name in wanted if name not in spec.entities]
    if unknown:
        raise InvalidRecord(f"{spec.name} has no entity {unknown[0]}; there are {', '.join(spec.entities)}")
    return wanted


def settle(
    tools: ScanTools,
    record: ConsumedRecord,
    job: ScanJob,
    stored: StoredConnection,
    found: Mapping[str, DiscoveredEntity | AamError],
) -> Settled:
    """What becomes of a job whose entities are as `found` says."""
    now = datetime.now(UTC)
    entities = [entity for entity in found.values() if isinstance(entity, DiscoveredEntity) and entity.schema.fields]
    writes = [_change(tools, stored, entity, now) for entity in entities]
    failed = {name: error for name, error in found.items() if isinstance(error, AamError)}
    again = [name for name, error in failed.items() if isinstance(error, TransientError)]
    attempt = attempts_of(record)
    if attempt >= ATTEMPTS:
        again = []
    if again:
        writes.append(_another_try(tools, record, job, again, attempt, now))
    for_good = {name: error for name, error in failed.items() if name not in again}
    if for_good:
        dead = _dead(tools, record, _all_of(for_good))
        return dead._replace(writes=[*writes, *dead.writes])
    return Settled("retried" if again else "done", writes)


def attempts_of(record: ConsumedRecord) -> int:
    """Which try of a job this is, from 1."""
    text = (last_header(record.headers, header_names.ERROR_ATTEMPTS) or b"").decode("ascii", "replace")
    return int(text) if text.isdigit() and len(text) < 9 else 1


def _change(tools: ScanTools, stored: StoredConnection, entity: DiscoveredEntity, now: datetime) -> Write:
    change = schema_change(
        entity, tenant=stored.tenant, connector=stored.connector, connection=stored.id, observed_at=now
    )
    return Write(tools.names.schema_changes, stored.tenant.encode(), change.model_dump_json().encode())


def _another_try(
    tools: ScanTools, record: ConsumedRecord, job: ScanJob, names: Sequence[str], attempt: int, now: datetime
) -> Write:
    pause = backoff_seconds(attempt, base=tools.pause_seconds, limit=LONGEST_PAUSE_SECONDS)
    later = job.model_copy(update={"entities": tuple(names), "not_before": now + timedelta(seconds=pause)})
    kept = [header for header in record.headers if header[0] != header_names.ERROR_ATTEMPTS]
    headers = [*kept, (header_names.ERROR_ATTEMPTS, b"%d" % (attempt + 1))]
    return Write(record.topic, record.key, later.model_dump_json().encode(), headers)


def _dead(tools: ScanTools, record: ConsumedRecord, error: Exception) -> Settled:
    failure = Failure.of(error, STAGE)
    letter = dead_letter(record, failure)
    write = Write(tools.names.dead_letters, letter.key, letter.value, letter.headers)
    return Settled("dead_letter", [write], str(failure.kind))


def _all_of(failed: Mapping[str, AamError]) -> AamError:
    """One error that tells of all entities; of the kind of the first."""
    first = next(iter(failed.values()))
    reasons = "; ".join(f"{name}: {error}" for name, error in failed.items())
    if isinstance(first, ActionRequired):
        return ActionRequired(reasons, first.fix)
    return TransientError(reasons) if isinstance(first, TransientError) else InvalidRecord(reasons)
