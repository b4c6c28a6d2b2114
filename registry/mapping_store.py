"""Writes and reads mappings in Postgres. Every write is one transaction: lock, revision, versions, outbox.

What a change amounts to is decided in `registry.edits`, what a valid set is in the validator; `registry.outbox` hands
the changes to the publisher.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from mapping.mapping_set import ANY_TENANT, MappingSet
from mapping.mapping_set import Mapping as FieldMapping
from registry import errors
from registry.audit import Decision
from registry.edits import Declaration, Key, Method, SetEdit, Status, Target, mapping_of, plan_edit
from registry.pool import AnyPool, Connection, transaction
from registry.queries import QUERIES
from registry.read_sets import read_revision, read_sets
from registry.read_states import read_states
from registry.write_changes import SetChange, Validator, check_sets, compiles, take_turn, write_changes


@dataclass(frozen=True)
class StoredMapping:
    """One version of one mapping. `version` counts per target, `revision` is the registry's when it was written.

    It held, if ever, from revision `active_from` until before `active_until` (None: still), provisionally until before
    `confirmed_from`. `restores`: the version that a rollback brought back as this one, 0 for none.
    """

    id: int
    key: Key
    mapping: FieldMapping
    status: Status
    method: Method
    created_by: str
    approved_by: str | None
    approved_at: datetime | None
    version: int
    revision: int
    is_active: bool
    created_at: datetime
    active_from: int | None
    confirmed_from: int | None
    active_until: int | None
    restores: int | None
    experiment_id: int | None


class MappingStore:
    """The registry's mappings.

    All methods raise RegistryUnavailable (retry) and RegistryMisconfigured. All writes are idempotent and return the
    registry's revision after them: a new one if anything changed, else the current one. With `bar_self_approval` nobody
    sets what somebody else should approve: people propose (`registry.approvals`), machines go on.
    """

    def __init__(self, pool: AnyPool, *, validate: Validator = compiles, bar_self_approval: bool = False) -> None:
        self._pool = pool
        self._validate = validate
        self._bar_self_approval = bar_self_approval

    def set_mapping(
        self,
        *,
        tenant: str = ANY_TENANT,
        connector: str,
        entity: str,
        mapping: FieldMapping,
        method: Method,
        actor: str,
        reason: str = "",
        evidence: Mapping[str, Any] | None = None,
    ) -> int:
        """Makes `mapping` the one that writes its target; InvalidMapping if the set would not compile with it."""
        edit = SetEdit((tenant, connector, entity), mappings=(mapping,))
        return self.apply([edit], method=method, actor=actor, reason=reason, evidence=evidence)

    def remove_mapping(
        self,
        *,
        tenant: str = ANY_TENANT,
        connector: str,
        entity: str,
        target: Target,
        method: Method,
        actor: str,
        reason: str = "",
    ) -> int:
        """Leaves `target` without a mapping; no change if it has none."""
        edit = SetEdit((tenant, connector, entity), removals=(target,))
        return self.apply([edit], method=method, actor=actor, reason=reason)

    def declare_source(
        self,
        *,
        tenant: str = ANY_TENANT,
        connector: str,
        entity: str,
        primary_key: Sequence[str] = (),
        ignored: Sequence[str] = (),
        method: Method = "manual",
        actor: str,
    ) -> int:
        """Says what identifies a source entity's records, and which of its paths have no canonical counterpart."""
        declaration = Declaration(tuple(primary_key), tuple(ignored))
        edit = SetEdit((tenant, connector, entity), declaration=declaration)
        return self.apply([edit], method=method, actor=actor)

    def import_set(self, mapping_set: MappingSet, *, method: Method, actor: str) -> int:
        """Sets all mappings of `mapping_set` and its declaration; its epoch and revision are not read."""
        edit = SetEdit(
            mapping_set.key,
            mappings=mapping_set.mappings,
            declaration=Declaration(mapping_set.primary_key, mapping_set.ignored),
        )
        return self.apply([edit], method=method, actor=actor)

    def import_seed(self, seed: Sequence[MappingSet], *, actor: str) -> int:
        """Brings connector-wide sets to what `seed` says, in one revision.

        What an older seed set and this one doesn't is removed; what a person set, approved or removed stays.
        """
        edits = [
            SetEdit(
                seeded.key,
                mappings=seeded.mappings,
                declaration=Declaration(seeded.primary_key, seeded.ignored),
                retire_others=True,
            )
            for seeded in seed
        ]
        return self.apply(edits, method="seed", actor=actor)

    def apply(
        self,
        edits: Sequence[SetEdit],
        *,
        method: Method,
        actor: str,
        reason: str = "",
        evidence: Mapping[str, Any] | None = None,
        at: datetime | None = None,
    ) -> int:
        """Applies `edits` all or none, in one revision; at most one edit per set.

        Args:
            reason, evidence: for the audit trail: why, and from what (candidates, scores, shapes; never values).
            at: when the versions were written, if that was elsewhere and earlier.
        Raises:
            InvalidMapping: an edit names a target twice, or its set would not compile; nothing was changed.
            InvalidDecision: an experiment runs on a target, or the setting bars people from approving themselves.
        """
        approver = actor if method == "manual" else None
        decision = Decision("set", actor, method, approver, reason, evidence, at)
        with transaction(self._pool) as connection:
            take_turn(connection)
            return self.apply_within(connection, edits, decision)

    def apply_within(self, connection: Connection, edits: Sequence[SetEdit], decision: Decision) -> int:
        """As `apply`, in the caller's transaction, which has taken its turn (`registry.write_changes`)."""
        if self._bar_self_approval and decision.method == "manual" and decision.approver == decision.actor:
            raise errors.InvalidDecision("AAM_BAR_SELF_APPROVAL is set: propose it, and have somebody else approve it")
        edits = [replace(edit, mappings=normalised(edit.key, edit.mappings)) for edit in edits]
        states = read_states(connection, {edit.key for edit in edits})
        changes = [
            SetChange(edit.key, plan, states[edit.key], edit.evidence)
            for edit in edits
            if (plan := plan_edit(edit, states[edit.key], decision.method, approved=decision.approver is not None))
        ]
        if not changes:
            return read_revision(connection)[1]
        revision = write_changes(connection, changes, decision)
        added = {edit.key: edit.mappings for edit in edits if edit.mappings or edit.declaration}
        check_sets(connection, self._validate, {c.key: added[c.key] for c in changes if c.key in added})
        return revision

    def load_set(self, tenant: str, connector: str, entity: str) -> MappingSet | None:
        """The set of exactly this key, at its latest revision.

        None if the registry has never heard of it; one whose mappings were all removed is an empty set.
        """
        with transaction(self._pool) as connection:
            return _load(connection, (tenant, connector, entity))

    def all_keys(self) -> list[Key]:
        """The keys of all sets, in order."""
        with transaction(self._pool) as connection:
            return [row[:3] for row in connection.execute(QUERIES["all_sources"])]

    def list_mappings(
        self,
        *,
        tenant: str | None = None,
        connector: str | None = None,
        entity: str | None = None,
        history: bool = False,
    ) -> list[StoredMapping]:
        """Active mappings, or with `history` all versions, in order of key, target and version."""
        arguments = {"tenant": tenant, "connector": connector, "entity": entity, "history": history}
        with transaction(self._pool) as connection:
            return [stored(row) for row in connection.execute(QUERIES["list_mappings"], arguments)]


