"""Puts together what speaks for each candidate of a source's fields: the matcher's probabilities, and a transform.

Fields are scored as whole entities: those that have a mapping already stand beside the new ones and compete with them.
What the evidence is worth is decided in `mapping.decide`.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol

from mapping.candidates import EntityCandidate, FieldDescription, FieldMatch, TargetField, targets_of
from mapping.mapping_set import MappingSet
from mapping.shared_prefix import without_shared_prefix
from mapping.suggest_transform import Source, suggest_transform
from schemas.canonical_model import CanonicalEntity, CanonicalField
from schemas.messages import FieldEvidence, FieldProfile, ProposedEntity, ProposedTarget, TransformWords


class FieldMatcher(Protocol):
    """`mapping.matcher.Matcher`, or what stands in for it."""

    @property
    def version(self) -> str: ...

    def calibrate(self, targets: Mapping[str, Sequence[TargetField]]) -> int: ...

    def match_fields(
        self,
        connector: str,
        source_entity: str,
        canonical_entity: str,
        fields: Sequence[FieldDescription],
        targets: Sequence[TargetField],
    ) -> list[FieldMatch]: ...

    def match_entity(
        self,
        connector: str,
        source_entity: str,
        fields: Sequence[FieldDescription],
        entities: Mapping[str, Sequence[TargetField]],
    ) -> list[EntityCandidate]: ...


@dataclass(frozen=True, slots=True)
class SeenField:
    """One field as it was seen or declared. `types` without "null"."""

    path: str
    types: tuple[str, ...] = ()
    shapes: tuple[str, ...] = ()
    profile: FieldProfile = field(default_factory=FieldProfile)

    def description(self) -> FieldDescription:
        """As the matcher wants it."""
        profile = self.profile
        return FieldDescription(
            path=self.path,
            json_type=_one_type(self.types),
            shapes=self.shapes,
            presence=profile.present / profile.records if profile.records else None,
            distinct_ratio=profile.distinct_ratio,
            enum=profile.enum,
            format=profile.format,
        )


def match_entity(
    matcher: FieldMatcher,
    connector: str,
    source_entity: str,
    fields: Sequence[SeenField],
    entities: Mapping[str, CanonicalEntity],
) -> tuple[ProposedEntity, ...]:
    """What the source entity may be, likeliest first; one of them is None, "none of these"."""
    targets = {name: targets_of(entity) for name, entity in entities.items()}
    found = matcher.match_entity(connector, source_entity, [seen.description() for seen in fields], targets)
    return tuple(ProposedEntity(entity=c.entity, probability=_bounded(c.probability)) for c in found)


def gather_evidence(
    matcher: FieldMatcher,
    connector: str,
    source_entity: str,
    entity: CanonicalEntity,
    fields: Sequence[SeenField],
    *,
    wanted: Iterable[str],
    known: Iterable[str] = (),
) -> list[FieldEvidence]:
    """The evidence of `wanted` paths among `fields`, the surest first.

    `known`: paths that have a mapping or are known to be nothing; they are scored along, so that they compete.
    """
    seen = {one.path: one for one in fields}
    beside = [SeenField(path) for path in dict.fromkeys(known) if path not in seen]
    scored = [*fields, *beside]
    names = without_shared_prefix([one.path for one in scored])
    descriptions = [replace(one.description(), path=name) for one, name in zip(scored, names, strict=True)]
    matches = matcher.match_fields(connector, source_entity, entity.name, descriptions, targets_of(entity))
    targets = dict(entity.targets())
    chosen = set(wanted)
    pairs = zip(matches, scored, strict=True)
    evidence = [_evidence(match, seen[one.path], targets) for match, one in pairs if one.path in chosen]
    return sorted(evidence, key=lambda e: -(e.candidates[0].probability if e.candidates else 0.0))


def main_entity(mapping_set: MappingSet) -> str | None:
    """The canonical entity that most of a set's mappings write; the first by name of several."""
    counted = Counter(mapping.canonical_entity for mapping in mapping_set.mappings)
    return min(counted, key=lambda name: (-counted[name], name), default=None)


def known_paths(mapping_set: MappingSet) -> list[str]:
    """The source paths that a set's mappings read, and those that it ignores."""
    paths = [*mapping_set.ignored]
    for mapping in mapping_set.mappings:
        paths += [*mapping.fallbacks, *mapping.transform.inputs]
        paths += [] if mapping.source_field is None else [mapping.source_field]
    return list(dict.fromkeys(paths))


def taken_targets(mapping_set: MappingSet, canonical_entity: str) -> dict[str, str]:
    """Canonical field → the source path that it is read from, "" for a constant."""
    return {
        mapping.canonical_field: mapping.source_field or ""
        for mapping in mapping_set.mappings
        if mapping.canonical_entity == canonical_entity
    }


def _evidence(match: FieldMatch, seen: SeenField, targets: Mapping[str, CanonicalField]) -> FieldEvidence:
    source = Source(seen.path, frozenset(seen.types), seen.profile, seen.shapes)
    candidates = []
    for candidate in match.candidates:
        target = targets.get(candidate.target.name)
        if target is None:
            continue
        suggestion = suggest_transform(source, candidate.target.name, target)
        transform = suggestion.transform
        candidates.append(
            ProposedTarget(
                field=candidate.target.name,
                probability=_bounded(candidate.probability),
                signals={name: round(float(value), 4) for name, value in candidate.signals.items()},
                transform=None
                if transform is None
                else TransformWords(op=transform.op, inputs=transform.inputs, params=transform.params),
                note=suggestion.note,
            )
        )
    return FieldEvidence(
        path=seen.path,
        types=seen.types,
        shapes=seen.shapes,
        profile=seen.profile,
        candidates=tuple(candidates),
        nothing=_bounded(match.nothing),
    )


def _one_type(types: tuple[str, ...]) -> str | None:
    if len(types) == 1:
        return types[0]
    return "number" if set(types) == {"integer", "number"} else None


def _bounded(probability: float) -> float:
    return min(1.0, max(0.0, float(probability)))
