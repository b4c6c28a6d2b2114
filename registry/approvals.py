"""Proposals and their approval: proposed → active | rejected | superseded, provisional → active | removed.

A version keeps what it says; only its status moves, and each move is in the audit trail. Who was asked, and in which
order, is up to `registry.review` and the commands.
"""

from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from psycopg.types.json import Jsonb

from mapping.mapping_set import ANY_TENANT, MappingSet, compose
from mapping.mapping_set import Mapping as FieldMapping
from registry import errors
from registry.audit import AuditEntry, Decision, described, record
from registry.edits import Key, Method, NewVersion, Plan, SetState, Status, Target, transform_column
from registry.mapping_store import StoredMapping, normalised, stored
from registry.pool import AnyPool, Connection, transaction
from registry.queries import QUERIES
from registry.read_sets import read_revision, read_sets
from registry.read_states import read_states
from registry.write_changes import (
    SetChange,
    Validator,
    check_sets,
    compiles,
    execute_all,
    source_columns,
    take_turn,
    write_changes,
)
from schemas.failures import AamError

Step = Callable[[StoredMapping, SetState], Iterator[NewVersion]]

_CLOSED: tuple[Status, ...] = ("rejected", "superseded", "removed")


@dataclass(frozen=True)
class UndecidedFilter:
    """Which versions wait for approval; None: any. `min_confidence`: 0 to 1."""

    tenant: str | None = None
    connector: str | None = None
    entity: str | None = None
    target: Target | None = None
    method: Method | None = None
    min_confidence: float | None = None
    statuses: tuple[Status, ...] = ("proposed", "provisional")


