"""What the publisher of the mapping table has to write, and how far it has come.

Revisions are committed in order (the lock of `registry.mapping_store`), so a snapshot that shows one shows all before
it: no change is missed, whatever transactions are open. Writing to Kafka is the publisher's part.
"""

from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Final

from psycopg import IsolationLevel

from mapping.mapping_set import ANY_TENANT, MappingSet
from registry import errors
from registry.audit import AuditEntry, AuditFilter, Decision, Recorded, read_page, record
from registry.edits import Declaration, Key, Plan, SetState
from registry.pool import AdvisoryLock, Connection, Pool, dedicated_connection, transaction
from registry.queries import QUERIES
from registry.read_sets import read_revision, read_sets
from registry.write_changes import SetChange, take_turn, write_changes

SETS_READ_AT_ONCE: Final = 50


@dataclass(frozen=True)
class Change:
    """One change of one set."""

    revision: int
    key: Key


@dataclass(frozen=True)
class Publication:
    """What one Kafka transaction writes: `sets`, then a snapshot-complete of (epoch, revision).

    `sets` are whole, as of one moment, complete through `revision`; every key once. `full`: they are all there are.
    `changes` are what led here since the last publication, in order of revision.
    """

    epoch: int
    revision: int
    sets: tuple[MappingSet, ...]
    changes: tuple[Change, ...]
    full: bool


@dataclass(frozen=True)
class Leadership:
    """The right to publish, as long as the session that took it lives."""

    _connection: Connection = field(repr=False)

    def wait(self, timeout_seconds: float) -> bool:
        """Waits for a change at most `timeout_seconds`; whether one was announced.

        A wake-up can be lost, so look into the outbox after either answer.

        Raises:
            RegistryUnavailable: the session, and with it the leadership, is lost.
        """
        with errors.translated():
            woken = any(True for _ in self._connection.notifies(timeout=timeout_seconds, stop_after=1))
            # A session that died in silence must not be taken for a quiet one.
            self._connection.execute(b"SELECT 1")
            return woken