def normalised(key: Key, mappings: Sequence[FieldMapping]) -> tuple[FieldMapping, ...]:
    """The mappings of one edit as they will be read back, so that comparing with what is stored is exact.

    Raises InvalidMapping for what no set can hold.
    """
    targets = [mapping.target for mapping in mappings]
    if len(set(targets)) < len(targets):
        twice = next(target for target in targets if targets.count(target) > 1)
        raise errors.InvalidMapping(f"{'.'.join(twice)} is mapped twice in {'/'.join(key)}")
    if not all(map(all, targets)):
        raise errors.InvalidMapping(f"a mapping of {'/'.join(key)} needs a canonical entity and a field of it")
    if not all(key):
        raise errors.InvalidMapping("a mapping set needs a tenant (or *), a connector and an entity")
    try:
        return tuple(
            FieldMapping.model_validate(json.loads(json.dumps(m.model_dump(), allow_nan=False))) for m in mappings
        )
    except (TypeError, ValueError) as error:
        raise errors.InvalidMapping(f"the parameters of a transform in {'/'.join(key)} are not JSON") from error


def _load(connection: Connection, key: Key) -> MappingSet | None:
    return next(iter(read_sets(connection, [key])), None)


def stored(row: Sequence[Any]) -> StoredMapping:
    """A row of `list_mappings` and its like."""
    identity, tenant, connector, entity, *mapping = row[:10]
    return StoredMapping(identity, (tenant, connector, entity), mapping_of(mapping), mapping[-1], *row[10:])
