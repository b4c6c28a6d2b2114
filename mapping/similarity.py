"""How alike two names are: as strings, by what their words mean, and by a word-vector model.

A name is a row of words, as `mapping.field_tokens` gives it. What is computed for a name is remembered.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import log, sqrt
from typing import Final
from zlib import crc32

import numpy as np
from rapidfuzz import fuzz, process

from mapping.candidates import Embedder, Vectors
from mapping.concepts import ConceptIndex, Words
from mapping.sparse_rows import Floats, SparseRow, SparseRows

OWN_AXIS: Final = 0.55  # of a word that also has concepts; the rest of its length lies on their axes
_IN_A_PHRASE: Final = 0.6  # weight of what a word means alone, where it is part of a phrase
_GRAM: Final = 3
_MEMO: Final = 50_000


@dataclass(frozen=True)
class Names:
    """A batch of names with all that is computed of them; row i of everything belongs to `words[i]`."""

    words: tuple[Words, ...]
    texts: tuple[str, ...]
    sorted_texts: tuple[str, ...]
    vectors: Vectors
    meanings: SparseRows
    grams: SparseRows

    def __len__(self) -> int:
        return len(self.words)


@dataclass(frozen=True)
class WordWeights:
    """How telling a word is: `known` counts the vendors, of `vendors`, that use it."""

    known: Mapping[str, int]
    vendors: int

    def of(self, word: str) -> float:
        """Inverse document frequency, from about 0.7 (`id`) to 5 (never seen)."""
        return log((self.vendors + 1) / (self.known.get(word, 0) + 1)) + 0.7


@dataclass(frozen=True, slots=True)
class _Reading:
    text: str
    sorted_text: str
    meaning: SparseRow
    grams: SparseRow


class NameReader:
    """Gives `Names` for rows of words."""

    def __init__(self, concepts: ConceptIndex, weights: WordWeights, embedder: Embedder) -> None:
        self.concepts = concepts
        self.weights = weights
        self._embedder = embedder
        self._readings: dict[Words, _Reading] = {}
        self._vectors: dict[str, Vectors] = {}

    def read(self, names: Sequence[Words]) -> Names:
        """`names`, in their order."""
        readings = [self._reading(words) for words in names]
        texts = tuple(reading.text for reading in readings)
        return Names(
            tuple(names),
            texts,
            tuple(reading.sorted_text for reading in readings),
            self._embedded(texts),
            SparseRows.of([reading.meaning for reading in readings]),
            SparseRows.of([reading.grams for reading in readings]),
        )

    def axes_of_words(self, names: Names) -> tuple[SparseRows, Floats, list[int]]:
        """Each word of each name by itself: its axes (own and concepts, unweighted), its weight, words per name."""
        vectors: list[SparseRow] = []
        weights: list[float] = []
        for words in names.words:
            for word in words or ("",):
                axes = [_axis("w", word), *(_axis("c", concept) for concept in self.concepts.of((word,)))]
                vectors.append((np.unique(np.array(axes, np.int64)), np.ones(len(set(axes)), np.float32)))
                weights.append(self.weights.of(word))
        return SparseRows.of(vectors), np.array(weights, np.float32), [len(words) or 1 for words in names.words]

    def _reading(self, words: Words) -> _Reading:
        found = self._readings.get(words)
        if found is None:
            if len(self._readings) >= _MEMO:
                self._readings.clear()
            found = self._readings[words] = _Reading(
                " ".join(words), " ".join(sorted(words)), self._meaning(words), _grams("".join(words))
            )
        return found

    def _meaning(self, words: Words) -> SparseRow:
        parts: dict[int, float] = {}
        phrases = self.concepts.phrases(words)
        inside = {place for start, end, _ in phrases for place in range(start, end)}
        for place, word in enumerate(words):
            weight = self.weights.of(word)
            concepts = self.concepts.of((word,))
            _add(parts, _axis("w", word), weight * (OWN_AXIS if concepts or place in inside else 1.0))
            _add_concepts(parts, concepts, weight * (_IN_A_PHRASE if place in inside else 1.0))
        for start, end, concepts in phrases:
            _add_concepts(parts, concepts, sqrt(sum(self.weights.of(word) ** 2 for word in words[start:end])))
        return _unit(parts)

    def _embedded(self, texts: Sequence[str]) -> Vectors:
        missing = list(dict.fromkeys(text for text in texts if text not in self._vectors))
        if missing:
            if len(self._vectors) + len(missing) > _MEMO:
                self._vectors.clear()
                missing = list(dict.fromkeys(texts))
            self._vectors.update(zip(missing, self._embedder.embed(missing), strict=True))
        if not texts:
            return np.zeros((0, self._embedder.dimension), np.float32)
        return np.stack([self._vectors[text] for text in texts])


def by_letters(left: Names, right: Names) -> Floats:
    """Ratio of equal letters once the words are sorted, 0–1."""
    scores: Floats = process.cdist(left.sorted_texts, right.sorted_texts, scorer=fuzz.ratio, dtype=np.float32) / 100
    return scores


def by_vectors(left: Names, right: Names) -> Floats:
    """Cosine of the embedder's vectors."""
    scores: Floats = left.vectors @ right.vectors.T
    return scores


def by_meaning(left: Names, right: Names) -> Floats:
    """Cosine over words and concepts, rare ones weighing more, 0–1."""
    return left.meanings.dot(right.meanings)


def by_grams(left: Names, right: Names) -> Floats:
    """Cosine over letter trigrams, 0–1."""
    return left.grams.dot(right.grams)


def blend(left: Names, right: Names) -> Floats:
    """What retrieval ranks by: the mean of letters, vectors and meaning."""
    scores: Floats = (by_letters(left, right) + by_vectors(left, right) + by_meaning(left, right)) / 3
    return scores


def _grams(text: str) -> SparseRow:
    padded = f" {text} "
    parts: dict[int, float] = {}
    for start in range(max(1, len(padded) - _GRAM + 1)):
        _add(parts, _axis("g", padded[start : start + _GRAM]), 1.0)
    return _unit(parts)


def _add_concepts(parts: dict[int, float], concepts: Iterable[str], weight: float) -> None:
    names = tuple(concepts)
    for name in names:
        _add(parts, _axis("c", name), weight * sqrt(1 - OWN_AXIS**2) / sqrt(len(names)))


def _add(parts: dict[int, float], axis: int, weight: float) -> None:
    parts[axis] = parts.get(axis, 0.0) + weight


def _unit(parts: Mapping[int, float]) -> SparseRow:
    axes = np.fromiter(parts, np.int64, len(parts))
    weights = np.fromiter(parts.values(), np.float32, len(parts))
    length = float(np.linalg.norm(weights))
    return axes, weights / length if length else weights


def _axis(space: str, text: str) -> int:
    return crc32(f"{space}:{text}".encode("utf-8", "surrogatepass"))
