"""The shipped seed and reference mappings as labels: what they say of each source field, for evaluation, as a corpus
and to fit to."""

from collections.abc import Iterable, Iterator, Sequence

from inference.label_rows import LabelRow
from mapping.field_tokens import bare
from mapping.mapping_set import MappingSet
from registry.known_mappings import KnownField
from registry.reference_mappings import reference_mappings
from registry.seeds import load_seeds

SEEDS = "shipped seeds"
REFERENCE = "reference mappings"

# what these write isn't one source field's own value
_MADE_OF_SEVERAL = frozenset({"join", "split_name", "constant", "to_json"})


def seed_rows() -> list[LabelRow]:
    """One row per mapped path, and one per path that is known to be nothing and canonical entity of its set."""
    return [row for seeded in load_seeds() for row in set_rows(seeded)]


def reference_rows() -> list[LabelRow]:
    """One row per field of the reference vendors and what it is."""
    return known_rows(reference_mappings(), REFERENCE)


def known_rows(known: Iterable[KnownField], origin: str) -> list[LabelRow]:
    """One row per known field."""
    return [
        LabelRow(
            vendor=one.connector,
            vendor_entity=one.source_entity,
            source_field=one.path,
            source_type=one.json_type,
            canonical_entity=one.canonical_entity,
            canonical_field=one.canonical_field,
            origin=origin,
            same_name=one.canonical_field is not None and bare(one.path) == bare(one.canonical_field),
        )
        for one in known
    ]


def set_rows(known: MappingSet) -> Sequence[LabelRow]:
    """The rows of one set."""
    return list(dict.fromkeys([*_mapped(known), *_nothings(known)]))


def _mapped(known: MappingSet) -> Iterator[LabelRow]:
    for mapping in known.mappings:
        if mapping.transform.op in _MADE_OF_SEVERAL or mapping.source_field is None:
            continue
        for path in (mapping.source_field, *mapping.fallbacks):
            yield _row(known, path, mapping.canonical_entity, mapping.canonical_field)


def _nothings(known: MappingSet) -> Iterator[LabelRow]:
    for entity in dict.fromkeys(mapping.canonical_entity for mapping in known.mappings):
        for path in known.ignored:
            yield _row(known, path, entity, None)


def _row(known: MappingSet, path: str, entity: str, field: str | None) -> LabelRow:
    return LabelRow(
        vendor=known.connector,
        vendor_entity=known.entity,
        source_field=path,
        source_type=None,
        canonical_entity=entity,
        canonical_field=field,
        origin=SEEDS,
        same_name=field is not None and bare(path) == bare(field),
    )
