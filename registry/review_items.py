"""What a review item asks, and the mapping that an answer to it makes. No I/O; the queue is in `registry.review`."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from psycopg.types.json import Jsonb
from pydantic import ValidationError

from mapping.mapping_set import ANY_TENANT, Transform
from mapping.mapping_set import Mapping as FieldMapping
from registry import errors
from registry.edits import Key, Target

Scope = Literal["tenant", "connector"]


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


def best_candidate(item: ReviewItem) -> Mapping[str, Any]:
    """What `accept` means. InvalidDecision if there is none."""
    if not item.candidates:
        raise errors.InvalidDecision(f"{item.path or item.entity} has no candidate: choose a target, reject or ignore")
    return item.candidates[0]


def mapping_of_best(item: ReviewItem, candidate: Mapping[str, Any]) -> FieldMapping:
    """The mapping of an accepted candidate. InvalidDecision if it has no transform."""
    if candidate.get("transform") is None:
        raise errors.InvalidDecision(f"no transform is sure to fit {item.path}: choose the target with one")
    entity, field = target_of(item, candidate)
    return _valid_mapping(
        canonical_entity=entity,
        canonical_field=field,
        source_field=item.path,
        transform=candidate["transform"],
        confidence=candidate["probability"],
    )


def mapping_chosen(item: ReviewItem, target: Target, transform: Transform | None) -> FieldMapping:
    """The mapping that a person chose."""
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


def target_of(item: ReviewItem, candidate: Mapping[str, Any]) -> Target:
    """(canonical entity, field) of a candidate."""
    if item.canonical_entity is not None:
        return item.canonical_entity, candidate["field"]
    entity, _, field = candidate["field"].partition(".")
    return entity, field


def scoped(key: Key, scope: Scope | None) -> Key:
    """Whose set a decision changes."""
    return (ANY_TENANT, *key[1:]) if scope == "connector" else key


def evidence_of(item: ReviewItem) -> dict[str, Any]:
    """What the decision rests on, for the audit trail."""
    return {
        "candidates": list(item.candidates),
        "profile": dict(item.profile),
        "asked": item.reason,
        "volume": item.volume,
    }


def row_of(item: ReviewItem) -> dict[str, Any]:
    """The item as parameters of its statements."""
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
