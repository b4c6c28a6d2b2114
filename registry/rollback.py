"""Undoes decisions: brings a field, a set, or everything back to what held before, as new versions at a new revision.

Nothing is taken out of the past. The same rollback again changes nothing, and a seed doesn't undo it.
"""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime

from registry import errors
from registry.audit import Decision
from registry.edits import Declaration, Key, NewVersion, Plan, SetState, Status, Target, Version
from registry.experiments import running_on, stop_within
from registry.history import declarations_at, holding_at, require_known, revision_at
from registry.mapping_store import StoredMapping, stored
from registry.pool import Connection, Pool, transaction
from registry.queries import QUERIES
from registry.read_sets import read_revision
from registry.read_states import read_states
from registry.write_changes import SetChange, Validator, check_sets, compiles, source_columns, take_turn, write_changes


@dataclass(frozen=True)
class RollbackScope:
    """What is brought back; None: any. `target` None: whole sets, with what they declare."""

    tenant: str | None = None
    connector: str | None = None
    entity: str | None = None
    target: Target | None = None


@dataclass(frozen=True)
class Restored:
    """What a rollback did, or would do: targets by set, and the registry's revision after it."""

    revision: int
    targets: Mapping[Key, tuple[Target, ...]]
    stopped_experiments: tuple[int, ...] = ()


class Rollbacks:
    """All methods raise RegistryUnavailable (retry), RegistryMisconfigured, InvalidDecision for what can't be done, and
    InvalidMapping if a set of then would not compile any more. With `dry_run` they only tell what they would do.
    """

    def __init__(self, pool: Pool, *, validate: Validator = compiles) -> None:
        self._pool = pool
        self._validate = validate

    def to_revision(
        self, revision: int, scope: RollbackScope, *, actor: str, reason: str = "", dry_run: bool = False
    ) -> Restored:
        """Brings back what held at `revision`. Experiments that began since, or run on what changes, are stopped."""
        with transaction(self._pool) as connection:
            take_turn(connection)
            require_known(connection, revision)
            return self._restore(connection, revision, scope, actor, reason, dry_run=dry_run)

    def to_moment(
        self, moment: datetime, scope: RollbackScope, *, actor: str, reason: str = "", dry_run: bool = False
    ) -> Restored:
        """Brings back what held at `moment`."""
        with transaction(self._pool) as connection:
            take_turn(connection)
            revision = revision_at(connection, moment)
            return self._restore(connection, revision, scope, actor, reason, dry_run=dry_run)

    def field(
        self,
        key: Key,
        target: Target,
        *,
        version: int | None = None,
        actor: str,
        reason: str = "",
        dry_run: bool = False,
    ) -> Restored:
        """Brings back `version` of one target; None: what held before its last decision, if that was no rollback."""
        with transaction(self._pool) as connection:
            take_turn(connection)
            wanted = (
                _find(connection, key, target, version) if version is not None else _former(connection, key, target)
            )
            state = read_states(connection, [key])[key]
            plan = Plan(tuple(_steps(target, wanted, state)), None)
            changes = [SetChange(key, plan, state)] if plan else []
            return self._write(connection, changes, Decision("rollback", actor, "manual", actor, reason), dry_run, ())

    def _restore(
        self, connection: Connection, revision: int, scope: RollbackScope, actor: str, reason: str, *, dry_run: bool
    ) -> Restored:
        arguments = {
            "revision": revision,
            "tenant": scope.tenant,
            "connector": scope.connector,
            "entity": scope.entity,
        }
        keys = [(row[0], row[1], row[2]) for row in connection.execute(QUERIES["sets_changed_since"], arguments)]
        changes = _changes(connection, revision, keys, scope.target)
        decision = Decision("rollback", actor, "manual", actor, reason, {"to_revision": revision})
        return self._write(connection, changes, decision, dry_run, keys if scope.target is None else (), revision)

    def _write(
        self,
        connection: Connection,
        changes: list[SetChange],
        decision: Decision,
        dry_run: bool,
        keys: Collection[Key],
        since: int | None = None,
    ) -> Restored:
        targets = {c.key: tuple(new.mapping.target for new in c.plan.versions) for c in changes}
        disturbed = [
            experiment
            for experiment in running_on(connection, {*targets, *keys})
            if (since is not None and experiment.key in keys and experiment.started_revision > since)
            or {version.mapping.target for version in experiment.versions} & set(targets.get(experiment.key, ()))
        ]
        stopped = tuple(experiment.id for experiment in disturbed)
        current = read_revision(connection)[1]
        if dry_run or not (changes or disturbed):
            return Restored(current, targets, stopped)
        for experiment in disturbed:
            current = stop_within(connection, experiment, actor=decision.actor, reason=decision.reason or "rollback")
        if changes:
            current = write_changes(connection, changes, decision)
            added = {c.key: [v.mapping for v in c.plan.versions if v.status != "removed"] for c in changes}
            check_sets(connection, self._validate, added)
        return Restored(current, targets, stopped)


def _changes(connection: Connection, revision: int, keys: list[Key], target: Target | None) -> list[SetChange]:
    if not keys:
        return []
    states = read_states(connection, keys)
    then, declared = holding_at(connection, revision, keys), declarations_at(connection, revision, keys)
    changes = []
    for key in keys:
        state = states[key]
        targets = [target] if target is not None else sorted({*state.holding, *then[key]})
        steps = tuple(step for name in targets for step in _steps(name, then[key].get(name), state))
        declaration = (
            declared[key] if target is None and declared[key] != (state.declaration or Declaration()) else None
        )
        if steps or declaration is not None:
            changes.append(SetChange(key, Plan(steps, declaration), state))
    return changes


def _steps(target: Target, then: Version | None, state: SetState) -> Iterator[NewVersion]:
    """What makes `target` what it was: nothing, a version that restores the one of then, or one that removes."""
    now = state.holding.get(target)
    held = now if now is not None and now.status != "removed" else None
    number = state.next_number(target)
    if then is None and held is not None:
        yield NewVersion(held.mapping, number, "removed", True, held.method, restores=0)
    elif then is not None and (held is None or held.mapping != then.mapping):
        status: Status = "provisional" if then.status == "provisional" else "active"
        yield NewVersion(then.mapping, number, status, now is not None, then.method, restores=then.number)


def _find(connection: Connection, key: Key, target: Target, number: int) -> Version | None:
    place = {**source_columns(key), "canonical_entity": target[0], "canonical_field": target[1]}
    row = connection.execute(QUERIES["find_version"], {**place, "version": number}).fetchone()
    version = stored(row) if row is not None else None
    if version is None or version.active_from is None:
        raise errors.InvalidDecision(f"version {number} of {'.'.join(target)} of {'/'.join(key)} never held")
    return _as_it_was(version)


def _former(connection: Connection, key: Key, target: Target) -> Version | None:
    place = {**source_columns(key), "canonical_entity": target[0], "canonical_field": target[1]}
    held = [stored(row) for row in connection.execute(QUERIES["former_versions"], place)]
    if not held:
        raise errors.InvalidDecision(f"{'.'.join(target)} of {'/'.join(key)} was never mapped")
    if held[0].restores is not None:  # the last decision was a rollback: the same again changes nothing
        return _as_it_was(held[0])
    return _as_it_was(held[1]) if len(held) > 1 else None


def _as_it_was(version: StoredMapping) -> Version | None:
    """The version as it held last; None for a removal."""
    if version.status == "removed":
        return None
    status: Status = "active" if version.confirmed_from is not None else "provisional"
    mapping = version.mapping.model_copy(update={"status": status})
    return Version(mapping, version.version, status, False, version.method)