class Approvals:
    """All methods raise RegistryUnavailable (retry), RegistryMisconfigured, and InvalidDecision for what can't be done.

    With `bar_self_approval` nobody approves what they proposed.
    """

    def __init__(self, pool: AnyPool, *, validate: Validator = compiles, bar_self_approval: bool = False) -> None:
        self._pool = pool
        self._validate = validate
        self._bar_self_approval = bar_self_approval

    def propose(
        self,
        *,
        tenant: str = ANY_TENANT,
        connector: str,
        entity: str,
        mapping: FieldMapping,
        actor: str,
        method: Method = "manual",
        reason: str = "",
        evidence: Mapping[str, Any] | None = None,
    ) -> StoredMapping:
        """Writes `mapping` as a version that nothing uses yet; the open proposal, if there is the same one already.

        Raises:
            InvalidMapping: the set would not compile with it.
            InvalidDecision: it is in force as it stands.
        """
        key = (tenant, connector, entity)
        mapping = normalised(key, [mapping])[0].model_copy(update={"status": "active"})
        with transaction(self._pool) as connection:
            take_turn(connection)
            state = read_states(connection, [key])[key]
            same = next((p for p in state.proposals if p.mapping == mapping), None)
            if same is not None:
                return versions_by_id(connection, [same.id])[0]
            holds = state.holding.get(mapping.target)
            if holds is not None and holds.status == "active" and holds.mapping == mapping:
                raise errors.InvalidDecision(f"{'.'.join(mapping.target)} is mapped so already")
            self._check_proposal(connection, key, mapping)
            decision = Decision("propose", actor, method, None, reason, evidence)
            return _insert(connection, key, mapping, state, decision)

    def find(self, wanted: UndecidedFilter | None = None) -> list[StoredMapping]:
        """What waits for approval, in order of set, target and version."""
        wanted = wanted or UndecidedFilter()
        target = wanted.target or (None, None)
        arguments = {
            "tenant": wanted.tenant,
            "connector": wanted.connector,
            "entity": wanted.entity,
            "canonical_entity": target[0],
            "canonical_field": target[1],
            "method": wanted.method,
            "min_confidence": wanted.min_confidence,
            "statuses": list(wanted.statuses),
        }
        with transaction(self._pool) as connection:
            return [stored(row) for row in connection.execute(QUERIES["list_undecided"], arguments)]

    def approve(self, ids: Collection[int], *, actor: str, reason: str = "") -> int:
        """Puts the versions in force, all or none, in one revision; the registry's revision after it.

        What is approved already changes nothing. Older proposals for the same targets are superseded.

        Raises:
            InvalidDecision: one is rejected or superseded, on trial, or the actor's own where that is barred; or two
                are for the same target.
            InvalidMapping: a set would not compile.
        """
        decision = Decision("approve", actor, "manual", actor, reason)
        with transaction(self._pool) as connection:
            take_turn(connection)
            versions = versions_by_id(connection, ids)
            for version in versions:
                self._require_approvable(version, actor)
            _require_one_a_target(versions)
            _approve_silently(connection, versions, decision)
            states = read_states(connection, {version.key for version in versions})
            changes = _changes(versions, states, _approved)
            if not changes:
                return read_revision(connection)[1]
            revision = write_changes(connection, changes, decision)
            check_sets(connection, self._validate, {c.key: [v.mapping for v in c.plan.versions] for c in changes})
            return revision

    def reject(self, ids: Collection[int], *, actor: str, reason: str = "") -> int:
        """Closes proposals, and removes provisional mappings; the registry's revision after it.

        Raises:
            InvalidDecision: one is approved, superseded or on trial.
        """
        decision = Decision("reject", actor, "manual", actor, reason)
        with transaction(self._pool) as connection:
            take_turn(connection)
            versions = versions_by_id(connection, ids)
            for version in versions:
                if version.status not in ("proposed", "provisional", "rejected"):
                    raise errors.InvalidDecision(f"{_name(version)} is {version.status}: it can't be rejected")
            reject_proposals(connection, [v for v in versions if v.status == "proposed"], decision)
            states = read_states(connection, {version.key for version in versions})
            changes = _changes(versions, states, _removed)
            return write_changes(connection, changes, decision) if changes else read_revision(connection)[1]

    def _check_proposal(self, connection: Connection, key: Key, mapping: FieldMapping) -> None:
        """Raises InvalidMapping if the set, alone or over the connector's, would not compile with `mapping`."""
        sets = {found.key: found for found in read_sets(connection, {key, (ANY_TENANT, *key[1:])})}
        empty = MappingSet(tenant=key[0], connector=key[1], entity=key[2], epoch=0, revision=0)
        own = sets.get(key, empty)
        kept = tuple(m for m in own.mappings if m.target != mapping.target)
        own = own.model_copy(update={"mappings": (*kept, mapping), "experiment": None})
        composed = own if key[0] == ANY_TENANT else compose(sets.get((ANY_TENANT, *key[1:])), own)
        try:
            self._validate(own)
            self._validate(composed or own)
        except AamError as error:
            raise errors.InvalidMapping(f"{'/'.join(key)}: {error}") from error

    def _require_approvable(self, version: StoredMapping, actor: str) -> None:
        if version.status in _CLOSED:
            raise errors.InvalidDecision(f"{_name(version)} is {version.status}: propose it anew")
        if version.status == "trial":
            raise errors.InvalidDecision(f"{_name(version)} is on trial: promote experiment {version.experiment_id}")
        require_another(version, actor, barred=self._bar_self_approval)


def require_another(version: StoredMapping, actor: str, *, barred: bool) -> None:
    """Raises InvalidDecision if approving their own is barred, and `actor` proposed `version`."""
    if barred and version.created_by == actor and version.approved_by is None:
        raise errors.InvalidDecision(f"{actor} proposed {_name(version)}: AAM_BAR_SELF_APPROVAL asks for somebody else")


def reject_proposals(connection: Connection, versions: Collection[StoredMapping], decision: Decision) -> None:
    """Closes what is proposed or on trial, with its entries in the trail."""
    execute_all(connection, QUERIES["reject_version"], [{"id": version.id} for version in versions])
    revision = read_revision(connection)[1]
    record(connection, decision, (moved(version, revision, "rejected") for version in versions))


def moved(version: StoredMapping, revision: int, status: Status) -> AuditEntry:
    """The entry of a version whose status alone moves."""
    was = described(version.mapping, version=version.version, status=version.status, method=version.method)
    return AuditEntry(version.key, revision, version.mapping.target, version.version, was, {**was, "status": status})


