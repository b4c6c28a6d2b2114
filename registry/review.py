"""The review queue: source fields that wait for a person's word, the most urgent first, and what that word does.

A decision settles all open items that ask the same: the same field of the same connector with the same best candidate,
whatever the tenant. Who asks, and why, is up to the agents; what a mapping must be, to `registry.mapping_store`.
"""

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, Literal

from psycopg.types.json import Jsonb
from pydantic import ValidationError

from mapping.mapping_set import ANY_TENANT, Transform
from mapping.mapping_set import Mapping as FieldMapping
from registry import errors
from registry.audit import AuditEntry, Decision, record
from registry.edits import Declaration, Key, Method, SetEdit, SetState, Target
from registry.mapping_store import MappingStore
from registry.pool import AnyPool, Connection, transaction
from registry.queries import QUERIES
from registry.read_sets import read_revision
from registry.read_states import read_states
from registry.write_changes import take_turn

Scope = Literal["tenant", "connector"]
Outcome = Literal["accepted", "chosen", "rejected", "ignored"]

LISTED: Final = 50


@dataclass(frozen=True)
class ReviewItem:
    """One source field in doubt. `tenant` `*`: the decision is for all tenants; `path` "": the entity itself is.

    `candidates`, best first: {field, probability, signals, transform} and optionally `method` (rag, llm); `field` is a
    field of `canonical_entity`, or `entity.field` where that is None. `profile`: types, shapes, shares; never values.
    `volume`: records that wait; `doubt`: 0 (sure) to 1.
    """

    tenant: str
    connector: str
    entity: str
    path: str
    canonical_entity: str | None
    candidates: Sequence[Mapping[str, Any]]
    reason: str
    profile: Mapping[str, Any]
    volume: int
    doubt: float


@dataclass(frozen=True)
class ReviewGroup:
    """Open items that one decision settles. `item` speaks for all: its volume is their sum, its doubt the greatest."""

    id: int
    tenants: tuple[str, ...]
    item: ReviewItem


@dataclass(frozen=True)
class ReviewFilter:
    """Which items; None: any. `min_probability` is of the best candidate."""

    tenant: str | None = None
    connector: str | None = None
    entity: str | None = None
    min_probability: float | None = None


@dataclass(frozen=True)
class _Open:
    """One open item, as it is stored."""

    id: int
    item: ReviewItem

    @property
    def key(self) -> Key:
        return self.item.tenant, self.item.connector, self.item.entity


