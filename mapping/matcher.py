"""Tells which canonical field each field of a source entity is, with a calibrated probability.

A whole entity is scored at once: candidates compete for a field, and fields for a candidate. What to do with the
result is up to the caller.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray
from rapidfuzz import fuzz, process

from mapping.candidates import (
    Candidate,
    Embedder,
    EntityCandidate,
    FieldDescription,
    FieldMatch,
    TargetField,
)
from mapping.corpus import Corpus
from mapping.score_model import MatchModel

_CANDIDATES: Final = 8
_Scores = NDArray[np.float32]


class Matcher:
    """Matches by one model, one embedder and one corpus. The corpus may grow between calls."""

    def __init__(self, model: MatchModel, embedder: Embedder, corpus: Corpus) -> None:
        self.model = model
        self._embedder = embedder
        self._corpus = corpus

    def match_fields(
        self,
        connector: str,
        source_entity: str,
        canonical_entity: str,
        fields: Sequence[FieldDescription],
        targets: Sequence[TargetField],
    ) -> list[FieldMatch]:
        """The candidates of each of `fields`, in their order.

        Args:
            fields: all fields of the source entity that are known, also those that have a mapping: they compete.
            targets: the fields of `canonical_entity`; none gives certain nothings.
        """
        if not fields or not targets:
            return [FieldMatch(field.path, (), 1.0) for field in fields]
        texts = [_words(field.path) for field in fields]
        scores = self._similarity(texts, [_words(target.name) for target in targets])
        known = [mapping for mapping in self._corpus.of_entity(canonical_entity) if mapping.canonical_field]
        for column, target in enumerate(targets):
            paths = [_words(mapping.path) for mapping in known if mapping.canonical_field == target.name]
            if paths:
                scores[:, column] = np.maximum(scores[:, column], self._similarity(texts, paths).max(axis=1))
        return [self._match(field.path, row, targets) for field, row in zip(fields, scores, strict=True)]

    def match_entity(
        self,
        connector: str,
        source_entity: str,
        fields: Sequence[FieldDescription],
        entities: Mapping[str, Sequence[TargetField]],
    ) -> list[EntityCandidate]:
        """Which of `entities` (name → its fields) the source entity is, best first; one of them is None, "no one"."""
        name = _words(source_entity)
        scores = {entity: fuzz.token_sort_ratio(name, _words(entity)) / 100 for entity in entities}
        best = max(scores.values(), default=0.0)
        total = sum(score**4 for score in scores.values()) or 1.0
        found = [EntityCandidate(entity, best * score**4 / total) for entity, score in scores.items()]
        rest = 1.0 - sum(candidate.probability for candidate in found)
        return sorted([*found, EntityCandidate(None, rest)], key=lambda candidate: -candidate.probability)

    def _similarity(self, texts: Sequence[str], others: Sequence[str]) -> _Scores:
        lexical = process.cdist(texts, others, scorer=fuzz.token_sort_ratio, dtype=np.float32) / 100
        meaning = self._embedder.embed(texts) @ self._embedder.embed(others).T
        scores: _Scores = np.clip(np.maximum(lexical, meaning), 0.0, 1.0)
        return scores

    def _match(self, path: str, scores: _Scores, targets: Sequence[TargetField]) -> FieldMatch:
        best = np.argsort(-scores, kind="stable")[:_CANDIDATES]
        probabilities = [float(scores[index]) ** 3 * 0.9 for index in best]
        candidates = tuple(
            Candidate(targets[index], probability, {"similarity": float(scores[index])})
            for index, probability in zip(best, probabilities, strict=True)
        )
        return FieldMatch(path, candidates, 1.0 - max(probabilities))


def _words(path: str) -> str:
    last = path.replace("[]", "").rpartition(".")[2] or path
    return " ".join(re.findall(r"[A-Z]?[a-z]+|[A-Z]+|\d+|[^\W\d_]+", last[:200])).lower()