def activation(version: StoredMapping, state: SetState) -> NewVersion:
    """A proposed or tried version, to be put in force."""
    replaces = version.mapping.target in state.holding
    mapping = version.mapping.model_copy(update={"status": "active"})
    return NewVersion(mapping, version.version, "active", replaces, version.method, step="activate")


def _changes(versions: Collection[StoredMapping], states: Mapping[Key, SetState], step: Step) -> list[SetChange]:
    by_key: dict[Key, list[NewVersion]] = {}
    for version in versions:
        for new in step(version, states[version.key]):
            by_key.setdefault(version.key, []).append(new)
    return [SetChange(key, Plan(tuple(news), None), states[key]) for key, news in by_key.items()]


def _approved(version: StoredMapping, state: SetState) -> Iterator[NewVersion]:
    if version.mapping.target in state.on_trial and version.status in ("proposed", "provisional"):
        raise errors.InvalidDecision(f"an experiment runs on the target of {_name(version)}: promote or stop it first")
    if version.status == "proposed":
        yield activation(version, state)
    elif version.status == "provisional":
        mapping = version.mapping.model_copy(update={"status": "active"})
        yield NewVersion(mapping, version.version, "active", False, version.method, step="confirm")


def _removed(version: StoredMapping, state: SetState) -> Iterator[NewVersion]:
    if version.status == "provisional":
        target = version.mapping.target
        yield NewVersion(version.mapping, state.next_number(target), "removed", True, version.method)


def _approve_silently(connection: Connection, versions: Collection[StoredMapping], decision: Decision) -> None:
    unanswered = [v for v in versions if v.status == "active" and v.approved_by is None]
    rows = [{"id": version.id, "actor": decision.actor} for version in unanswered]
    execute_all(connection, QUERIES["approve_version"], rows)
    revision = read_revision(connection)[1]
    record(connection, decision, (moved(version, revision, "active") for version in unanswered))


def _require_one_a_target(versions: Collection[StoredMapping]) -> None:
    seen: set[tuple[Key, Target]] = set()
    for version in versions:
        place = (version.key, version.mapping.target)
        if place in seen:
            raise errors.InvalidDecision(f"two versions of {'.'.join(place[1])} of {'/'.join(place[0])}: approve one")
        seen.add(place)


def versions_by_id(connection: Connection, ids: Collection[int]) -> list[StoredMapping]:
    """The versions, in order of id. InvalidDecision if there is no such one."""
    rows = connection.execute(QUERIES["versions_by_id"], {"ids": sorted(set(ids))})
    found = [stored(row) for row in rows]
    missing = sorted(set(ids) - {version.id for version in found})
    if missing:
        raise errors.InvalidDecision(f"there is no mapping {missing[0]}")
    return found


def _insert(
    connection: Connection, key: Key, mapping: FieldMapping, state: SetState, decision: Decision
) -> StoredMapping:
    number = state.next_number(mapping.target)
    connection.execute(QUERIES["hear_of_source"], source_columns(key))
    row = {
        **source_columns(key),
        "canonical_entity": mapping.canonical_entity,
        "canonical_field": mapping.canonical_field,
        "source_field": mapping.source_field,
        "transform": Jsonb(transform_column(mapping)),
        "confidence": mapping.confidence,
        "method": decision.method,
        "actor": decision.actor,
        "version": number,
    }
    inserted = connection.execute(QUERIES["insert_proposal"], row).fetchone()
    assert inserted is not None
    revision = read_revision(connection)[1]
    holds = state.holding.get(mapping.target)
    before = None
    if holds is not None and holds.status != "removed":
        before = described(holds.mapping, version=holds.number, status=holds.status, method=holds.method)
    after = described(mapping, version=number, status="proposed", method=decision.method)
    record(connection, decision, [AuditEntry(key, revision, mapping.target, number, before, after)])
    return versions_by_id(connection, [inserted[0]])[0]


def _name(version: StoredMapping) -> str:
    return f"mapping {version.id} ({'.'.join(version.mapping.target)} version {version.version})"
