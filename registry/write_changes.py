"""Writes what a decision changes, whole, in its caller's transaction: versions, sets' revisions, outbox, audit trail.

What a decision amounts to is planned in `registry.edits`; here it gets one revision of the registry. The caller holds
the lock of the revision (`take_turn`) from before it reads until it commits.
"""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from psycopg.types.json import Jsonb

from mapping.experiment import set_of_arm
from mapping.mapping_set import ANY_TENANT, MappingSet, compose
from mapping.mapping_set import Mapping as FieldMapping
from mapping.path import parse
from mapping.plan import validate_set
from registry import errors
from registry.audit import AuditEntry, Decision, described, record
from registry.edits import Key, NewVersion, Plan, SetState, Target, transform_column
from registry.pool import AdvisoryLock, Connection
from registry.queries import QUERIES
from registry.read_sets import read_sets
from schemas.canonical_model import load_entities
from schemas.failures import AamError

Validator = Callable[[MappingSet], None]
"""Raises an AamError that says what is wrong, if a worker could not compile the set."""

Parameters = dict[str, Any]

_STEPS: Final = {
    "insert": QUERIES["insert_version"],
    "activate": QUERIES["activate_version"],
    "confirm": QUERIES["confirm_version"],
}


@dataclass(frozen=True)
class SetChange:
    """What a decision changes in one set, which is as `state` says. `evidence`: of single targets."""

    key: Key
    plan: Plan
    state: SetState
    evidence: Mapping[Target, Mapping[str, Any]] = field(default_factory=dict)


def take_turn(connection: Connection) -> None:
    """Waits for the lock of the revision, held to the end of the transaction. Before anything is read."""
    connection.execute(QUERIES["lock_revision"], {"lock": AdvisoryLock.REVISION})


def next_revision(connection: Connection) -> int:
    """Draws the registry's next revision."""
    row = connection.execute(QUERIES["next_revision"]).fetchone()
    assert row is not None
    return int(row[0])


def write_changes(connection: Connection, changes: Sequence[SetChange], decision: Decision) -> int:
    """Writes `changes`, at most one a set, as one new revision; the revision."""
    revision = next_revision(connection)
    touch_sets(connection, revision, changes, decision)
    versions = [(change, new) for change in changes for new in change.plan.versions]
    rows = [_version_row(change.key, new, revision, decision) for change, new in versions]
    execute_all(
        connection,
        QUERIES["retire_version"],
        [row for row, (_, new) in zip(rows, versions, strict=True) if new.replaces],
    )
    for step in ("insert", "activate", "confirm"):
        execute_all(connection, _STEPS[step], [row for row in rows if row["step"] == step])
    outdated = [{"id": p.id} for change, new in versions for p in change.state.outdated(new.mapping.target, new.number)]
    execute_all(connection, QUERIES["supersede_proposal"], outdated)
    record(connection, decision, _entries(changes, revision, decision))
    return revision


def touch_sets(connection: Connection, revision: int, changes: Sequence[SetChange], decision: Decision) -> None:
    """Gives the changed sets their new revision and the publisher its work."""
    sources = [_source_row(change, revision, decision) for change in changes]
    execute_all(connection, QUERIES["touch_source"], sources)
    execute_all(connection, QUERIES["declare_source"], [row for row in sources if row["primary_key"] is not None])
    execute_all(connection, QUERIES["insert_set_revision"], sources)
    execute_all(connection, QUERIES["add_to_outbox"], sources)
    connection.execute(QUERIES["wake_publisher"])


def check_sets(connection: Connection, validate: Validator, added: Mapping[Key, Collection[FieldMapping]]) -> None:
    """Has the sets validated that got the mappings `added`, alone and as a tenant's records meet them.

    Raises InvalidMapping with the set's name.
    """
    at_risk = {key: set(_overrides_at_risk(connection, key, added[key])) - set(added) for key in added}
    bases = {(ANY_TENANT, *key[1:]) for key in added}
    sets = {found.key: found for found in read_sets(connection, bases.union(added, *at_risk.values()))}
    for key in added:
        _validate(validate, sets[key])
        overrides = at_risk[key] if key[0] == ANY_TENANT else [key]
        base = sets.get((ANY_TENANT, *key[1:]))
        for override in overrides if base is not None else ():
            composed = compose(base, sets[override])
            if composed is not None:
                _validate(validate, composed)


