"""Writes and reads mappings in Postgres. Every write is one transaction: lock, revision, versions, outbox.

What a change amounts to is decided in `registry.edits`, what a valid set is in the validator; `registry.outbox` hands
the changes to the publisher.
"""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from psycopg.types.json import Jsonb

from mapping.mapping_set import ANY_TENANT, MappingSet, compose
from mapping.mapping_set import Mapping as FieldMapping
from mapping.path import parse
from mapping.plan import validate_set
from registry import errors
from registry.edits import (
    Declaration,
    Key,
    Method,
    Plan,
    SetEdit,
    Target,
    Version,
    mapping_of,
    plan_declaration,
    plan_versions,
    transform_column,
)
from registry.pool import AdvisoryLock, Connection, Pool, transaction
from registry.queries import QUERIES
from registry.read_sets import read_revision, read_sets
from schemas.canonical_model import load_entities
from schemas.failures import AamError

Validator = Callable[[MappingSet], None]
"""Raises an AamError that says what is wrong, if a worker could not compile the set."""


def compiles(mapping_set: MappingSet) -> None:
    """The validator in use: the workers' own check, against the canonical model of this version of AAM."""
    validate_set(mapping_set, load_entities())
    for path in mapping_set.ignored:
        parse(path)


@dataclass(frozen=True)
class StoredMapping:
    """One version of one mapping. `version` counts per target, `revision` is the registry's when it was written."""

    id: int
    key: Key
    mapping: FieldMapping
    status: str
    method: Method
    created_by: str
    approved_by: str | None
    approved_at: datetime | None
    version: int
    revision: int
    is_active: bool
    created_at: datetime


class MappingStore:
    """The registry's mappings.

    All methods raise RegistryUnavailable (retry) and RegistryMisconfigured. All writes are idempotent and return the
    registry's revision after them: a new one if anything changed, else the current one.
    """

    def __init__(self, pool: Pool, *, validate: Validator = compiles) -> None:
        self._pool = pool
        self._validate = validate

    def set_mapping(
        self,
        *,
        tenant: str = ANY_TENANT,
        connector: str,
        entity: str,
        mapping: FieldMapping,
        method: Method,
        actor: str,
    ) -> int:
        """Makes `mapping` the one that writes its target; InvalidMapping if the set would not compile with it."""
        edit = SetEdit((tenant, connector, entity), mappings=(mapping,))
        return self.apply([edit], method=method, actor=actor)

    def remove_mapping(
        self, *, tenant: str = ANY_TENANT, connector: str, entity: str, target: Target, method: Method, actor: str
    ) -> int:
        """Leaves `target` without a mapping; no change if it has none."""
        edit = SetEdit((tenant, connector, entity), removals=(target,))
        return self.apply([edit], method=method, actor=actor)

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

    def apply(self, edits: Sequence[SetEdit], *, method: Method, actor: str) -> int:
        """Applies `edits` all or none, in one revision; at most one edit per set.

        Raises:
            InvalidMapping: an edit names a target twice, or its set would not compile; nothing was changed.
        """
        edits = [_normalised(edit) for edit in edits]
        with transaction(self._pool) as connection:
            connection.execute(QUERIES["lock_revision"], {"lock": AdvisoryLock.REVISION})
            plans = [(edit, _plan(connection, edit, method)) for edit in edits]
            changes = [(edit, plan) for edit, plan in plans if plan]
            if not changes:
                return read_revision(connection)[1]
            revision = _next_revision(connection)
            for edit, plan in changes:
                _write(connection, edit.key, plan, revision=revision, method=method, actor=actor)
                if edit.mappings or edit.declaration:
                    self._check(connection, edit.key)
            connection.execute(QUERIES["wake_publisher"])
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
            return [_stored(row) for row in connection.execute(QUERIES["list_mappings"], arguments)]

    def _check(self, connection: Connection, key: Key) -> None:
        own = _load(connection, key)
        assert own is not None
        sets = [own]
        if own.tenant != ANY_TENANT:
            sets += filter(None, [compose(_load(connection, (ANY_TENANT, own.connector, own.entity)), own)])
        try:
            for mapping_set in sets:
                self._validate(mapping_set)
        except AamError as error:
            raise errors.InvalidMapping(f"{'/'.join(key)}: {error}") from error


