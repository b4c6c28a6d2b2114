"""Turns a mapping set into a plan: which events a record gives, what each field is read from, and who answers for
each source path, so that no leaf is lost. All mistakes of a set are found here; `mapping.compile` makes the function.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from typing import TypeVar

from mapping import mapping_set, transforms
from mapping.path import EACH, InvalidPath, Path, parse
from mapping.source_tree import SourceNode, build_tree
from schemas.canonical_model import CanonicalEntity, CanonicalField
from schemas.failures import Misconfigured

T = TypeVar("T")

_LIST_OPS = frozenset({"copy", "upper", "lower", "trim", "to_string", "split", "constant"})


class InvalidMappingSet(Misconfigured):
    """The set can't be compiled; the message names the mapping."""


@dataclass(frozen=True)
class FieldPlan:
    """One canonical value: where it is read and by which step.

    `guards`: this field answers for its source path, i.e. keeps a copy of what its step can't give back.
    """

    target: str
    field: CanonicalField
    path: Path | None
    fallbacks: tuple[Path, ...]
    inputs: tuple[Path, ...]
    transform: mapping_set.Transform
    step: transforms.Step
    confidence: float
    provisional: bool
    guards: bool = True

    def reads(self) -> Iterable[Path]:
        """All paths that the step needs."""
        return chain((self.path,) if self.path else (), self.fallbacks, self.inputs)


@dataclass(frozen=True)
class RecordsPlan:
    """A list of records (`line_items[]`): one per element of `array`, or one of single values if it is None."""

    field: CanonicalField
    array: Path | None
    members: tuple[FieldPlan, ...]


FieldSource = FieldPlan | RecordsPlan


@dataclass(frozen=True)
class EventPlan:
    """One canonical entity. With `each`, every element of that array gives an event."""

    entity: CanonicalEntity
    each: Path | None
    sources: Mapping[str, FieldSource]

    def field_plans(self) -> Iterable[FieldPlan]:
        """The plans of all values, those of list members too."""
        for source in self.sources.values():
            if isinstance(source, FieldPlan):
                yield source
            else:
                yield from source.members


@dataclass(frozen=True)
class SetPlan:
    """All events of a record, those of the whole record first.

    `tree` is what is read. `unguarded` are paths that are read, but that no event is sure to give back. `ignored` are
    paths that are known to have no canonical counterpart.
    """

    events: tuple[EventPlan, ...]
    tree: SourceNode
    unguarded: tuple[Path, ...]
    primary_key: tuple[Path, ...]
    key_guarded: bool


def plan_set(mappings: mapping_set.MappingSet, entities: Mapping[str, CanonicalEntity]) -> SetPlan:
    """The plan of `mappings`. Raises InvalidMappingSet, with the mapping that doesn't fit."""
    by_entity: dict[str, list[FieldPlan]] = {}
    for mapping in mappings.mappings:
        fields = by_entity.setdefault(mapping.canonical_entity, [])
        fields.append(_explained(mapping, lambda m=mapping: _plan_field(m, entities)))  # type: ignore[misc]
    events = [_plan_event(entities[name], fields) for name, fields in by_entity.items()]
    events.sort(key=lambda event: event.each is not None)
    key = _explained(mappings, lambda: tuple(parse(text) for text in mappings.primary_key))
    if any(path.arrays for path in key):
        raise InvalidMappingSet("a primary key has no path with []")
    guarded = _guardians(events)
    events = [_with_guards(event, guarded) for event in events]
    reads = {path for event in events for plan in event.field_plans() for path in plan.reads()}
    fan_outs = [event.each for event in events if event.each is not None]
    unguarded = sorted(reads - guarded.keys() - set(key), key=str)
    return SetPlan(
        tuple(events), build_tree([*reads, *key], fan_outs), tuple(unguarded), key, all(path in guarded for path in key)
    )


def validate_set(mappings: mapping_set.MappingSet, entities: Mapping[str, CanonicalEntity]) -> None:
    """Raises InvalidMappingSet if `mappings` can't be compiled."""
    plan_set(mappings, entities)


def _explained(what: object, build: Callable[[], T]) -> T:
    try:
        return build()
    except (InvalidPath, transforms.InvalidTransform) as error:
        raise InvalidMappingSet(f"{_name(what)}: {error}") from error


def _name(what: object) -> str:
    if isinstance(what, mapping_set.Mapping):
        return f"{what.canonical_entity}.{what.canonical_field} ← {what.source_field}"
    return "primary key"