def compiles(mapping_set: MappingSet) -> None:
    """The validator in use: the workers' own check, against the canonical model of this version of AAM."""
    for path in mapping_set.ignored:
        parse(path)
    for mapping in mapping_set.mappings:
        chain = (mapping.source_field, *mapping.fallbacks)
        if len(set(chain)) < len(chain):
            raise errors.InvalidMapping(f"{'.'.join(mapping.target)}: a path falls back on itself")
    validate_set(set_of_arm(mapping_set, "A"), load_entities())
    if mapping_set.experiment is not None:
        validate_set(set_of_arm(mapping_set, "B"), load_entities())


def _validate(validate: Validator, mapping_set: MappingSet) -> None:
    try:
        validate(mapping_set)
    except AamError as error:
        raise errors.InvalidMapping(f"{'/'.join(mapping_set.key)}: {error}") from error


def _overrides_at_risk(connection: Connection, key: Key, mappings: Collection[FieldMapping]) -> Iterator[Key]:
    entities = {m.canonical_entity for m in mappings if m.source_field and "[]" in m.source_field}
    if entities and key[0] == ANY_TENANT:
        arguments = {"connector": key[1], "entity": key[2], "canonical_entities": sorted(entities)}
        for (tenant,) in connection.execute(QUERIES["overrides_with_arrays"], arguments).fetchall():
            yield (tenant, *key[1:])


def execute_all(connection: Connection, statement: bytes, rows: Sequence[Parameters]) -> None:
    """`statement` once a row, in one go."""
    if rows:
        with connection.cursor() as cursor:
            cursor.executemany(statement, rows)


def source_columns(key: Key) -> Parameters:
    """`key` as the parameters of a statement about one set."""
    return dict(zip(("tenant", "connector", "entity"), key, strict=True))


def _source_row(change: SetChange, revision: int, decision: Decision) -> Parameters:
    declared = change.plan.declaration
    return {
        **source_columns(change.key),
        "revision": revision,
        "method": decision.method,
        "actor": decision.actor,
        "primary_key": None if declared is None else list(declared.primary_key),
        "ignored": None if declared is None else list(declared.ignored),
        "event": Jsonb(_event(change.plan, decision)),
    }


def _version_row(key: Key, new: NewVersion, revision: int, decision: Decision) -> Parameters:
    return {
        **source_columns(key),
        "canonical_entity": new.mapping.canonical_entity,
        "canonical_field": new.mapping.canonical_field,
        "source_field": new.mapping.source_field,
        "transform": Jsonb(transform_column(new.mapping)),
        "confidence": new.mapping.confidence,
        "method": new.method or decision.method,
        "actor": decision.actor,
        # what is provisional waits for somebody to answer for it
        "approved_by": None if new.status in ("provisional", "proposed") else decision.approver,
        "at": decision.at,
        "version": new.number,
        "revision": revision,
        "status": new.status,
        "restores": new.restores,
        "step": new.step,
    }


def _event(plan: Plan, decision: Decision) -> dict[str, Any]:
    return {
        "method": decision.method,
        "actor": decision.actor,
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


def _entries(changes: Sequence[SetChange], revision: int, decision: Decision) -> Iterator[AuditEntry]:
    for change in changes:
        for new in change.plan.versions:
            yield from _of_version(change, new, revision, decision)
        if change.plan.declaration is not None:
            former = change.state.declaration
            yield AuditEntry(
                change.key,
                revision,
                before=None if former is None else former.described(),
                after=change.plan.declaration.described(),
                action=decision.action if decision.action in ("rollback", "ignore") else "declare",
            )


def _of_version(change: SetChange, new: NewVersion, revision: int, decision: Decision) -> Iterator[AuditEntry]:
    target = new.mapping.target
    holds = change.state.holding.get(target)
    before = None
    if holds is not None and holds.status != "removed":
        before = described(holds.mapping, version=holds.number, status=holds.status, method=holds.method)
    method = new.method or decision.method
    after = described(new.mapping, version=new.number, status=new.status, method=method)
    yield AuditEntry(
        change.key,
        revision,
        target,
        new.number,
        before,
        None if new.status == "removed" else after,
        evidence=change.evidence.get(target),
    )
    for proposal in change.state.outdated(target, new.number):
        was = described(proposal.mapping, version=proposal.number, status="proposed", method="manual")
        now = {**was, "status": "superseded", "by_version": new.number}
        yield AuditEntry(change.key, revision, target, proposal.number, was, now, action="supersede")