class ReviewQueue:
    """All methods raise RegistryUnavailable (retry) and RegistryMisconfigured.

    Decisions give the registry's revision after them; InvalidDecision if there is no such item or it was decided
    otherwise, InvalidMapping if the set would not compile. The same decision again changes nothing.
    """

    def __init__(self, pool: AnyPool, *, bar_self_approval: bool = False) -> None:
        self._pool = pool
        self._store = MappingStore(pool)
        self._bar_self_approval = bar_self_approval

    def add(self, items: Sequence[ReviewItem]) -> None:
        """Asks. An item of the same tenant, connector, entity and path adds its volume to the one that is there."""
        rows = [_row(item) for item in items]
        if not rows:
            return
        with transaction(self._pool) as connection, connection.cursor() as cursor:
            # in one order, so that two who ask the same don't wait for each other crosswise
            rows.sort(key=lambda row: (row["tenant"], row["connector"], row["entity"], row["path"]))
            cursor.executemany(QUERIES["add_review_item"], rows)
            cursor.executemany(QUERIES["renew_review_item"], rows)

    def list(self, wanted: ReviewFilter | None = None, *, limit: int = LISTED) -> list[ReviewGroup]:
        """Open items in groups of the same decision, by volume × doubt, most urgent first."""
        arguments = {**_filter(wanted or ReviewFilter()), "limit": limit}
        with transaction(self._pool) as connection:
            return [_group(row) for row in connection.execute(QUERIES["list_review"], arguments)]

    def next(self, tenant: str | None = None) -> ReviewGroup | None:
        """What to decide first; None if nothing waits."""
        return next(iter(self.list(ReviewFilter(tenant=tenant), limit=1)), None)

    def accept(
        self, item_id: int, *, actor: str, reason: str = "", scope: Scope | None = None, whole_group: bool = True
    ) -> int:
        """Makes the best candidate the mapping; of one that is provisionally in force, confirms it.

        `scope` connector: for all tenants of the connector; tenant: for the item's; None: as the item was asked.
        """
        with transaction(self._pool) as connection:
            items = _open_items(connection, item_id, "accepted", whole_group=whole_group)
            return self._accept(connection, items, actor, reason, scope)

    def accept_all(self, wanted: ReviewFilter, *, actor: str, reason: str = "") -> tuple[int, int]:
        """Accepts what `wanted` matches, in one revision: (how many items, revision).

        What can't be accepted with the rest stays open: an item without a usable candidate, one whose target a more
        probable item or an approved mapping has.
        """
        with transaction(self._pool) as connection:
            take_turn(connection)
            items = _unrivalled(connection, _select(connection, _filter(wanted)))
            return len(items), self._accept(connection, items, actor, reason, None)

    def choose(
        self,
        item_id: int,
        target: Target,
        transform: Transform | None = None,
        scope: Scope | None = None,
        *,
        actor: str,
        reason: str = "",
        whole_group: bool = True,
    ) -> int:
        """Makes `target` ← `transform` (None: a copy) of the item's path the mapping, also if it is no candidate."""
        with transaction(self._pool) as connection:
            items = _open_items(connection, item_id, "chosen", whole_group=whole_group)
            listed = any(_target(o.item, c) == target for o in items for c in o.item.candidates)
            if self._bar_self_approval and not listed:
                raise errors.InvalidDecision("AAM_BAR_SELF_APPROVAL is set: propose what is no candidate")
            wanted = [(o, _chosen(o.item, target, transform)) for o in items]
            decision = Decision("choose", actor, "manual", actor, reason)
            revision = self._store.apply_within(connection, _edits(connection, wanted, scope), decision)
            _settle(connection, items, "chosen", actor)
            return revision

    def reject(self, item_id: int, *, actor: str, reason: str = "", whole_group: bool = True) -> int:
        """Says no to the best candidate: the field stays unmapped. A provisional mapping from it is removed."""
        with transaction(self._pool) as connection:
            items = _open_items(connection, item_id, "rejected", whole_group=whole_group)
            edits = _withdrawals(connection, items)
            decision = Decision("reject", actor, "manual", actor, reason)
            revision = self._store.apply_within(connection, edits, decision) if edits else read_revision(connection)[1]
            record(connection, decision, (_rejection(o, revision) for o in items))
            _settle(connection, items, "rejected", actor)
            return revision

    def ignore(
        self, item_id: int, *, actor: str, reason: str = "", scope: Scope | None = None, whole_group: bool = True
    ) -> int:
        """Says that the path is confidently nothing: it goes to custom fields and is not announced again."""
        with transaction(self._pool) as connection:
            items = _open_items(connection, item_id, "ignored", whole_group=whole_group)
            edits = _merged([*_withdrawals(connection, items), *_ignoring(connection, items, scope)])
            revision = self._store.apply_within(connection, edits, Decision("ignore", actor, "manual", actor, reason))
            _settle(connection, items, "ignored", actor)
            return revision

    def _accept(
        self, connection: Connection, items: Sequence[_Open], actor: str, reason: str, scope: Scope | None
    ) -> int:
        revision = read_revision(connection)[1]
        by_method: dict[Method, list[tuple[_Open, FieldMapping]]] = {}
        for item in items:
            best = _best(item.item)
            by_method.setdefault(best.get("method", "rag"), []).append((item, _mapping(item.item, best)))
        for method, wanted in by_method.items():
            decision = Decision("accept", actor, method, actor, reason)
            revision = self._store.apply_within(connection, _edits(connection, wanted, scope), decision)
        _settle(connection, items, "accepted", actor)
        return revision


