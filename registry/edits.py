"""Decides which versions an edit of a mapping set asks for. Pure: the rows come in, the versions go out.

The rules: the same content is no change; a seed never overwrites what a person set, approved or removed.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from mapping.mapping_set import Mapping as FieldMapping

Key = tuple[str, str, str]
"""(tenant or *, connector, entity), as in the mapping table."""

Target = tuple[str, str]
"""(canonical entity, canonical field)."""

Method = Literal["rag", "llm", "manual", "seed"]
"""How a mapping was found; `manual` is a person's word."""

Status = Literal["active", "provisional", "removed"]


@dataclass(frozen=True)
class Declaration:
    """What identifies a source entity's records, and which of its paths are confidently nothing."""

    primary_key: tuple[str, ...] = ()
    ignored: tuple[str, ...] = ()


@dataclass(frozen=True)
class SetEdit:
    """Changes of one set that belong together. `retire_others`: what this method set before and doesn't now, goes."""

    key: Key
    mappings: tuple[FieldMapping, ...] = ()
    removals: tuple[Target, ...] = ()
    declaration: Declaration | None = None
    retire_others: bool = False


@dataclass(frozen=True)
class Version:
    """The latest version of one target. `person`: a person set, approved or removed it."""

    mapping: FieldMapping
    number: int
    status: Status
    person: bool
    method: Method


@dataclass(frozen=True)
class NewVersion:
    """One row to write. `replaces`: there is an active version to retire first."""

    mapping: FieldMapping
    number: int
    status: Status
    replaces: bool


@dataclass(frozen=True)
class Plan:
    """What an edit changes; falsy if nothing."""

    versions: tuple[NewVersion, ...]
    declaration: Declaration | None

    def __bool__(self) -> bool:
        return bool(self.versions) or self.declaration is not None


def plan_versions(edit: SetEdit, latest: Mapping[Target, Version], method: Method) -> tuple[NewVersion, ...]:
    """The versions that `edit` adds to `latest` (target → its latest version), in the edit's order."""
    wanted = [(m.target, m) for m in edit.mappings]
    removals = [*edit.removals, *_dropped(edit, latest, method)]
    return (*_puts(wanted, latest, method), *_removals(removals, latest, method))


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
            yield NewVersion(mapping, now.number + 1, mapping.status, replaces=now.status != "removed")


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
            "status": "active" if status == "removed" else status,
        }
    )


def transform_column(mapping: FieldMapping) -> dict[str, Any]:
    """The column `transform` of a mapping: {op, inputs, params, fallbacks}."""
    return {**mapping.transform.model_dump(mode="json"), "fallbacks": list(mapping.fallbacks)}
