"""What known mappings say: which names other vendors give to a canonical field, and which they give to none.

Distinct names are kept once, with the vendors that use them. Indexes are made when first asked for, and anew when the
corpus has changed.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from copy import copy
from dataclasses import dataclass, field
from typing import Final

import numpy as np

from mapping.candidates import KnownMapping, TargetField
from mapping.concepts import ConceptIndex, Words
from mapping.corpus import Corpus
from mapping.field_tokens import Tokenizer
from mapping.field_types import FAMILIES, family_of
from mapping.similarity import NameReader, Names
from mapping.sparse_rows import Floats

_GISTS: Final = 50_000
_NAMES_ELSEWHERE: Final = 400  # names of equally called fields of other entities, at most

# (core, whole): a name without the words of its vendor and entities, and with all
NamePair = tuple[Words, Words]
_Vendors = dict[str, float]  # vendor -> weight


@dataclass
class _Known:
    """What is known of one canonical entity, at one version of the corpus."""

    version: int
    # canonical field, None for nothing -> name -> vendors that use it
    names: dict[str | None, dict[NamePair, _Vendors]] = field(default_factory=lambda: defaultdict(dict))
    # canonical field -> family of its values -> vendors
    families: dict[str, dict[str, _Vendors]] = field(default_factory=lambda: defaultdict(dict))
    # core name -> (vendors that map it, vendors that map it to nothing)
    judged: dict[Words, tuple[set[str], set[str]]] = field(default_factory=dict)
    vendors: set[str] = field(default_factory=set)
    # what a source calls the entity -> vendors
    called: dict[Words, _Vendors] = field(default_factory=lambda: defaultdict(dict))
    # gist of a name -> canonical field -> vendors that call it so
    gists: dict[Words, dict[str, set[str]]] = field(default_factory=lambda: defaultdict(dict))
    # canonical field -> vendors that have it
    having: dict[str, set[str]] = field(default_factory=lambda: defaultdict(set))


@dataclass(frozen=True)
class TargetEvidence:
    """What is known of the fields of one canonical entity, for targets in their order.

    `core` and `whole` are the names that row i of `counts` is about: how many vendors call a target so; its last
    column counts those that know the name as nothing. A target's own name and synonyms count as one vendor more.
    """

    core: Names
    whole: Names
    counts: Floats  # (names, targets + 1)
    elsewhere: Names
    elsewhere_counts: Floats  # (names elsewhere, targets)
    families: Floats  # (targets, FAMILIES): vendors by the family of their field's values
    vendors_of: Floats  # (targets,): vendors that have the field, at least 1
    vendors: float  # that have the entity, at least 1


class _Index:
    """All that is known, by canonical entity, by name of a canonical field and by name of a source field."""

    def __init__(self, corpus: Corpus, tokenizer: Tokenizer, concepts: ConceptIndex) -> None:
        self.version = -1
        self.of_entity: dict[str, _Known] = {}
        # words of a canonical field's name -> (entity, field)
        self.called: dict[Words, dict[tuple[str, str], None]] = defaultdict(dict)
        self.judged: dict[Words, dict[str, tuple[set[str], set[str]]]] = defaultdict(dict)
        self._corpus = corpus
        self._tokenizer = tokenizer
        self._concepts = concepts
        self._gists: dict[Words, Words] = {}

    def refresh(self) -> None:
        """Takes in what has changed in the corpus since the last time."""
        if self.version == self._corpus.total_version:
            return
        self.version = self._corpus.total_version
        for entity in self._corpus.entities():
            version = self._corpus.version(entity)
            before = self.of_entity.get(entity)
            if before is None or before.version != version:
                self._forget(entity, before)
                self._learn(entity, version)

    def core(self, path: str, connector: str, source_entity: str, canonical_entity: str) -> Words:
        """The words of `path` that its surroundings don't say already."""
        vendor = [word for word in self._tokenizer.name(connector) if not self._concepts.of((word,))]
        entities = (*self._tokenizer.name(source_entity), *self._tokenizer.name(canonical_entity))
        return self._tokenizer.path(path).without((*vendor, *entities))

    def gist(self, words: Words) -> Words:
        """The same for all names of the same words, in any order, or of words of the same first meaning."""
        found = self._gists.get(words)
        if found is None:
            if len(self._gists) >= _GISTS:
                self._gists.clear()
            of = self._concepts.of
            found = of(words)[:1] or tuple(sorted((*of((word,)), word)[0] for word in words))
            self._gists[words] = found
        return found

    def _forget(self, entity: str, known: _Known | None) -> None:
        if known is not None:
            for name in known.names:
                if name is not None:
                    self.called[self._tokenizer.name(name)].pop((entity, name), None)
            for core in known.judged:
                self.judged[core].pop(entity, None)

    def _learn(self, entity: str, version: int) -> None:
        known = self.of_entity[entity] = _Known(version)
        for mapping in self._corpus.of_entity(entity):
            self._take(known, mapping)
        for name in known.names:
            if name is not None:
                self.called[self._tokenizer.name(name)][entity, name] = None
        for core, vendors in known.judged.items():
            self.judged[core][entity] = vendors

    def _take(self, known: _Known, mapping: KnownMapping) -> None:
        vendor, target = mapping.connector, mapping.canonical_field
        core = self.core(mapping.path, vendor, mapping.source_entity, mapping.canonical_entity)
        _count(known.names[target].setdefault((core, self._tokenizer.name(mapping.path)), {}), mapping)
        known.judged.setdefault(core, (set(), set()))[0 if target else 1].add(vendor)
        known.vendors.add(vendor)
        if target:
            _count(known.called[self._tokenizer.name(mapping.source_entity)], mapping)
            known.gists[self.gist(core)].setdefault(target, set()).add(vendor)
            known.having[target].add(vendor)
        family = family_of(mapping.json_type)
        if target and family:
            _count(known.families[target].setdefault(family, {}), mapping)