def _open_items(connection: Connection, item_id: int, outcome: Outcome, *, whole_group: bool) -> list[_Open]:
    """The item and those that ask the same; none if it was decided so before."""
    take_turn(connection)
    row = connection.execute(QUERIES["find_review_item"], {"id": item_id}).fetchone()
    if row is None:
        raise errors.InvalidDecision(f"there is no review item {item_id}")
    decision, decided_by, same_decision = row
    if decision not in (None, outcome):
        raise errors.InvalidDecision(f"{decided_by} has {decision} review item {item_id} already")
    if decision is not None:
        return []
    which = {"same_decision": same_decision} if whole_group else {"id": item_id}
    return _select(connection, {**_filter(ReviewFilter()), **which})


def _select(connection: Connection, arguments: Mapping[str, Any]) -> list[_Open]:
    rows = connection.execute(QUERIES["open_review_items"], {"id": None, "same_decision": None, **arguments})
    return [_Open(row[0], ReviewItem(*row[1:])) for row in rows]


def _unrivalled(connection: Connection, items: Sequence[_Open]) -> list[_Open]:
    """Of `items`, most probable first, those to be settled in bulk: one a target, and nothing approved replaced."""
    states = read_states(connection, {o.key for o in items})
    taken: dict[tuple[Key, Target], str] = {}
    accepted = []
    for candidate in items:
        if not candidate.item.candidates or candidate.item.candidates[0].get("transform") is None:
            continue
        target = _target(candidate.item, _best(candidate.item))
        holds = states[candidate.key].holding.get(target)
        free = holds is None or holds.status != "active" or holds.mapping.source_field == candidate.item.path
        if free and taken.setdefault((candidate.key, target), candidate.item.path) == candidate.item.path:
            accepted.append(candidate)
    return accepted


def _edits(
    connection: Connection, wanted: Iterable[tuple[_Open, FieldMapping]], scope: Scope | None
) -> Sequence[SetEdit]:
    """The mappings as edits, one a set; what an item had provisionally in force elsewhere goes."""
    wanted = list(wanted)
    keep = {o.id: mapping.target for o, mapping in wanted}
    puts = [
        SetEdit(_scoped(o.key, scope), mappings=(mapping,), evidence={mapping.target: _evidence(o.item)})
        for o, mapping in wanted
    ]
    return _merged([*_withdrawals(connection, [o for o, _ in wanted], keep), *puts])


def _withdrawals(
    connection: Connection, items: Sequence[_Open], keep: Mapping[int, Target] | None = None
) -> list[SetEdit]:
    """Removals of the provisional mappings that read the items' paths; `keep`: item's id → target to leave."""
    states = read_states(connection, {o.key for o in items})
    edits = []
    for o in items:
        found = _provisional(states[o.key], o.item.path) - {(keep or {}).get(o.id, ("", ""))}
        if found:
            edits.append(SetEdit(o.key, removals=tuple(sorted(found))))
    return edits


def _provisional(state: SetState, path: str) -> set[Target]:
    return {
        target
        for target, version in state.holding.items()
        if version.status == "provisional" and version.mapping.source_field == path
    }


def _ignoring(connection: Connection, items: Sequence[_Open], scope: Scope | None) -> list[SetEdit]:
    paths: dict[Key, list[str]] = {}
    for o in items:
        paths.setdefault(_scoped(o.key, scope), []).append(o.item.path)
    states = read_states(connection, paths.keys())
    edits = []
    for key, added in paths.items():
        current = states[key].declaration or Declaration()
        ignored = tuple(dict.fromkeys((*current.ignored, *added)))
        edits.append(SetEdit(key, declaration=replace(current, ignored=ignored)))
    return edits


