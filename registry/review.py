"""The review queue: source fields that wait for a person's word, the most urgent first, and what that word does.

A decision settles all open items that ask the same: the same field of the same connector with the same best candidate,
whatever the tenant. Who asks, and why, is up to the agents; what a mapping must be, to `registry.mapping_store`.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, Literal

from mapping.mapping_set import Mapping as FieldMapping
from mapping.mapping_set import Transform
from registry import errors
from registry.audit import AuditEntry, Decision, record
from registry.edits import Declaration, Key, Method, SetEdit, SetState, Target
from registry.entity_choices import choose_entity
from registry.mapping_store import MappingStore
from registry.pool import AnyPool, Connection, transaction
from registry.queries import QUERIES
from registry.read_sets import read_revision
from registry.read_states import read_states
from registry.review_items import (
    ReviewItem,
    Scope,
    best_candidate,
    evidence_of,
    mapping_chosen,
    mapping_of_best,
    row_of,
    scoped,
    target_of,
)
from registry.write_changes import take_turn

__all__ = ["LISTED", "ReviewFilter", "ReviewGroup", "ReviewItem", "ReviewQueue", "Scope"]

Outcome = Literal["accepted", "chosen", "rejected", "ignored"]

LISTED: Final = 50
_PLACE: Final = ("tenants", "connectors", "entities", "paths")


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
        rows = [row_of(item) for item in items]
        if not rows:
            return
        with transaction(self._pool) as connection, connection.cursor() as cursor:
            # in one order, so that two who ask the same don't wait for each other crosswise
            rows.sort(key=lambda row: (row["tenant"], row["connector"], row["entity"], row["path"]))
            cursor.executemany(QUERIES["add_review_item"], rows)
            cursor.executemany(QUERIES["renew_review_item"], rows)

    def withdraw(self, places: Sequence[tuple[str, str, str, str]], *, actor: str = "aam") -> None:
        """Closes the open items at (tenant, connector, entity, path): what they ask has been settled otherwise."""
        columns = {name: [place[n] for place in places] for n, name in enumerate(_PLACE)}
        with transaction(self._pool) as connection:
            connection.execute(QUERIES["withdraw_review_items"], {**columns, "actor": actor})

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
            if items and not items[0].item.path:
                return _choose_entity(
                    connection, items, target[0], "chosen", Decision("choose", actor, "manual", actor, reason)
                )
            listed = any(target_of(o.item, c) == target for o in items for c in o.item.candidates)
            if self._bar_self_approval and not listed:
                raise errors.InvalidDecision("AAM_BAR_SELF_APPROVAL is set: propose what is no candidate")
            wanted = [(o, mapping_chosen(o.item, target, transform)) for o in items]
            decision = Decision("choose", actor, "manual", actor, reason)
            revision = self._store.apply_within(connection, _edits(connection, wanted, scope), decision)
            _settle(connection, items, "chosen", actor)
            return revision

    def reject(self, item_id: int, *, actor: str, reason: str = "", whole_group: bool = True) -> int:
        """Says no to the best candidate: the field stays unmapped. A provisional mapping from it is removed."""
        with transaction(self._pool) as connection:
            items = _open_items(connection, item_id, "rejected", whole_group=whole_group)
            if items and not items[0].item.path:
                return _choose_entity(
                    connection, items, None, "rejected", Decision("reject", actor, "manual", actor, reason)
                )
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
            if items and not items[0].item.path:
                return _choose_entity(
                    connection, items, None, "ignored", Decision("ignore", actor, "manual", actor, reason)
                )
            edits = _merged([*_withdrawals(connection, items), *_ignoring(connection, items, scope)])
            revision = self._store.apply_within(connection, edits, Decision("ignore", actor, "manual", actor, reason))
            _settle(connection, items, "ignored", actor)
            return revision

    def _accept(
        self, connection: Connection, items: Sequence[_Open], actor: str, reason: str, scope: Scope | None
    ) -> int:
        revision = read_revision(connection)[1]
        if items and not items[0].item.path:
            entity = best_candidate(items[0].item)["field"]
            return _choose_entity(
                connection, items, entity, "accepted", Decision("accept", actor, "manual", actor, reason)
            )
        by_method: dict[Method, list[tuple[_Open, FieldMapping]]] = {}
        for item in items:
            best = best_candidate(item.item)
            by_method.setdefault(best.get("method", "rag"), []).append((item, mapping_of_best(item.item, best)))
        for method, wanted in by_method.items():
            decision = Decision("accept", actor, method, actor, reason)
            revision = self._store.apply_within(connection, _edits(connection, wanted, scope), decision)
        _settle(connection, items, "accepted", actor)
        return revision


def _choose_entity(
    connection: Connection, items: Sequence[_Open], entity: str | None, outcome: Outcome, decision: Decision
) -> int:
    """Says what the records of the items' source entities are (None: nothing canonical). No mapping changes."""
    revision = read_revision(connection)[1]
    for o in items:
        choose_entity(connection, o.key, entity, actor=decision.actor)
    after = {"canonical_entity": entity}
    record(
        connection, decision, (AuditEntry(o.key, revision, after=after, evidence=evidence_of(o.item)) for o in items)
    )
    _settle(connection, items, outcome, decision.actor)
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
        best = candidate.item.candidates[0] if candidate.item.candidates else None
        if not candidate.item.path or best is None or best.get("transform") is None:
            continue
        target = target_of(candidate.item, best)
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
        SetEdit(scoped(o.key, scope), mappings=(mapping,), evidence={mapping.target: evidence_of(o.item)})
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
        paths.setdefault(scoped(o.key, scope), []).append(o.item.path)
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


def _rejection(o: _Open, revision: int) -> AuditEntry:
    best = o.item.candidates[0] if o.item.candidates else None
    target = target_of(o.item, best) if best is not None else None
    return AuditEntry(o.key, revision, target, before={"source_field": o.item.path}, evidence=evidence_of(o.item))


def _filter(wanted: ReviewFilter) -> dict[str, Any]:
    return {
        "tenant": wanted.tenant,
        "connector": wanted.connector,
        "entity": wanted.entity,
        "min_probability": wanted.min_probability,
    }


def _group(row: Sequence[Any]) -> ReviewGroup:
    identity, tenants, *rest = row
    return ReviewGroup(identity, tuple(tenants), ReviewItem(tenants[0], *rest))