_NOBODY: Final = _Known(0)


class Evidence:
    """Looks into one corpus. What it says of a vendor's fields can be had `hiding` all that is known of that vendor."""

    def __init__(self, corpus: Corpus, tokenizer: Tokenizer, reader: NameReader) -> None:
        self._index = _Index(corpus, tokenizer, reader.concepts)
        self._tokenizer = tokenizer
        self._reader = reader
        self._hidden: frozenset[str] = frozenset()
        self._made: dict[str, tuple[int, tuple[TargetField, ...], TargetEvidence]] = {}
        self._own: dict[str, tuple[tuple[TargetField, ...], dict[Words, set[str]]]] = {}

    def hiding(self, connectors: Iterable[str]) -> "Evidence":
        """The same evidence without these vendors, by which a matcher is judged on them."""
        view = copy(self)
        view._hidden = frozenset(connectors)
        view._made = {}
        return view

    def of(self, canonical_entity: str, targets: Sequence[TargetField]) -> TargetEvidence:
        """All about `targets`, which are fields of `canonical_entity`."""
        self._index.refresh()
        version, wanted = self._index.version, tuple(targets)
        made = self._made.get(canonical_entity)
        if made is None or made[0] != version or made[1] != wanted:
            made = self._made[canonical_entity] = (version, wanted, self._make(canonical_entity, wanted))
        return made[2]

    def called(self, canonical_entity: str) -> dict[Words, float]:
        """What sources call the entity: name -> vendors that do."""
        self._index.refresh()
        known = self._index.of_entity.get(canonical_entity, _NOBODY)
        counted = {name: self._weight(vendors) for name, vendors in known.called.items()}
        return {name: weight for name, weight in counted.items() if weight}

    def fields_called(
        self, canonical_entity: str, targets: Sequence[TargetField], gists: Sequence[Words]
    ) -> list[set[str]]:
        """For each gist, the fields of the entity that vendors, or the model itself, call so."""
        own = self._own_gists(canonical_entity, targets)
        known = self._index.of_entity.get(canonical_entity, _NOBODY)
        found = [own.get(gist, set()) for gist in gists]
        for place, gist in enumerate(gists):
            users_of = known.gists.get(gist)
            if users_of:
                found[place] = found[place] | {field for field, users in users_of.items() if users - self._hidden}
        return found

    def usual(self, canonical_entity: str, targets: Sequence[TargetField]) -> dict[str, float]:
        """Field → the share of the entity's vendors that have it."""
        known = self._index.of_entity.get(canonical_entity, _NOBODY)
        vendors = max(1, len(known.vendors - self._hidden))
        nobody: set[str] = set()
        having = {target.name: known.having.get(target.name, nobody) for target in targets}
        return {name: max(1, len(users - self._hidden)) / vendors for name, users in having.items()}

    def gist(self, words: Words) -> Words:
        """The same for all names of the same words, in any order, or of words of the same first meaning."""
        return self._index.gist(words)

    def judged(self, core: Words) -> tuple[int, int]:
        """(vendors that map a field of this name to something, vendors that only map it to nothing), in any entity."""
        mapped: set[str] = set()
        nothing: set[str] = set()
        for mapped_here, nothing_here in self._index.judged.get(core, {}).values():
            mapped |= mapped_here
            nothing |= nothing_here
        return len(mapped - self._hidden), len(nothing - mapped - self._hidden)

    def core(self, path: str, connector: str, source_entity: str, canonical_entity: str) -> Words:
        """The words of `path` that its surroundings don't say already."""
        return self._index.core(path, connector, source_entity, canonical_entity)

    def _own_gists(self, entity: str, targets: Sequence[TargetField]) -> dict[Words, set[str]]:
        wanted = tuple(targets)
        kept = self._own.get(entity)
        if kept is None or kept[0] != wanted:
            gists: dict[Words, set[str]] = defaultdict(set)
            for target in wanted:
                for core, _ in self._own_names(target):
                    gists[self.gist(core)].add(target.name)
            kept = self._own[entity] = (wanted, gists)
        return kept[1]

    def _weight(self, vendors: _Vendors) -> float:
        if self._hidden.isdisjoint(vendors):
            return sum(vendors.values())
        return sum(weight for vendor, weight in vendors.items() if vendor not in self._hidden)

    def _make(self, entity: str, targets: tuple[TargetField, ...]) -> TargetEvidence:
        known = self._index.of_entity.get(entity, _NOBODY)
        rows: dict[NamePair, int] = {}
        entries: list[tuple[int, int, float]] = []
        for column, target in enumerate(targets):
            for pair in self._own_names(target):
                entries.append((rows.setdefault(pair, len(rows)), column, 1.0))
        for column, name in enumerate([*(target.name for target in targets), None]):
            for pair, vendors in known.names.get(name, {}).items():
                weight = self._weight(vendors)
                if weight:
                    entries.append((rows.setdefault(pair, len(rows)), column, weight))
        elsewhere, elsewhere_entries = self._elsewhere(targets)
        families = np.zeros((len(targets), len(FAMILIES)), np.float32)
        for row, target in enumerate(targets):
            for family, vendors in known.families.get(target.name, {}).items():
                families[row, FAMILIES.index(family)] = self._weight(vendors)
        return TargetEvidence(
            core=self._reader.read([core for core, _ in rows]),
            whole=self._reader.read([whole for _, whole in rows]),
            counts=_matrix(entries, len(rows), len(targets) + 1),
            elsewhere=self._reader.read(list(elsewhere)),
            elsewhere_counts=_matrix(elsewhere_entries, len(elsewhere), len(targets)),
            families=families,
            vendors_of=np.array([self._vendors_of(known.names.get(target.name, {})) for target in targets], np.float32),
            vendors=max(1, len(known.vendors - self._hidden)),
        )

    def _vendors_of(self, names: Mapping[NamePair, _Vendors]) -> int:
        # at least 1: that nobody else has a field would tell that it is this vendor's, where targets come from labels
        return max(1, len({vendor for vendors in names.values() for vendor in vendors} - self._hidden))

    def _own_names(self, target: TargetField) -> Iterable[NamePair]:
        for name in (target.name, *target.synonyms):
            yield self.core(name, "", "", target.entity), self._tokenizer.path(name).whole

    def _elsewhere(self, targets: tuple[TargetField, ...]) -> tuple[dict[Words, int], list[tuple[int, int, float]]]:
        rows: dict[Words, int] = {}
        entries: list[tuple[int, int, float]] = []
        for column, target in enumerate(targets):
            for entity, name in self._index.called.get(self._tokenizer.name(target.name), ()):
                for (core, _), vendors in self._index.of_entity[entity].names[name].items():
                    weight = self._weight(vendors)
                    if weight and (core in rows or len(rows) < _NAMES_ELSEWHERE):
                        entries.append((rows.setdefault(core, len(rows)), column, weight))
        return rows, entries


def _count(vendors: _Vendors, mapping: KnownMapping) -> None:
    vendors[mapping.connector] = max(mapping.weight, vendors.get(mapping.connector, 0.0))


def _matrix(entries: Sequence[tuple[int, int, float]], rows: int, columns: int) -> Floats:
    matrix = np.zeros((rows, columns), np.float32)
    for row, column, weight in entries:
        matrix[row, column] += weight
    return matrix
