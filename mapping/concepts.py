"""The thesaurus: which words of field names are short for others, and which mean the same. Data in `concepts.json`.

A concept is a list of words and phrases of one meaning; a word may stand in several (`state`: a region, a status).
Written by hand from what business software calls things.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Final

LONGEST_PHRASE: Final = 4

_FILE: Final = Path(__file__).parent / "concepts.json"

Words = tuple[str, ...]


@dataclass(frozen=True)
class Thesaurus:
    """`abbreviations`: word → the words it stands for; `wrappers`: steps of a path that say nothing; `concepts`:
    concept → phrases, as they are written in the file."""

    abbreviations: Mapping[str, Words]
    wrappers: frozenset[str]
    concepts: Mapping[str, tuple[str, ...]]


@cache
def load_thesaurus() -> Thesaurus:
    """The one that AAM ships."""
    data: dict[str, Any] = json.loads(_FILE.read_text(encoding="utf-8"))
    return Thesaurus(
        abbreviations={word: tuple(meaning.split()) for word, meaning in data["abbreviations"].items()},
        wrappers=frozenset(data["wrappers"]),
        concepts={name: tuple(phrases) for name, phrases in data["concepts"].items()},
    )


class ConceptIndex:
    """Finds concepts in a row of words. The words of a phrase may stand in any order: `date created`."""

    def __init__(self, concepts: Mapping[str, Sequence[Words]]) -> None:
        found: dict[Words, dict[str, None]] = {}
        for name, phrases in concepts.items():
            for phrase in phrases:
                if 1 <= len(phrase) <= LONGEST_PHRASE:
                    found.setdefault(tuple(sorted(phrase)), {})[name] = None
        self._concepts = {phrase: tuple(names) for phrase, names in found.items()}

    def of(self, phrase: Words) -> tuple[str, ...]:
        """The concepts that exactly this phrase means."""
        return self._concepts.get(tuple(sorted(phrase)), ())

    def phrases(self, words: Words) -> list[tuple[int, int, tuple[str, ...]]]:
        """(start, end, concepts) of phrases of two words or more, the longest first, none overlapping another."""
        found: list[tuple[int, int, tuple[str, ...]]] = []
        taken = [False] * len(words)
        for length in range(min(LONGEST_PHRASE, len(words)), 1, -1):
            for start in range(len(words) - length + 1):
                if any(taken[start : start + length]):
                    continue
                concepts = self.of(words[start : start + length])
                if concepts:
                    found.append((start, start + length, concepts))
                    taken[start : start + length] = [True] * length
        return found
