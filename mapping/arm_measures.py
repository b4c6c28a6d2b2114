"""How the arms of an experiment differ: counted over the events that each made, and over records mapped by both. Pure.

What each arm's events show can differ because their records do; the disagreement is of the same records, so it tells
what promoting arm B would change.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import Any, Final

from mapping.compile import CompiledSet, compile_set
from mapping.decode_json import dump
from mapping.experiment import ARMS, Arm, set_of_arm
from mapping.mapping_set import Mapping as FieldMapping
from mapping.mapping_set import MappingSet
from mapping.origin import Delivery, Origin
from schemas.canonical_model import CanonicalEntity
from schemas.failures import InvalidRecord

MOST_DISTINCT: Final = 100_000
_NOTHING: Final[tuple[Any, ...]] = (None, [], {}, ())


@dataclass
class FieldMeasures:
    """One canonical field in the events of one arm. `distinct` counts up to MOST_DISTINCT."""

    events: int = 0
    nulls: int = 0
    seen: set[bytes] = field(default_factory=set)

    @property
    def null_rate(self) -> float:
        """Share of the events without a value, 0 to 1."""
        return self.nulls / self.events if self.events else 0.0

    @property
    def distinct(self) -> int:
        """How many different values."""
        return len(self.seen)

    def add(self, value: Any) -> None:
        self.events += 1
        if value in _NOTHING:
            self.nulls += 1
        elif len(self.seen) < MOST_DISTINCT:
            self.seen.add(blake2b(dump(value), digest_size=8).digest())


@dataclass
class ArmMeasures:
    """One arm's events. `failures`: those of a record that has a value which the arm's mapping couldn't convert."""

    records: int = 0
    failures: int = 0
    fields: dict[str, FieldMeasures] = field(default_factory=dict)


class ArmComparison:
    """Counts events in their JSON form, as they come. `mapping_set` is the one whose experiment it is."""

    def __init__(self, mapping_set: MappingSet) -> None:
        assert mapping_set.experiment is not None, "an experiment runs on it"
        self._tried = mapping_set.experiment.mappings
        self._paths = {arm: _paths(mapping_set, arm, self._tried) for arm in ARMS}
        self.arms: dict[Arm, ArmMeasures] = {arm: ArmMeasures() for arm in ARMS}

    def add(self, entity: str, event: Mapping[str, Any]) -> None:
        """Counts one event of canonical `entity`; those of no arm count for nothing."""
        aam = event["aam"]
        arm: Arm | None = {"A": "A", "B": "B"}.get(aam.get("arm"))  # type: ignore[assignment]  # from outside
        if arm is None:
            return
        measures = self.arms[arm]
        measures.records += 1
        measures.failures += not self._paths[arm].isdisjoint(aam.get("unconverted") or ())
        for mapping in self._tried:
            if mapping.canonical_entity == entity:
                name = ".".join(mapping.target)
                measures.fields.setdefault(name, FieldMeasures()).add(_value(event, mapping.canonical_field))


@dataclass(frozen=True)
class Disagreement:
    """Of `records` mapped by both arms, `differing` got another value in a field on trial; `by_field`: in which."""

    records: int
    differing: int
    by_field: Mapping[str, int]

    @property
    def rate(self) -> float | None:
        """0 to 1; None without records."""
        return self.differing / self.records if self.records else None


def disagreement(
    mapping_set: MappingSet,
    entities: Mapping[str, CanonicalEntity],
    records: Iterable[tuple[dict[str, Any], Origin, Delivery]],
) -> Disagreement:
    """Maps every record by both arms of the set's experiment and compares the fields on trial."""
    assert mapping_set.experiment is not None, "an experiment runs on it"
    compiled = {arm: compile_set(set_of_arm(mapping_set, arm), entities, event_format="values") for arm in ARMS}
    tried = mapping_set.experiment.mappings
    count = differing = 0
    by_field = {".".join(mapping.target): 0 for mapping in tried}
    for record, origin, delivery in records:
        count += 1
        given = [_fields(compiled[arm], tried, record, origin, delivery) for arm in ARMS]
        differ = [name for name in by_field if given[0].get(name) != given[1].get(name)]
        for name in differ:
            by_field[name] += 1
        differing += bool(differ)
    return Disagreement(count, differing, by_field)


def _fields(
    compiled: CompiledSet, tried: Iterable[FieldMapping], record: dict[str, Any], origin: Origin, delivery: Delivery
) -> dict[str, list[Any]]:
    """target → its value in each event of its entity; nothing if the record gives none."""
    try:
        events, _ = compiled.apply(record, origin, delivery)
    except InvalidRecord:
        return {}
    return {
        ".".join(mapping.target): [
            _value(event, mapping.canonical_field) for entity, event in events if entity == mapping.canonical_entity
        ]
        for mapping in tried
    }


def _value(event: Mapping[str, Any], target: str) -> Any:
    """The value of `display_name`, or the values of `addresses[].city`."""
    name, is_member, member = target.partition("[].")
    value = event.get(name)
    if not is_member:
        return value
    members = [row.get(member) for row in value or ()]
    return members if any(found is not None for found in members) else None


def _paths(mapping_set: MappingSet, arm: Arm, tried: Iterable[FieldMapping]) -> set[str]:
    targets = {mapping.target for mapping in tried}
    mappings = [mapping for mapping in set_of_arm(mapping_set, arm).mappings if mapping.target in targets]
    return {path for m in mappings for path in (m.source_field, *m.fallbacks, *m.transform.inputs) if path}