class Outbox:
    """Changes of the registry on their way to Kafka. All methods raise RegistryUnavailable (retry)."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    @contextmanager
    def try_lead(self) -> Iterator[Leadership | None]:
        """Leadership of the publishers of this database until the block ends; None while another one has it.

        Needs a connection that keeps its session: no transaction-pooling proxy.
        """
        connection = dedicated_connection(self._pool)
        try:
            with errors.translated():
                row = connection.execute(QUERIES["try_lead"], {"lock": AdvisoryLock.PUBLISHER}).fetchone()
                leads = row is not None and row[0]
                if leads:
                    connection.execute(b"LISTEN aam_outbox")
            yield Leadership(connection) if leads else None
        finally:
            connection.close()

    def reconcile(self, topic: tuple[int, int] | None) -> bool:
        """Compares with the topic's last snapshot-complete (epoch, revision; None: there is none), before publishing.

        Raises the epoch if the topic shows more than this database ever announced: it was restored to an older state.
        Returns whether a full snapshot is due, which `everything` then gives.
        """
        with transaction(self._pool) as connection:
            take_turn(connection)
            epoch, _ = read_revision(connection)
            announced, published = _publication(connection)
            known = max(announced, (epoch, 0))
            if topic is not None and topic > known:
                connection.execute(QUERIES["raise_epoch"], {"above": topic[0], "seen": topic[1]})
                connection.execute(QUERIES["demand_everything"])
                return True
            if topic is None or topic < published:
                connection.execute(QUERIES["demand_everything"])
                return True
            return published[0] != epoch

    def raise_epoch(self, above: int) -> int:
        """Makes the epoch higher than `above`; the epoch now. A raised epoch demands a full snapshot."""
        with transaction(self._pool) as connection:
            take_turn(connection)
            connection.execute(QUERIES["raise_epoch"], {"above": above, "seen": 0})
            return read_revision(connection)[0]

    def pending(self) -> Publication | None:
        """What is to be published now: the sets changed since the last time, or all if a full snapshot is due.

        The same again until it is marked as published. None if there is nothing.
        """
        with transaction(self._pool, IsolationLevel.REPEATABLE_READ) as connection:
            epoch, _ = read_revision(connection)
            _, (published_epoch, _) = _publication(connection)
            if published_epoch != epoch:
                return _snapshot(connection, None)
            changes = _pending_changes(connection)
            return _snapshot(connection, changes) if changes else None

    def everything(self, topic_keys: Collection[Key] = ()) -> Publication:
        """All sets. Keys of the topic that this database has lost are given as empty sets."""
        with transaction(self._pool, IsolationLevel.REPEATABLE_READ) as connection:
            return _snapshot(connection, None, topic_keys)

    def mark_published(self, epoch: int, revision: int) -> None:
        """Records that Kafka has committed a publication that is complete through (epoch, revision)."""
        with transaction(self._pool) as connection:
            version = {"epoch": epoch, "revision": revision}
            connection.execute(QUERIES["mark_changes_published"], version)
            connection.execute(QUERIES["mark_published"], version)

    def decisions(self, limit: int) -> list[Recorded]:
        """The first `limit` rows of the audit trail that Kafka doesn't have. The same again until they are marked."""
        with transaction(self._pool) as connection:
            row = connection.execute(QUERIES["get_mirrored"]).fetchone()
            assert row is not None
            return read_page(connection, AuditFilter(), after=row[0], rows=limit)

    def mark_mirrored(self, audit_id: int) -> None:
        """Records that Kafka has committed the trail through `audit_id`."""
        with transaction(self._pool) as connection:
            connection.execute(QUERIES["mark_mirrored"], {"id": audit_id})

    def prune(self, keep_seconds: float) -> int:
        """Deletes what was published longer than `keep_seconds` ago; how many rows. The audit trail keeps all."""
        with transaction(self._pool) as connection:
            return connection.execute(QUERIES["prune_outbox"], {"seconds": keep_seconds}).rowcount

    def recover(self, topic: tuple[int, int] | None, topic_keys: Collection[Key], *, actor: str) -> tuple[int, int]:
        """After a restore: raises the epoch above all that `topic` (its last snapshot-complete) and the database show,
        and the revision to the topic's; the (epoch, revision) now.

        Sets that only the topic has are taken in as empty ones, so that workers stop to use them. Every set is
        published anew.
        """
        with transaction(self._pool) as connection:
            take_turn(connection)
            epoch, revision = read_revision(connection)
            seen_epoch, seen_revision = topic or (0, 0)
            raised = {"above": max(epoch, seen_epoch), "seen": max(revision, seen_revision)}
            connection.execute(QUERIES["raise_epoch"], raised)
            decision = Decision("recover", actor, "manual", actor, "restored to an older state")
            known = {(row[0], row[1], row[2]) for row in connection.execute(QUERIES["all_sources"])}
            lost = sorted(set(topic_keys) - known)
            if lost:
                changes = [SetChange(key, Plan((), Declaration()), SetState()) for key in lost]
                write_changes(connection, changes, decision)
            now = read_revision(connection)
            before, after = ({"epoch": e, "revision": r} for e, r in ((epoch, revision), now))
            everything = (ANY_TENANT, ANY_TENANT, ANY_TENANT)
            record(connection, decision, [AuditEntry(everything, now[1], before=before, after=after)])
            return now

    def oldest_pending_seconds(self) -> float:
        """Age of the oldest change that is not published, in seconds; 0 if there is none."""
        with transaction(self._pool) as connection:
            row = connection.execute(QUERIES["oldest_pending"]).fetchone()
            return float(row[0]) if row else 0.0


def _snapshot(connection: Connection, changes: list[Change] | None, topic_keys: Collection[Key] = ()) -> Publication:
    """`changes` None: a full one. Announces what it gives, in the same transaction."""
    epoch, revision = read_revision(connection)
    full = changes is None
    changes = _pending_changes(connection) if changes is None else changes
    sets = _read_in_parts(connection, None if full else {change.key for change in changes})
    lost = sorted(set(topic_keys) - {mapping_set.key for mapping_set in sets})
    empty = [MappingSet(tenant=t, connector=c, entity=e, epoch=epoch, revision=revision) for t, c, e in lost]
    connection.execute(QUERIES["announce_publication"], {"epoch": epoch, "revision": revision})
    return Publication(epoch, revision, (*sets, *empty), tuple(changes), full)


def _read_in_parts(connection: Connection, keys: Collection[Key] | None) -> list[MappingSet]:
    """As `read_sets`; thousands in many statements, so that the process's other threads have their turns in between."""
    if keys is None:
        keys = [(row[0], row[1], row[2]) for row in connection.execute(QUERIES["all_sources"])]
    ordered = sorted(keys)
    parts = [ordered[start : start + SETS_READ_AT_ONCE] for start in range(0, len(ordered), SETS_READ_AT_ONCE)]
    return [mapping_set for part in parts for mapping_set in read_sets(connection, part)]


def _pending_changes(connection: Connection) -> list[Change]:
    return [
        Change(revision, (tenant, connector, entity))
        for revision, tenant, connector, entity in connection.execute(QUERIES["pending_changes"])
    ]


def _publication(connection: Connection) -> tuple[tuple[int, int], tuple[int, int]]:
    row = connection.execute(QUERIES["get_publication"]).fetchone()
    assert row is not None
    return (row[0], row[1]), (row[2], row[3])
