"""The corpus that retrieval looks into: reference mappings, and what the registry has, seeds and what people decided.
From the latter is also learned, now and then, how far the matching model can be believed here.

What one tenant's people decided about its own connectors helps that tenant alone; the rest is everybody's. Read anew
when the mapping table shows that the registry has changed, and then only what differs is taken in.
"""

import logging
import time
from collections import OrderedDict, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Final

from agents.mapping_cache import MappingTable
from mapping.candidates import KnownMapping, TargetField
from mapping.corpus import Corpus
from mapping.gather_evidence import FieldMatcher
from mapping.mapping_set import ANY_TENANT
from observability import metrics
from registry.known_mappings import known_mappings
from registry.novel_fields import NovelFieldStore
from registry.pool import Pool
from registry.reference_mappings import reference_mappings, with_reference

log = logging.getLogger(__name__)

TENANTS_KEPT: Final = 4  # a corpus with its indexes takes some 90 MB
# Reading takes at most this share of the time.
READING_SHARE: Final = 0.1
# So many more fields decided make it worth while to learn anew how far the model can be believed.
LEARNING_GROWTH: Final = 1.2

_Source = tuple[str, str]


class _TenantCorpus:
    """One corpus, what it was made from, and the matcher that looks into it."""

    def __init__(self, build: Callable[[Corpus], FieldMatcher]) -> None:
        self.corpus = Corpus()
        self.matcher = build(self.corpus)
        self.version: tuple[int, int] | None = None
        self.not_before = 0.0
        self._sources: dict[_Source, frozenset[KnownMapping]] = {}
        self._learned_from = 0

    def update(self, known: Iterable[KnownMapping]) -> None:
        found: dict[_Source, set[KnownMapping]] = defaultdict(set)
        for mapping in known:
            found[mapping.connector, mapping.source_entity].add(mapping)
        for source in self._sources.keys() | found.keys():
            mappings = frozenset(found.get(source, ()))
            if mappings != self._sources.get(source):
                self.corpus.replace(*source, sorted(mappings, key=lambda m: (m.path, m.canonical_field or "")))
        self._sources = {source: frozenset(mappings) for source, mappings in found.items()}

    def learn(self, targets: Mapping[str, Sequence[TargetField]]) -> None:
        """Have the matcher calibrated, if much was decided, or taken back, since the last time."""
        decided = sum(not mapping.seeded for mappings in self._sources.values() for mapping in mappings)
        if max(decided, self._learned_from) > LEARNING_GROWTH * min(decided, self._learned_from):
            self._learned_from = decided
            metrics.CALIBRATING_FIELDS.set(self.matcher.calibrate(targets))


class KnownFields:
    """Matchers by tenant. For one thread at a time. `build` makes one for a corpus; `targets` are all canonical fields,
    by entity."""

    def __init__(
        self,
        build: Callable[[Corpus], FieldMatcher],
        targets: Mapping[str, Sequence[TargetField]],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._build = build
        self._targets = targets
        self._clock = clock
        self._corpora: OrderedDict[str, _TenantCorpus] = OrderedDict()

    def matcher(self, tenant: str, table: MappingTable, pool: Pool) -> FieldMatcher:
        """The matcher for fields of `tenant`. Raises RegistryUnavailable if the corpus can't be read anew."""
        owner = tenant if NovelFieldStore(pool).teaches(tenant) else ANY_TENANT
        found = self._corpora.get(owner)
        if found is None:
            found = self._corpora[owner] = _TenantCorpus(self._build)
        self._corpora.move_to_end(owner)
        if found.version != table.version and self._clock() >= found.not_before:
            self._read(found, owner, pool)
            found.version = table.version
        while len(self._corpora) > TENANTS_KEPT:
            self._corpora.popitem(last=False)
        return found.matcher

    def _read(self, corpus: _TenantCorpus, owner: str, pool: Pool) -> None:
        started = self._clock()
        known = known_mappings(pool, tenant=None if owner == ANY_TENANT else owner)
        corpus.update(KnownMapping(*one) for one in with_reference(known, reference_mappings()))
        seconds = self._clock() - started
        corpus.not_before = self._clock() + seconds / READING_SHARE
        metrics.CORPUS_FIELDS.set(len(corpus.corpus))
        corpus.learn(self._targets)
        log.debug("corpus of %s: %d known fields, read in %.2f s", owner, len(known), seconds)