def _normalised(edit: SetEdit) -> SetEdit:
    """The edit as it will be read back, so that comparing with what is stored is exact."""
    targets = [mapping.target for mapping in edit.mappings]
    twice = next((target for target in targets if targets.count(target) > 1), None)
    if twice is not None:
        raise errors.InvalidMapping(f"{'.'.join(twice)} is mapped twice in {'/'.join(edit.key)}")
    if not all(edit.key):
        raise errors.InvalidMapping("a mapping set needs a tenant (or *), a connector and an entity")
    try:
        mappings = tuple(
            FieldMapping.model_validate(json.loads(json.dumps(m.model_dump(), allow_nan=False))) for m in edit.mappings
        )
    except (TypeError, ValueError) as error:
        raise errors.InvalidMapping(f"the parameters of a transform in {'/'.join(edit.key)} are not JSON") from error
    return SetEdit(edit.key, mappings, edit.removals, edit.declaration, edit.retire_others)


def _plan(connection: Connection, edit: SetEdit, method: Method) -> Plan:
    source = _columns(edit.key)
    latest = {}
    for *row, status, found_by, approved_by, number in connection.execute(QUERIES["latest_versions"], source):
        mapping = mapping_of([*row, status])
        person = found_by == "manual" or approved_by is not None
        latest[mapping.target] = Version(mapping, number, status, person, found_by)
    declared = connection.execute(QUERIES["find_source"], source).fetchone()
    current = Declaration(tuple(declared[0]), tuple(declared[1])) if declared else None
    return Plan(
        plan_versions(edit, latest, method),
        plan_declaration(edit.declaration, current, declared[2] if declared else None, method),
    )


def _write(connection: Connection, key: Key, plan: Plan, *, revision: int, method: Method, actor: str) -> None:
    source = {**_columns(key), "revision": revision, "method": method, "actor": actor}
    connection.execute(QUERIES["touch_source"], source)
    if plan.declaration is not None:
        lists = {"primary_key": list(plan.declaration.primary_key), "ignored": list(plan.declaration.ignored)}
        connection.execute(QUERIES["declare_source"], {**source, **lists})
    for new in plan.versions:
        row = {
            **source,
            "canonical_entity": new.mapping.canonical_entity,
            "canonical_field": new.mapping.canonical_field,
            "source_field": new.mapping.source_field,
            "transform": Jsonb(transform_column(new.mapping)),
            "confidence": new.mapping.confidence,
            "approved_by": actor if method == "manual" else None,
            "version": new.number,
            "status": new.status,
        }
        if new.replaces:
            connection.execute(QUERIES["retire_version"], row)
        connection.execute(QUERIES["insert_version"], row)
    connection.execute(QUERIES["add_to_outbox"], {**source, "event": Jsonb(_event(plan, method, actor))})


def _event(plan: Plan, method: Method, actor: str) -> dict[str, Any]:
    return {
        "method": method,
        "actor": actor,
        "declared": plan.declaration is not None,
        "changes": [
            {
                "canonical_entity": new.mapping.canonical_entity,
                "canonical_field": new.mapping.canonical_field,
                "source_field": new.mapping.source_field,
                "version": new.number,
                "status": new.status,
            }
            for new in plan.versions
        ],
    }


def _next_revision(connection: Connection) -> int:
    row = connection.execute(QUERIES["next_revision"]).fetchone()
    assert row is not None
    return int(row[0])


def _load(connection: Connection, key: Key) -> MappingSet | None:
    return next(iter(read_sets(connection, [key])), None)


def _columns(key: Key) -> dict[str, Any]:
    return dict(zip(("tenant", "connector", "entity"), key, strict=True))


def _stored(row: Sequence[Any]) -> StoredMapping:
    identity, tenant, connector, entity, *mapping, method, created_by, approved_by, approved_at = row[:14]
    version, revision, is_active, created_at = row[14:]
    return StoredMapping(
        id=identity,
        key=(tenant, connector, entity),
        mapping=mapping_of(mapping),
        status=mapping[-1],
        method=method,
        created_by=created_by,
        approved_by=approved_by,
        approved_at=approved_at,
        version=version,
        revision=revision,
        is_active=is_active,
        created_at=created_at,
    )