def _merged(edits: Iterable[SetEdit]) -> list[SetEdit]:
    """One edit a set: of several mappings of a target the first, and no removal of what is mapped."""
    by_key: dict[Key, list[SetEdit]] = {}
    for edit in edits:
        by_key.setdefault(edit.key, []).append(edit)
    merged = []
    for key, parts in by_key.items():
        mappings = {m.target: m for part in reversed(parts) for m in reversed(part.mappings)}
        removals = dict.fromkeys(target for part in parts for target in part.removals if target not in mappings)
        declaration = next((part.declaration for part in parts if part.declaration is not None), None)
        evidence = {target: found for part in reversed(parts) for target, found in part.evidence.items()}
        merged.append(SetEdit(key, tuple(mappings.values()), tuple(removals), declaration, evidence=evidence))
    return merged


def _settle(connection: Connection, items: Sequence[_Open], outcome: Outcome, actor: str) -> None:
    arguments = {"ids": [o.id for o in items], "decision": outcome, "actor": actor}
    connection.execute(QUERIES["settle_review_items"], arguments)


def _best(item: ReviewItem) -> Mapping[str, Any]:
    if not item.candidates:
        raise errors.InvalidDecision(f"{item.path or item.entity} has no candidate: choose a target, reject or ignore")
    return item.candidates[0]


def _mapping(item: ReviewItem, candidate: Mapping[str, Any]) -> FieldMapping:
    if candidate.get("transform") is None:
        raise errors.InvalidDecision(f"no transform is sure to fit {item.path}: choose the target with one")
    entity, field = _target(item, candidate)
    return _valid_mapping(
        canonical_entity=entity,
        canonical_field=field,
        source_field=item.path,
        transform=candidate["transform"],
        confidence=candidate["probability"],
    )


def _chosen(item: ReviewItem, target: Target, transform: Transform | None) -> FieldMapping:
    words = (transform or Transform()).model_dump()
    return _valid_mapping(
        canonical_entity=target[0], canonical_field=target[1], source_field=item.path, transform=words
    )


def _valid_mapping(**fields: Any) -> FieldMapping:
    try:
        return FieldMapping.model_validate(fields)
    except ValidationError as error:
        first = error.errors()[0]
        raise errors.InvalidMapping(f"{'.'.join(map(str, first['loc']))}: {first['msg']}") from error


def _target(item: ReviewItem, candidate: Mapping[str, Any]) -> Target:
    if item.canonical_entity is not None:
        return item.canonical_entity, candidate["field"]
    entity, _, field = candidate["field"].partition(".")
    return entity, field


def _scoped(key: Key, scope: Scope | None) -> Key:
    return (ANY_TENANT, *key[1:]) if scope == "connector" else key


def _evidence(item: ReviewItem) -> dict[str, Any]:
    return {
        "candidates": list(item.candidates),
        "profile": dict(item.profile),
        "asked": item.reason,
        "volume": item.volume,
    }


def _rejection(o: _Open, revision: int) -> AuditEntry:
    best = o.item.candidates[0] if o.item.candidates else None
    target = _target(o.item, best) if best is not None else None
    return AuditEntry(o.key, revision, target, before={"source_field": o.item.path}, evidence=_evidence(o.item))


def _filter(wanted: ReviewFilter) -> dict[str, Any]:
    return {
        "tenant": wanted.tenant,
        "connector": wanted.connector,
        "entity": wanted.entity,
        "min_probability": wanted.min_probability,
    }


def _row(item: ReviewItem) -> dict[str, Any]:
    best = item.candidates[0] if item.candidates else {}
    same = [item.connector, item.entity, item.path, item.canonical_entity, best.get("field"), best.get("transform")]
    return {
        "tenant": item.tenant,
        "connector": item.connector,
        "entity": item.entity,
        "path": item.path,
        "canonical_entity": item.canonical_entity,
        "candidates": Jsonb([dict(candidate) for candidate in item.candidates]),
        "reason": item.reason,
        "profile": Jsonb(dict(item.profile)),
        "volume": item.volume,
        "doubt": item.doubt,
        "same_decision": hashlib.sha256(json.dumps(same, sort_keys=True).encode()).hexdigest(),
    }


def _group(row: Sequence[Any]) -> ReviewGroup:
    identity, tenants, *rest = row
    return ReviewGroup(identity, tuple(tenants), ReviewItem(tenants[0], *rest))
