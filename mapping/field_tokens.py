"""Takes field names apart: `properties.hs_lastmodifieddate` → last, modified, date.

Splits camelCase, snake_case, digits and glued words, drops wrappers, spells out abbreviations, makes plurals singular.
What the words mean is in `mapping.concepts`, how alike two names are in `mapping.similarity`.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from mapping.concepts import Thesaurus, Words

NAME_CHARACTERS: Final = 240
WORDS_OF_A_NAME: Final = 24
_GLUED: Final = 6
_SHORT_PARTS: Final = frozenset({"id", "at", "by", "on", "to", "is", "of", "cd", "dt", "nm", "or"})
# "1" is the first of several, so the one that is meant
_EMPTY_WORDS: Final = frozenset({"the", "of", "a", "an", "is", "hs", "utc", "gmt", "c", "cf", "1"})
_MEMO: Final = 100_000

_MARKS: Final = re.compile(r"[\W_]+")
_SEPARATORS: Final = re.compile(r"[\[\]\"'.>/\\|]+")
_ASCII_WORD: Final = re.compile(r"[A-Z]{2,}s(?![a-z])|[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+")
_ANY_WORD: Final = re.compile(r"[^\W\d_]+|\d+")
_CUSTOM_SUFFIX: Final = re.compile(r"__[cr]$")
_LOOKUP: Final = re.compile(r"^_(.+)_value$")


@dataclass(frozen=True, slots=True)
class PathWords:
    """The words of a path's steps, wrappers dropped; the last step is what the field itself is called."""

    steps: tuple[Words, ...]
    whole: Words  # all of them, in order; of very many, the last

    @classmethod
    def of(cls, steps: Iterable[Words]) -> "PathWords":
        """The steps that have words."""
        kept = tuple(step for step in steps if step)
        return cls(kept, tuple(word for step in kept for word in step)[-WORDS_OF_A_NAME:])

    @property
    def last(self) -> Words:
        """Those of the last step."""
        return self.steps[-1][:WORDS_OF_A_NAME] if self.steps else ()

    def without(self, words: Iterable[str]) -> Words:
        """All words but `words`; all of them if nothing would be left."""
        dropped = frozenset(words)
        return tuple(word for word in self.whole if word not in dropped) or self.whole


class Tokenizer:
    """Splits names by a thesaurus and a table of words (word → number of vendors that use it)."""

    def __init__(self, thesaurus: Thesaurus, known_words: Mapping[str, int]) -> None:
        self._thesaurus = thesaurus
        self._known = known_words
        self._words: dict[str, Words] = {}
        self._paths: dict[str, PathWords] = {}

    def path(self, text: str) -> PathWords:
        """The words of a source path or canonical field; of a very long one, its end."""
        found = self._paths.get(text)
        if found is None:
            if len(self._paths) >= _MEMO:
                self._paths.clear()
            found = self._paths[text] = self._split_path(text[-NAME_CHARACTERS:])
        return found

    def name(self, text: str) -> Words:
        """The words of a name that isn't a path: of a vendor, an entity."""
        return self.path(text).whole

    def _split_path(self, text: str) -> PathWords:
        steps = [step for step in _SEPARATORS.split(text) if step]
        kept = [step for step in steps[:-1] if step not in self._thesaurus.wrappers]
        if steps and not (kept and steps[-1] == "value"):
            kept.append(steps[-1])
        return PathWords.of(self._split_step(step) for step in kept)

    def _split_step(self, step: str) -> Words:
        step = _CUSTOM_SUFFIX.sub("", step)
        lookup = _LOOKUP.match(step)
        step = lookup[1] if lookup else step
        pattern = _ASCII_WORD if step.isascii() else _ANY_WORD
        words = tuple(word for raw in pattern.findall(step) for word in self._normal(raw.lower()))
        return tuple(word for word in words if word not in _EMPTY_WORDS) or words

    def _normal(self, raw: str) -> Words:
        found = self._words.get(raw)
        if found is None:
            if len(self._words) >= _MEMO:
                self._words.clear()
            found = self._words[raw] = self._spell_out(raw)
        return found

    def _spell_out(self, raw: str) -> Words:
        if raw.isdigit():
            return (raw.lstrip("0") or "0",) if len(raw) <= 2 else ("#",)
        abbreviations = self._thesaurus.abbreviations
        if raw in abbreviations:
            return abbreviations[raw]
        word = singular(raw)
        if word in abbreviations:
            return abbreviations[word]
        if len(word) >= _GLUED and word not in self._known and raw not in self._known:
            parts = self._unglued(raw)
            return tuple(part for raw_part in parts for part in abbreviations.get(raw_part, (singular(raw_part),)))
        return (word,)

    def _unglued(self, raw: str) -> Words:
        """The fewest known words that `raw` is glued of, the more usual ones where that leaves a choice."""
        best: list[tuple[float, Words] | None] = [(0.0, ())] + [None] * len(raw)
        for end in range(2, len(raw) + 1):
            for start in range(max(0, end - 16), end - 1):
                before, part = best[start], raw[start:end]
                if before is None or not self._is_part(part):
                    continue
                cost = before[0] + 1 + 1 / (1 + self._known.get(singular(part), 0))
                reached = best[end]
                if reached is None or cost < reached[0]:
                    best[end] = (cost, (*before[1], part))
        whole = best[len(raw)]
        return whole[1] if whole and len(whole[1]) <= 4 else (raw,)

    def _is_part(self, part: str) -> bool:
        if len(part) < 3:
            return part in _SHORT_PARTS
        return part in self._known or singular(part) in self._known or part in self._thesaurus.abbreviations


def bare(name: str) -> str:
    """`name` without case and marks, by which two names are spelt the same."""
    return _MARKS.sub("", name).lower()


def singular(word: str) -> str:
    """An English plural's singular, by rule."""
    if len(word) < 4 or not word.endswith("s") or word.endswith(("ss", "us", "is", "news")):
        return word
    if word.endswith("ies") and len(word) > 4:
        return word[:-3] + "y"
    if word.endswith(("sses", "shes", "ches", "xes", "zes", "uses")) and not word.endswith("causes"):
        return word[:-2]
    return word[:-1]
