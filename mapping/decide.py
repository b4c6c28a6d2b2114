"""Decides what becomes of a source field, by the probabilities of its candidates and the bands in force.

Stricter for what harms most when wrong: keys, money, identity and times. Pure; what a decision changes in the registry
is up to its caller.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from mapping.field_name import LONGEST_PATH, TOO_MANY, is_data, is_suspicious
from schemas.canonical_model import CanonicalEntity, CanonicalField, FieldKind
from schemas.messages import FieldEvidence, ProposedEntity, ProposedTarget

_TIMES: Final = {FieldKind.TIMESTAMP, FieldKind.DATE}


class Verdict(StrEnum):
    """What becomes of a field."""

    ACTIVE = "active"  # mapped at once
    PROVISIONAL = "provisional"  # mapped at once, and shown to a person
    ASK = "ask"  # to a language model
    REVIEW = "review"  # to a person, unmapped meanwhile
    NOTHING = "nothing"  # a custom field, for good


@dataclass(frozen=True, slots=True)
class Bands:
    """The least calibrated probability for each verdict; `strict_` ones for keys, money, identity and times."""

    active: float = 0.95
    provisional: float = 0.85
    strict_active: float = 0.97
    strict_provisional: float = 0.90
    nothing: float = 0.95
    entity: float = 0.98


@dataclass(frozen=True, slots=True)
class Decision:
    """`target` is the candidate that is mapped, or the likeliest one. `doubt` (0–1) orders the review queue."""

    path: str
    verdict: Verdict
    target: ProposedTarget | None
    reason: str
    doubt: float


def decide_fields(
    fields: Sequence[FieldEvidence],
    entity: CanonicalEntity,
    bands: Bands,
    *,
    taken: Mapping[str, str],
    may_ask: bool,
) -> list[Decision]:
    """A decision for each of `fields`, in their order.

    Args:
        taken: canonical field → the source path that it is read from already; never given to another path.
        may_ask: whether a language model can still be asked.
    """
    strict = {name for name, field in entity.targets() if is_strict(name, field)}
    known = {name for name, _ in entity.targets()}
    decisions: dict[str, Decision] = {}
    given: dict[str, str] = {}
    # The surest first: of two fields for one target, it goes to the likelier.
    for field in sorted(fields, key=lambda f: -(f.candidates[0].probability if f.candidates else 0.0)):
        usable = field.model_copy(update={"candidates": tuple(c for c in field.candidates if c.field in known)})
        decision = _decide(usable, bands, strict, {**given, **taken}, may_ask)
        if decision.target is not None and decision.verdict in (Verdict.ACTIVE, Verdict.PROVISIONAL):
            given[decision.target.field] = field.path
        decisions[field.path] = decision
    return [decisions[field.path] for field in fields]


def decide_entity(entities: Sequence[ProposedEntity], bands: Bands) -> tuple[str | None, str]:
    """(the canonical entity that a source's entity is for sure, or None; the reason)."""
    best = max(entities, key=lambda proposed: proposed.probability, default=None)
    if best is None or best.entity is None:
        return None, "no canonical entity is like it"
    if best.probability >= bands.entity:
        return best.entity, f"it is a {best.entity} with {best.probability:.0%}"
    return None, f"it may be a {best.entity}, with {best.probability:.0%}: a wrong entity makes all of its fields wrong"


def is_strict(name: str, field: CanonicalField) -> bool:
    """Whether a wrong mapping to `field` harms more than others: keys, money, identity, times."""
    last = name.rpartition(".")[2]
    return (
        field.kind in _TIMES
        or last == "id"
        or last.endswith(("_id", "_ids"))
        or field.personal == "identity"
        or (field.unit or "").startswith(("major units", "ISO 4217"))
    )


def _decide(  # noqa: PLR0911  # a ladder of bands
    field: FieldEvidence, bands: Bands, strict: Collection[str], taken: Mapping[str, str], may_ask: bool
) -> Decision:
    best = field.candidates[0] if field.candidates else None
    doubt = round(1.0 - max(best.probability if best else 0.0, field.nothing), 4)
    outright = _outright(field, bands)
    if outright is not None:
        verdict, reason = outright
        return Decision(field.path, verdict, best, reason, doubt if verdict is Verdict.NOTHING else max(doubt, 0.5))
    if best is None:
        return Decision(field.path, Verdict.REVIEW, None, "there is no candidate", doubt)
    active = bands.strict_active if best.field in strict else bands.active
    provisional = bands.strict_provisional if best.field in strict else bands.provisional
    told = f"{best.field} with {best.probability:.0%}"
    if best.probability >= provisional:
        hindrance = _hindrance(field.path, best, taken)
        if hindrance:
            return Decision(field.path, Verdict.REVIEW, best, f"{told}, but {hindrance}", max(doubt, 0.1))
        if best.probability >= active:
            return Decision(field.path, Verdict.ACTIVE, best, told, doubt)
        return Decision(field.path, Verdict.PROVISIONAL, best, f"{told}: below {active:.0%}", doubt)
    if may_ask:
        return Decision(field.path, Verdict.ASK, best, f"{told} at best", doubt)
    remark = f"; {field.remark}" if field.remark else ""
    return Decision(field.path, Verdict.REVIEW, best, f"{told} at best{remark}", doubt)


def _outright(field: FieldEvidence, bands: Bands) -> tuple[Verdict, str] | None:
    """What is decided whatever the candidates are."""
    if is_data(field.path):
        return Verdict.NOTHING, f"a name of more than {LONGEST_PATH} characters is data, no field's name"
    if field.path == TOO_MANY:
        return (
            Verdict.REVIEW,
            "the source has so many unmapped paths that they look like data: further ones are not told",
        )
    if is_suspicious(field.path):
        return Verdict.REVIEW, "its name reads as a text or an order, not as a field's name"
    if field.nothing >= bands.nothing:
        return Verdict.NOTHING, f"no counterpart, with {field.nothing:.0%}"
    return None


def _hindrance(path: str, best: ProposedTarget, taken: Mapping[str, str]) -> str | None:
    """What keeps a likely candidate from being mapped without a person."""
    owner = taken.get(best.field)
    if owner is not None and owner != path:
        return f"that is read from {owner}"
    return None if best.transform is not None else best.note or "no transform is sure"
