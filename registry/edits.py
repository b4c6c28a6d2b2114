"""Decides which versions an edit of a mapping set asks for. Pure: the rows come in, the versions go out.

The rules: the same content is no change; a seed never overwrites what a person set, approved or removed.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from mapping.mapping_set import Mapping as FieldMapping
from registry.errors import InvalidDecision

Key = tuple[str, str, str]
"""(tenant or *, connector, entity), as in the mapping table."""

Target = tuple[str, str]
"""(canonical entity, canonical field)."""

Method = Literal["rag", "llm", "manual", "seed"]
"""How a mapping was found; `manual` is a person's word."""

Status = Literal["proposed", "trial", "provisional", "active", "removed", "rejected", "superseded"]
"""Of a version. What holds is provisional, active or removed; only the first two are mappings that workers use."""


@dataclass(frozen=True)
class Declaration:
    """What identifies a source entity's records, and which of its paths are confidently nothing."""

    primary_key: tuple[str, ...] = ()
    ignored: tuple[str, ...] = ()

    def described(self) -> dict[str, Any]:
        """As the audit trail tells it."""
        return {"primary_key": list(self.primary_key), "ignored": list(self.ignored)}


@dataclass(frozen=True)
class SetEdit:
    """Changes of one set that belong together. `retire_others`: what this method set before and doesn't now, goes.

    `evidence`: what each target's mapping rests on, for the audit trail; scores and shapes, never values.
    """

    key: Key
    mappings: tuple[FieldMapping, ...] = ()
    removals: tuple[Target, ...] = ()
    declaration: Declaration | None = None
    retire_others: bool = False
    evidence: Mapping[Target, Mapping[str, Any]] = field(default_factory=dict)


@dataclass(frozen=True)
class Version:
    """The version that holds for one target. `person`: a person set, approved, removed or restored it."""

    mapping: FieldMapping
    number: int
    status: Status
    person: bool
    method: Method


@dataclass(frozen=True)
class NewVersion:
    """One version that begins to hold. `replaces`: there is one that holds, if only a removal, to end. `step`: it is
    written (insert), was proposed or tried (activate), or holds already, provisionally (confirm).

    `method` None: that of the decision. `restores`: the version that a rollback brings back, 0 if it is that there was
    none.
    """

    mapping: FieldMapping
    number: int
    status: Status
    replaces: bool
    method: Method | None = None
    restores: int | None = None
    step: Literal["insert", "activate", "confirm"] = "insert"


@dataclass(frozen=True)
class Plan:
    """What an edit changes; falsy if nothing."""

    versions: tuple[NewVersion, ...]
    declaration: Declaration | None

    def __bool__(self) -> bool:
        return bool(self.versions) or self.declaration is not None


@dataclass(frozen=True)
class Proposal:
    """An open proposal for one target."""

    id: int
    target: Target
    number: int
    mapping: FieldMapping
    created_by: str


@dataclass(frozen=True)
class SetState:
    """One set before a decision. `highest`: target → its highest version number, whatever became of that version."""

    holding: Mapping[Target, Version] = field(default_factory=dict)
    highest: Mapping[Target, int] = field(default_factory=dict)
    proposals: tuple[Proposal, ...] = ()
    on_trial: frozenset[Target] = frozenset()
    declaration: Declaration | None = None
    declared_by: Method | None = None

    def next_number(self, target: Target) -> int:
        """The number of the target's next version."""
        return self.highest.get(target, 0) + 1

    def outdated(self, target: Target, number: int) -> list[Proposal]:
        """Open proposals for `target` that are older than its version `number`."""
        return [p for p in self.proposals if p.target == target and p.number < number]


def plan_edit(edit: SetEdit, state: SetState, method: Method, *, approved: bool = False) -> Plan:
    """What `edit` changes in a set that is as `state` says. A target on trial is left alone by a seed.

    `approved`: a person answers for the mappings, so a provisional one of the same content is confirmed.

    Raises InvalidDecision if another method changes a target on trial.
    """
    versions = plan_versions(edit, state.holding, method, state.highest)
    if approved:
        versions = tuple(_confirmation(new, state.holding.get(new.mapping.target)) for new in versions)
    disturbed = [new for new in versions if new.mapping.target in state.on_trial]
    if disturbed and method != "seed":
        target = ".".join(disturbed[0].mapping.target)
        raise InvalidDecision(f"an experiment runs on {target} of {'/'.join(edit.key)}: promote or stop it first")
    return Plan(
        tuple(new for new in versions if new not in disturbed),
        plan_declaration(edit.declaration, state.declaration, state.declared_by, method),
    )