def _plan_field(mapping: mapping_set.Mapping, entities: Mapping[str, CanonicalEntity]) -> FieldPlan:
    entity = entities.get(mapping.canonical_entity)
    field = dict(entity.targets()).get(mapping.canonical_field) if entity else None
    if field is None or field.kind is None:
        raise InvalidMappingSet(f"{_name(mapping)}: there is no such canonical field")
    transform = mapping.transform
    if (mapping.source_field is None) != (transform.op == "constant"):
        raise InvalidMappingSet(f"{_name(mapping)}: only a constant, and every constant, has no source")
    if field.is_list and transform.op not in _LIST_OPS:
        raise InvalidMappingSet(f"{_name(mapping)}: transform {transform.op!r} can't give a list")
    if transform.op == "split" and not field.is_list:
        raise InvalidMappingSet(f"{_name(mapping)}: transform 'split' gives a list")
    fallbacks, inputs = (tuple(map(parse, texts)) for texts in (mapping.fallbacks, transform.inputs))
    path = None if mapping.source_field is None else parse(mapping.source_field)
    if any(p.arrays for p in (*fallbacks, *inputs)) and (path is None or not path.arrays):
        raise InvalidMappingSet(f"{_name(mapping)}: a fallback or input with [] needs a source with []")
    return FieldPlan(
        target=mapping.canonical_field,
        field=field,
        path=path,
        fallbacks=fallbacks,
        inputs=inputs,
        transform=transform,
        step=transforms.build_step(transform, field.kind),
        confidence=mapping.confidence,
        provisional=mapping.status == "provisional",
    )


def _plan_event(entity: CanonicalEntity, fields: Sequence[FieldPlan]) -> EventPlan:
    sources: dict[str, FieldSource] = {}
    each: Path | None = None
    members: dict[str, list[FieldPlan]] = {}
    for plan in fields:
        name, is_member, _ = plan.target.partition("[].")
        if is_member:
            members.setdefault(name, []).append(plan)
            continue
        if name in sources:
            raise InvalidMappingSet(f"{entity.name}.{name} is written by two mappings")
        sources[name] = plan
        if plan.path and plan.path.arrays and not plan.field.is_list and plan.transform.op != "first":
            if plan.path.arrays > 1:
                raise InvalidMappingSet(f"{entity.name}.{name}: one value can't be read from an array in an array")
            each = _one_array(entity, each, plan.path.before_each())
    for name, plans in members.items():
        sources[name] = _plan_records(entity, entity.field(name), plans, each)
    return EventPlan(entity, each, sources)


def _one_array(entity: CanonicalEntity, known: Path | None, found: Path) -> Path:
    if known not in (None, found):
        raise InvalidMappingSet(f"{entity.name}: its fields are read from two arrays, {known} and {found}")
    return found


def _plan_records(
    entity: CanonicalEntity, field: CanonicalField, plans: Sequence[FieldPlan], each: Path | None
) -> RecordsPlan:
    if len({plan.target for plan in plans}) < len(plans):
        raise InvalidMappingSet(f"{entity.name}.{field.name}[]: a member is written by two mappings")
    array: Path | None = None
    for plan in plans:
        if plan.path and plan.path.arrays:
            array = _one_array(entity, array, _array_within(plan.path, each))
            if EACH in plan.path.steps[len(array.steps) + 1 :]:
                raise InvalidMappingSet(
                    f"{entity.name}.{plan.target}: a member can't be read from an array in an array"
                )
        if plan.fallbacks or (plan.inputs and plan.transform.op not in ("join", "minor_units")):
            raise InvalidMappingSet(f"{entity.name}.{plan.target}: members of lists have no fallbacks")
    return RecordsPlan(field, array, tuple(plans))


def _array_within(path: Path, each: Path | None) -> Path:
    """The array that a member is read from; within an element of `each`, the array inside it."""
    inner = path.within(each)
    if each is not None and inner is not None and EACH in inner:
        return Path((*each.steps, EACH, *inner[: inner.index(EACH)]))
    return path.before_each()


def _guardians(events: Sequence[EventPlan]) -> dict[Path, FieldPlan]:
    """Source path → the field that answers for it. An exact step is preferred; of a record-wide path, never one in an
    event that exists only per element."""
    found: dict[Path, FieldPlan] = {}
    for event in events:
        for source in event.sources.values():
            for plan in [source] if isinstance(source, FieldPlan) else source.members:
                if plan.path is None or not _sure(plan.path, event, source):
                    continue
                current = found.get(plan.path)
                if current is None or (_loses(current) and not _loses(plan)):
                    found[plan.path] = plan
    return found


def _sure(path: Path, event: EventPlan, source: FieldSource) -> bool:
    if event.each is not None and path.within(event.each) is None:
        return False
    return isinstance(source, FieldPlan) or source.array is None or bool(path.arrays)


def _loses(plan: FieldPlan) -> bool:
    return bool(plan.fallbacks) or transforms.is_lossy(plan.transform)


def _with_guards(event: EventPlan, guarded: Mapping[Path, FieldPlan]) -> EventPlan:
    def marked(plan: FieldPlan) -> FieldPlan:
        return replace(plan, guards=plan.path is not None and guarded.get(plan.path) is plan)

    sources: dict[str, FieldSource] = {
        name: marked(source)
        if isinstance(source, FieldPlan)
        else replace(source, members=tuple(map(marked, source.members)))
        for name, source in event.sources.items()
    }
    return replace(event, sources=sources)
