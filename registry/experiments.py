"""Experiments: some proposed versions live for a share of a set's records, until they are promoted or stopped.

One runs on a set at a time. Start and end are revisions of the set like any other change, so workers follow as always;
which record gets which arm is decided by `mapping.experiment`, what the arms gave is measured by their reader.
"""

import secrets
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from registry import errors
from registry.approvals import activation, moved, reject_proposals, require_another, versions_by_id
from registry.audit import AuditEntry, Decision, record
from registry.edits import Key, Plan, SetState
from registry.mapping_store import StoredMapping
from registry.pool import AnyPool, Connection, transaction
from registry.queries import QUERIES
from registry.read_states import read_states
from registry.write_changes import (
    SetChange,
    Validator,
    check_sets,
    compiles,
    execute_all,
    next_revision,
    source_columns,
    take_turn,
    touch_sets,
    write_changes,
)

Outcome = Literal["promoted", "stopped"]

_SALT_BYTES = 8


@dataclass(frozen=True)
class StoredExperiment:
    """One experiment. It ran from `started_revision` until before `ended_revision` (None: it runs)."""

    id: int
    key: Key
    percent: float
    salt: str
    started_by: str
    started_at: datetime
    started_revision: int
    ended_at: datetime | None
    ended_revision: int | None
    outcome: Outcome | None
    versions: tuple[StoredMapping, ...]


class Experiments:
    """All methods raise RegistryUnavailable (retry), RegistryMisconfigured, and InvalidDecision if it can't be done."""

    def __init__(self, pool: AnyPool, *, validate: Validator = compiles, bar_self_approval: bool = False) -> None:
        self._pool = pool
        self._validate = validate
        self._bar_self_approval = bar_self_approval

    def start(self, proposals: Collection[int], *, percent: float, actor: str, reason: str = "") -> StoredExperiment:
        """Has the proposals, all of one set, map `percent` of its records (0 < percent < 100).

        Raises:
            InvalidDecision: not all are open proposals of one set, two are for the same target, or one runs already.
            InvalidMapping: the set would not compile with all of them.
        """
        if not 0 < percent < 100:
            raise errors.InvalidDecision(f"{percent} % is no share: an experiment takes more than 0 and less than 100")
        decision = Decision("start_experiment", actor, "manual", actor, reason)
        with transaction(self._pool) as connection:
            take_turn(connection)
            versions = versions_by_id(connection, proposals)
            key = _one_set(versions)
            if _list(connection, key=key):
                raise errors.InvalidDecision(f"an experiment runs on {'/'.join(key)}: promote or stop it first")
            revision = next_revision(connection)
            row = {**source_columns(key), "percent": percent, "salt": secrets.token_hex(_SALT_BYTES), "actor": actor}
            inserted = connection.execute(QUERIES["start_experiment"], {**row, "revision": revision}).fetchone()
            assert inserted is not None
            execute_all(connection, QUERIES["try_version"], [{"id": v.id, "experiment": inserted[0]} for v in versions])
            touch_sets(connection, revision, [SetChange(key, Plan((), None), SetState())], decision)
            check_sets(connection, self._validate, {key: [version.mapping for version in versions]})
            record(connection, decision, _tried(versions, revision, inserted[0], percent))
            return _list(connection, identity=inserted[0])[0]

    def find(
        self,
        *,
        tenant: str | None = None,
        connector: str | None = None,
        entity: str | None = None,
        ended: bool = False,
    ) -> list[StoredExperiment]:
        """Those that run, with `ended` the former as well, in order of their start."""
        with transaction(self._pool) as connection:
            return _list(connection, tenant=tenant, connector=connector, entity=entity, ended=ended)

    def get(self, experiment_id: int) -> StoredExperiment:
        """One, running or not."""
        with transaction(self._pool) as connection:
            return _get(connection, experiment_id)

    def promote(self, experiment_id: int, *, actor: str, reason: str = "") -> int:
        """Puts arm B in force for all records; the registry's revision after it. The same again changes nothing."""
        with transaction(self._pool) as connection:
            take_turn(connection)
            experiment = _get(connection, experiment_id)
            if experiment.ended_revision is not None:
                return _ended_before(experiment, "promoted")
            for version in experiment.versions:
                require_another(version, actor, barred=self._bar_self_approval)
            state = read_states(connection, [experiment.key])[experiment.key]
            plan = Plan(tuple(activation(version, state) for version in experiment.versions), None)
            decision = Decision("promote", actor, "manual", actor, reason, {"experiment": experiment_id})
            revision = write_changes(connection, [SetChange(experiment.key, plan, state)], decision)
            _end(connection, experiment_id, revision, "promoted")
            added = {experiment.key: [version.mapping for version in experiment.versions]}
            check_sets(connection, self._validate, added)
            return revision

    def stop(self, experiment_id: int, *, actor: str, reason: str = "") -> int:
        """Rejects arm B; the registry's revision after it. The same again changes nothing."""
        with transaction(self._pool) as connection:
            take_turn(connection)
            experiment = _get(connection, experiment_id)
            if experiment.ended_revision is not None:
                return _ended_before(experiment, "stopped")
            return stop_within(connection, experiment, actor=actor, reason=reason)


