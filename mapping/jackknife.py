"""How well a matcher does on what is known already: every source that people have decided, judged by the others.

What the outcomes are good for is up to `mapping.local_calibration`.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Final, Protocol
from zlib import crc32

import numpy as np

from mapping.candidates import FieldDescription, KnownMapping, TargetField
from mapping.local_calibration import Outcomes
from mapping.pair_features import PairSignals, Question
from mapping.shared_prefix import without_shared_prefix
from mapping.trees import Doubles

MOST_FIELDS: Final = 4_000  # judged, and of so many sources: some two seconds of one core
MOST_SOURCES: Final = 150

_Source = tuple[str, str, str]


class Judge(Protocol):
    """`mapping.matcher.Matcher`."""

    def hiding(self, connectors: Iterable[str]) -> "Judge": ...
    def score(self, question: Question) -> tuple[PairSignals, Doubles, Doubles]: ...


def jackknife(matcher: Judge, known: Iterable[KnownMapping], targets: Mapping[str, Sequence[TargetField]]) -> Outcomes:
    """The outcomes of the decided fields among `known`, each source by what is known of other connectors.

    Args:
        matcher: gives probabilities as shipped.
        targets: canonical entity → its fields; fields of other entities are left out.
    """
    columns: list[list[float]] = [[], [], [], [], []]
    for place, fields in enumerate(_chosen(known, targets)):
        for column, values in zip(columns, _judged(matcher, place, fields, targets), strict=True):
            column.extend(values)
    sources, candidate, is_candidate, nothing, is_nothing = columns
    return Outcomes(
        np.array(sources, np.int64),
        np.array(candidate, np.float64),
        np.array(is_candidate, np.bool_),
        np.array(nothing, np.float64),
        np.array(is_nothing, np.bool_),
    )


def _chosen(
    known: Iterable[KnownMapping], targets: Mapping[str, Sequence[TargetField]]
) -> Iterator[Sequence[KnownMapping]]:
    """The decided fields, a source's at a time: of very many sources the same few every time, whatever comes first."""
    sources: dict[_Source, list[KnownMapping]] = defaultdict(list)
    for mapping in known:
        if not mapping.seeded and mapping.canonical_entity in targets:
            sources[mapping.connector, mapping.source_entity, mapping.canonical_entity].append(mapping)
    count = 0
    for source in sorted(sources, key=_drawn)[:MOST_SOURCES]:
        if count >= MOST_FIELDS:
            return
        count += len(sources[source])
        yield sources[source]


def _drawn(source: _Source) -> tuple[int, _Source]:
    """Sorts sources at random, the same way every time."""
    return crc32("/".join(source).encode("utf-8", "surrogatepass")), source


def _judged(
    matcher: Judge, place: int, known: Sequence[KnownMapping], targets: Mapping[str, Sequence[TargetField]]
) -> tuple[list[float], ...]:
    answers: dict[str, set[str | None]] = defaultdict(set)
    types = {mapping.path: mapping.json_type for mapping in known}
    for mapping in known:
        answers[mapping.path].add(mapping.canonical_field)
    fields = [
        FieldDescription(name, types[path])
        for path, name in zip(answers, without_shared_prefix(list(answers)), strict=True)
    ]
    first, wanted = known[0], targets[known[0].canonical_entity]
    question = Question(first.connector, first.source_entity, first.canonical_entity, fields, wanted)
    _, right, nothing = matcher.hiding({first.connector}).score(question)
    best = right.argmax(axis=1)
    return (
        [place] * len(fields),
        right.max(axis=1).tolist(),
        [wanted[column].name in gold for column, gold in zip(best.tolist(), answers.values(), strict=True)],
        nothing.tolist(),
        [None in gold for gold in answers.values()],
    )
