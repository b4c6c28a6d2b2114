"""Compiles a mapping set to one function: raw dict in, events out (their bytes, or plain values).

What makes one event is written by `mapping.event_source`; this module joins the events of a record, and says what
identifies it.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any

import orjson

from mapping.decode_json import dump
from mapping.event_format import EventFormat, make_format
from mapping.event_source import EventSource, keep
from mapping.experiment import ARMS, arm_of, set_of_arm
from mapping.mapping_set import MappingSet
from mapping.origin import Delivery, Origin
from mapping.path import MISSING, Path
from mapping.plan import EventPlan, SetPlan, plan_set
from mapping.source_tree import SourceNode, build_tree, split_leftover
from schemas.canonical_model import CanonicalEntity
from schemas.failures import InvalidRecord

Events = list[tuple[str, Any]]
Apply = Callable[[dict[str, Any], Origin, Delivery], tuple[Events, dict[str, Any]]]
SourceId = Callable[[dict[str, Any], Delivery, dict[str, Any]], str]
"""(record, delivery, what custom fields keep) → source id."""


@dataclass(frozen=True)
class CompiledSet:
    """`apply(record, origin, delivery)` → (events, leftover).

    events: (canonical entity, encoded event), at least one. leftover: source path → value of all that no mapping reads;
    it is in the first event's custom fields too. Raises InvalidRecord if the record gives no event.
    """

    mapping_set: MappingSet
    apply: Apply
    source_id: SourceId


def compile_set(
    mapping_set: MappingSet,
    entities: Mapping[str, CanonicalEntity],
    *,
    event_format: EventFormat = "avro",
    prefixes: Mapping[str, bytes] | None = None,
) -> CompiledSet:
    """The function of `mapping_set`; while an experiment runs on it, that of the record's arm.

    `prefixes`: canonical entity → bytes before an Avro body (the wire framing). Raises InvalidMappingSet.
    """
    experiment = mapping_set.experiment
    if experiment is None:
        return _compile(mapping_set, entities, event_format, prefixes, arm=None)
    arms = {arm: _compile(set_of_arm(mapping_set, arm), entities, event_format, prefixes, arm=arm) for arm in ARMS}
    source_id = arms["A"].source_id

    def apply(record: dict[str, Any], origin: Origin, delivery: Delivery) -> tuple[Events, dict[str, Any]]:
        return arms[arm_of(experiment, source_id(record, delivery, {}))].apply(record, origin, delivery)

    return CompiledSet(mapping_set, apply, source_id)


def _compile(
    mapping_set: MappingSet,
    entities: Mapping[str, CanonicalEntity],
    event_format: EventFormat,
    prefixes: Mapping[str, bytes] | None,
    *,
    arm: str | None,
) -> CompiledSet:
    plan = plan_set(mapping_set, entities)
    source_id = _make_source_id(plan)
    sources = []
    for event in plan.events:
        prefix = (prefixes or {}).get(event.entity.name, b"")
        form = make_format(event_format, event.entity, mapping_set.revision, prefix, arm)
        sources.append(EventSource(event, form))
    if len(sources) == 1 and plan.events[0].each is None:
        return CompiledSet(mapping_set, sources[0].compile_whole(plan, source_id), source_id)
    makers = [_Maker(source.plan, source.compile_part(), _element_tree(source.plan)) for source in sources]
    return CompiledSet(mapping_set, _make_apply(plan, makers, source_id), source_id)


@dataclass(frozen=True)
class _Maker:
    """One event's function; `tree` is what it reads of an array's element, None for an event of the whole record."""

    plan: EventPlan
    make: Callable[..., Any]
    tree: SourceNode | None


def _make_apply(plan: SetPlan, makers: Sequence[_Maker], source_id: SourceId) -> Apply:
    """Several events a record: the first one's custom fields hold what no mapping reads."""

    def apply(record: dict[str, Any], origin: Origin, delivery: Delivery) -> tuple[Events, dict[str, Any]]:
        left: dict[str, Any] = {}
        kept: dict[str, Any] = {}
        split_leftover(record, plan.tree, "", left, kept)
        keep(record, plan.unguarded, kept)
        identity = source_id(record, delivery, kept)
        kept = {**left, **kept}
        events: Events = []
        for maker, event_identity, element, custom in _elements(makers, record, identity):
            if not events:
                custom.update(kept)
            event = maker.make(record, element, origin, delivery, event_identity, len(events), custom)
            events.append((maker.plan.entity.name, event))
        if not events:
            raise InvalidRecord("the mapping set gives this record no event: its arrays have no element")
        return events, left

    return apply


def _elements(
    makers: Sequence[_Maker], record: dict[str, Any], identity: str
) -> Iterator[tuple[_Maker, str, Any, dict[str, Any]]]:
    """(maker, source id, what it reads, its own custom fields) of each event."""
    for maker in makers:
        each, tree = maker.plan.each, maker.tree
        if each is None or tree is None:
            yield maker, identity, record, {}
            continue
        elements = each.read(record)
        for index, element in enumerate(elements if isinstance(elements, list) else ()):
            left: dict[str, Any] = {}
            key = index
            if isinstance(element, dict) and element:
                split_leftover(element, tree, f"{each}[].", left, left)
                key = element.get("id", index)
            elif not tree.read:
                left[f"{each}[]"] = element
            yield maker, f"{identity}/{key if isinstance(key, str | int) else index}", element, left


def _element_tree(event: EventPlan) -> SourceNode | None:
    """What the event reads of one element of its array."""
    each = event.each
    if each is None:
        return None
    paths = [
        Path(steps) for plan in event.field_plans() for path in plan.reads() if (steps := path.within(each)) is not None
    ]
    return build_tree(paths, ())


def _make_source_id(plan: SetPlan) -> SourceId:
    key, guarded = plan.primary_key, plan.key_guarded

    def source_id(record: dict[str, Any], delivery: Delivery, kept: dict[str, Any]) -> str:
        values = [path.read(record) for path in key]
        alone = len(values) == 1 and isinstance(values[0], str) and delivery.record_id is None
        if not guarded and not alone:
            kept.update((str(path), value) for path, value in zip(key, values, strict=True) if value is not MISSING)
        if delivery.record_id is not None:
            return delivery.record_id
        if alone:
            return values[0]  # type: ignore[no-any-return]  # checked to be a string above
        if values and all(isinstance(value, str | int | float) for value in values):
            return ":".join(_key_part(value) for value in values) if len(values) > 1 else dump(values[0]).decode()
        return "content:" + blake2b(_dump_sorted(record), digest_size=16).hexdigest()

    return source_id


def _key_part(value: Any) -> str:
    text = value if isinstance(value, str) else dump(value).decode()
    return text.replace("%", "%25").replace(":", "%3A")


def _dump_sorted(record: dict[str, Any]) -> bytes:
    """JSON of `record` that doesn't depend on the order of its keys."""
    return orjson.dumps(record, default=str, option=orjson.OPT_SORT_KEYS)