def stop_within(connection: Connection, experiment: StoredExperiment, *, actor: str, reason: str) -> int:
    """Stops a running experiment in the caller's transaction, which has taken its turn; the revision."""
    decision = Decision("stop_experiment", actor, "manual", actor, reason, {"experiment": experiment.id})
    revision = next_revision(connection)
    reject_proposals(connection, experiment.versions, decision)
    touch_sets(connection, revision, [SetChange(experiment.key, Plan((), None), SetState())], decision)
    _end(connection, experiment.id, revision, "stopped")
    return revision


def running_on(connection: Connection, keys: Collection[Key]) -> list[StoredExperiment]:
    """The experiments that run on `keys`."""
    return [experiment for experiment in _list(connection) if experiment.key in keys]


def _end(connection: Connection, experiment_id: int, revision: int, outcome: Outcome) -> None:
    arguments = {"id": experiment_id, "revision": revision, "outcome": outcome}
    connection.execute(QUERIES["end_experiment"], arguments)


def _ended_before(experiment: StoredExperiment, outcome: Outcome) -> int:
    if experiment.outcome != outcome or experiment.ended_revision is None:
        raise errors.InvalidDecision(f"experiment {experiment.id} was {experiment.outcome} already")
    return experiment.ended_revision


def _one_set(versions: Sequence[StoredMapping]) -> Key:
    if not versions:
        raise errors.InvalidDecision("an experiment needs a proposal: `aam mappings propose`")
    for version in versions:
        if version.status != "proposed":
            raise errors.InvalidDecision(
                f"mapping {version.id} is {version.status}: only what is proposed can be tried"
            )
    keys = {version.key for version in versions}
    if len(keys) > 1:
        raise errors.InvalidDecision("the proposals are of several sets: an experiment runs on one")
    if len({version.mapping.target for version in versions}) < len(versions):
        raise errors.InvalidDecision("two of the proposals are for the same target")
    return versions[0].key


def _tried(versions: Sequence[StoredMapping], revision: int, experiment: int, percent: float) -> Iterator[AuditEntry]:
    for version in versions:
        entry = moved(version, revision, "trial")
        evidence: Mapping[str, Any] = {"experiment": experiment, "percent": percent}
        yield AuditEntry(entry.key, revision, entry.target, entry.version, entry.before, entry.after, evidence=evidence)


def _get(connection: Connection, experiment_id: int) -> StoredExperiment:
    found = _list(connection, identity=experiment_id, ended=True)
    if not found:
        raise errors.InvalidDecision(f"there is no experiment {experiment_id}")
    return found[0]


def _list(
    connection: Connection,
    *,
    identity: int | None = None,
    key: Key | None = None,
    tenant: str | None = None,
    connector: str | None = None,
    entity: str | None = None,
    ended: bool = False,
) -> list[StoredExperiment]:
    if key is not None:
        tenant, connector, entity = key
    arguments = {"id": identity, "tenant": tenant, "connector": connector, "entity": entity, "ended": ended}
    rows = connection.execute(QUERIES["list_experiments"], arguments).fetchall()
    versions = {version.id: version for version in versions_by_id(connection, {i for row in rows for i in row[-1]})}
    return [_stored(row, tuple(versions[i] for i in row[-1])) for row in rows]


def _stored(row: Sequence[Any], versions: tuple[StoredMapping, ...]) -> StoredExperiment:
    identity, tenant, connector, entity, percent, salt, started_by, started_at, started_revision = row[:9]
    return StoredExperiment(
        id=identity,
        key=(tenant, connector, entity),
        percent=percent,
        salt=salt,
        started_by=started_by,
        started_at=started_at,
        started_revision=started_revision,
        ended_at=row[9],
        ended_revision=row[10],
        outcome=row[11],
        versions=versions,
    )