def _confirmation(new: NewVersion, now: Version | None) -> NewVersion:
    if now is None or (now.status, new.status) != ("provisional", "active"):
        return new
    # how sure a machine was is no matter once a person is
    confirmed = now.mapping.model_copy(update={"status": "active"})
    if confirmed != new.mapping.model_copy(update={"confidence": confirmed.confidence}):
        return new
    return replace(new, mapping=confirmed, number=now.number, method=now.method, replaces=False, step="confirm")


def plan_versions(
    edit: SetEdit, latest: Mapping[Target, Version], method: Method, highest: Mapping[Target, int] | None = None
) -> tuple[NewVersion, ...]:
    """The versions that `edit` adds, in the edit's order.

    `latest`: target → the version that holds. `highest`: target → its highest number, where that is another one.
    """
    wanted = [(m.target, m) for m in edit.mappings]
    removals = [*edit.removals, *_dropped(edit, latest, method)]
    planned = (*_puts(wanted, latest, method), *_removals(removals, latest, method))
    return tuple(
        replace(new, number=max(new.number, (highest or {}).get(new.mapping.target, 0) + 1)) for new in planned
    )


def plan_declaration(
    wanted: Declaration | None, current: Declaration | None, current_method: Method | None, method: Method
) -> Declaration | None:
    """The declaration to write, None if the current one stays. `current` is None for a set not heard of."""
    if wanted is None or (method == "seed" and current_method == "manual"):
        return None
    takes_over = method == "manual" and current_method != "manual"
    return wanted if current is None or wanted != current or takes_over else None


def _puts(
    wanted: Sequence[tuple[Target, FieldMapping]], latest: Mapping[Target, Version], method: Method
) -> Iterator[NewVersion]:
    for target, mapping in wanted:
        now = latest.get(target)
        if now is None:
            yield NewVersion(mapping, 1, mapping.status, replaces=False)
        elif not _protected(now, method) and not _holds(now, mapping, method):
            yield NewVersion(mapping, now.number + 1, mapping.status, replaces=True)


def _removals(removals: Sequence[Target], latest: Mapping[Target, Version], method: Method) -> Iterator[NewVersion]:
    for target in dict.fromkeys(removals):
        now = latest.get(target)
        if now is not None and now.status != "removed" and not _protected(now, method):
            yield NewVersion(now.mapping, now.number + 1, "removed", replaces=True)


def _dropped(edit: SetEdit, latest: Mapping[Target, Version], method: Method) -> list[Target]:
    if not edit.retire_others:
        return []
    kept = {m.target for m in edit.mappings}
    return [target for target, now in latest.items() if now.method == method and target not in kept]


def _protected(now: Version, method: Method) -> bool:
    return method == "seed" and now.person


def _holds(now: Version, mapping: FieldMapping, method: Method) -> bool:
    # A person who sets what a machine had set makes it theirs: from then on no seed changes it.
    return now.status != "removed" and now.mapping == mapping and (now.person or method != "manual")


def mapping_of(row: Sequence[Any]) -> FieldMapping:
    """(canonical_entity, canonical_field, source_field, transform, confidence, status) of a row, as a mapping."""
    canonical_entity, canonical_field, source_field, transform, confidence, status = row
    fallbacks = transform.pop("fallbacks", ())
    return FieldMapping.model_validate(
        {
            "canonical_entity": canonical_entity,
            "canonical_field": canonical_field,
            "source_field": source_field,
            "fallbacks": fallbacks,
            "transform": transform,
            "confidence": confidence,
            "status": "provisional" if status in ("provisional", "trial") else "active",
        }
    )


def transform_column(mapping: FieldMapping) -> dict[str, Any]:
    """The column `transform` of a mapping: {op, inputs, params, fallbacks}."""
    return {**mapping.transform.model_dump(mode="json"), "fallbacks": list(mapping.fallbacks)}
