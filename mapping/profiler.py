"""Learns what the values of one source path look like, without keeping any of them.

What is told of them is `schemas.messages.FieldProfile`; when to tell it again is decided here, too.
"""

import math
from collections import Counter
from decimal import Decimal
from typing import Any, Final

from mapping.profile import json_type, shape_of
from mapping.value_format import value_format
from schemas.messages import FieldProfile

VALUES_OF_A_RECORD: Final = 20
SHAPES_TOLD: Final = 5
_SHAPES_KEPT: Final = 50
_DISTINCT_KEPT: Final = 1_000
_FORMAT_SHARE: Final = 0.95
# A field chooses from few words if each stands there several times.
_MOST_WORDS: Final = 12
_WORD_CHARACTERS: Final = 32
_VALUES_A_WORD: Final = 4


class Profiler:
    """The values of one path so far. `take` is called for each, with the number of its record."""

    def __init__(self, first: int) -> None:
        self.first = first
        self.present = 0
        self.values = 0
        self.types: set[str] = set()
        self._record = -1
        self._in_record = 0
        self._shapes: Counter[str] = Counter()
        self._formats: Counter[str | None] = Counter()
        self._distinct: set[int] = set()
        self._lengths: tuple[int, int] | None = None
        self._digits: tuple[int, int] | None = None
        self._whole: bool | None = None

    def take(self, record: int, value: Any) -> None:
        """Learn from one value, a scalar."""
        if record != self._record:
            self._record, self._in_record = record, 0
            self.present += 1
        elif self._in_record >= VALUES_OF_A_RECORD:
            return
        self._in_record += 1
        self.values += 1
        self.types.add(json_type(value))
        self._formats[value_format(value)] += 1
        if len(self._distinct) < _DISTINCT_KEPT:
            self._distinct.add(hash(value) if isinstance(value, str | int | float | Decimal) else 0)
        if isinstance(value, str):
            self._lengths = _widened(self._lengths, len(value))
            if len(self._shapes) < _SHAPES_KEPT:
                self._shapes[shape_of(value)] += 1
        elif isinstance(value, int | float | Decimal) and not isinstance(value, bool):
            self._digits = _widened(self._digits, _integer_digits(value))
            self._whole = self._whole is not False and isinstance(value, int)

    def shapes(self) -> tuple[str, ...]:
        """The commonest shapes of its texts, in order of the alphabet, for their order tells nothing."""
        return tuple(sorted(shape for shape, _ in self._shapes.most_common(SHAPES_TOLD)))

    def profile(self, records: int) -> FieldProfile:
        """What is known after `records` records since the path was first seen."""
        counted = min(self.values, _DISTINCT_KEPT)
        (commonest, times), *_ = self._formats.most_common(1) or [(None, 0)]
        return FieldProfile(
            records=max(records, self.present),
            present=self.present,
            lengths=self._lengths,
            magnitudes=self._digits,
            whole=self._whole,
            distinct_ratio=round(len(self._distinct) / counted, 3) if counted else None,
            words=self._words(),
            format=commonest if times >= _FORMAT_SHARE * self.values else None,
        )

    def _words(self) -> int | None:
        different = len(self._distinct)
        if self.types != {"string"} or self._lengths is None or self._lengths[1] > _WORD_CHARACTERS:
            return None
        few = different <= _MOST_WORDS and self.values >= max(20, different * _VALUES_A_WORD)
        return different if few else None


def changed_much(old: FieldProfile, new: FieldProfile) -> bool:
    """Whether `new` could lead to another decision than `old` did."""
    if old.format != new.format or old.whole != new.whole or (old.words is None) != (new.words is None):
        return True
    if _grown(old.magnitudes, new.magnitudes):
        return True
    if new.present >= 10 and abs(_share(old) - _share(new)) > 0.25:  # keys that are data are never seen so often
        return True
    return old.records >= 20 and abs((old.distinct_ratio or 0) - (new.distinct_ratio or 0)) > 0.3


def _share(profile: FieldProfile) -> float:
    return profile.present / profile.records if profile.records else 0.0


def _grown(old: tuple[int, int] | None, new: tuple[int, int] | None) -> bool:
    return (old is None) != (new is None) or (old is not None and new is not None and new[1] - old[1] > 2)


def _widened(span: tuple[int, int] | None, value: int) -> tuple[int, int]:
    return (value, value) if span is None else (min(span[0], value), max(span[1], value))


def _integer_digits(number: int | float | Decimal) -> int:
    """Digits before the point, within one; of numbers of any size at the same price."""
    if isinstance(number, Decimal):
        return max(1, number.adjusted() + 1) if number.is_finite() else 1
    if isinstance(number, int):
        return max(1, math.ceil(number.bit_length() * math.log10(2)))
    return max(1, math.floor(math.log10(abs(number))) + 1) if number and math.isfinite(number) else 1
