"""The trail of decisions: who decided what, when, why and from what. Rows are added and read; the database itself
refuses all else. The publisher mirrors them to `aam.registry.events.v1` in order of `id`.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from psycopg.rows import dict_row
from psycopg.types.json import Jsonb

from mapping.mapping_set import Mapping as FieldMapping
from registry.edits import Key, Method, Target, transform_column
from registry.pool import AnyPool, Connection, transaction
from registry.queries import QUERIES

PAGE_ROWS: Final = 5_000


@dataclass(frozen=True)
class Decision:
    """What is the same for all changes of one decision.

    `method` says how the mappings were found; `approver` who answers for them, None if nobody does yet. `at`: when the
    versions were written, if that was elsewhere and earlier.
    """

    action: str
    actor: str
    method: Method
    approver: str | None = None
    reason: str = ""
    evidence: Mapping[str, Any] | None = None
    at: datetime | None = None


@dataclass(frozen=True)
class AuditEntry:
    """One row to add. `before`, `after`: the mapping, declaration or experiment; None: there is none."""

    key: Key
    revision: int
    target: Target | None = None
    version: int | None = None
    before: Mapping[str, Any] | None = None
    after: Mapping[str, Any] | None = None
    action: str | None = None
    evidence: Mapping[str, Any] | None = None


@dataclass(frozen=True)
class Recorded:
    """One row of the trail, `id` in order of decisions. `revision`: the registry's, after it."""

    id: int
    at: datetime
    revision: int
    action: str
    actor: str
    tenant: str
    connector: str
    entity: str
    canonical_entity: str | None
    canonical_field: str | None
    version: int | None
    before: dict[str, Any] | None
    after: dict[str, Any] | None
    reason: str
    evidence: dict[str, Any] | None


@dataclass(frozen=True)
class AuditFilter:
    """Which rows; None: any."""

    tenant: str | None = None
    connector: str | None = None
    entity: str | None = None
    target: Target | None = None
    actor: str | None = None
    since: datetime | None = None


class AuditTrail:
    """Reads the trail. All methods raise RegistryUnavailable (retry) and RegistryMisconfigured."""

    def __init__(self, pool: AnyPool) -> None:
        self._pool = pool

    def read(self, wanted: AuditFilter | None = None, *, after: int = 0) -> Iterator[Recorded]:
        """Rows with an id above `after`, in order, a page at a time: the trail may be long."""
        while True:
            page = self.page(wanted or AuditFilter(), after=after, rows=PAGE_ROWS)
            yield from page
            if len(page) < PAGE_ROWS:
                return
            after = page[-1].id

    def page(self, wanted: AuditFilter, *, after: int, rows: int) -> list[Recorded]:
        """The first `rows` of them."""
        with transaction(self._pool) as connection:
            return read_page(connection, wanted, after=after, rows=rows)


def read_page(connection: Connection, wanted: AuditFilter, *, after: int, rows: int) -> list[Recorded]:
    """As `AuditTrail.page`, in the caller's transaction."""
    target = wanted.target or (None, None)
    arguments = {
        "tenant": wanted.tenant,
        "connector": wanted.connector,
        "entity": wanted.entity,
        "canonical_entity": target[0],
        "canonical_field": target[1],
        "actor": wanted.actor,
        "since": wanted.since,
        "after": after,
        "rows": rows,
    }
    with connection.cursor(row_factory=dict_row) as cursor:
        return [Recorded(**row) for row in cursor.execute(QUERIES["read_audit"], arguments)]


def record(connection: Connection, decision: Decision, entries: Iterable[AuditEntry]) -> None:
    """Adds `entries` in the caller's transaction, which holds the lock of the revision: so ids are in commit order."""
    rows = [_row(decision, entry) for entry in entries]
    if rows:
        with connection.cursor() as cursor:
            cursor.executemany(QUERIES["insert_audit"], rows)


def described(mapping: FieldMapping, *, version: int, status: str, method: Method) -> dict[str, Any]:
    """A version of a mapping as the trail tells it."""
    return {
        "source_field": mapping.source_field,
        "transform": transform_column(mapping),
        "confidence": mapping.confidence,
        "status": status,
        "method": method,
        "version": version,
    }


def _row(decision: Decision, entry: AuditEntry) -> dict[str, Any]:
    tenant, connector, entity = entry.key
    canonical_entity, canonical_field = entry.target or (None, None)
    evidence = entry.evidence if entry.evidence is not None else decision.evidence
    return {
        "revision": entry.revision,
        "action": entry.action or decision.action,
        "actor": decision.actor,
        "tenant": tenant,
        "connector": connector,
        "entity": entity,
        "canonical_entity": canonical_entity,
        "canonical_field": canonical_field,
        "version": entry.version,
        "before": None if entry.before is None else Jsonb(entry.before),
        "after": None if entry.after is None else Jsonb(entry.after),
        "reason": decision.reason,
        "evidence": None if evidence is None else Jsonb(evidence),
    }
