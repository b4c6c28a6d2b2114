"""Fields from sampled records: types merged, how often a path is there, formats, shapes, words that it chooses from.

What values look like is learned by `mapping.profiler`, which keeps none; a field's words are told only where they are
those of a vocabulary (`past_due`, `EUR`), never of a person. A path that was null in every sample tells nothing and is
no field: the fingerprint must not depend on that.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from connectors.discovery import DiscoveredEntity, Discovery
from connectors.openapi_records import LIST_NAMES
from connectors.primary_keys import guess_primary_key
from mapping.path import quoted
from mapping.profile import leaf_paths
from mapping.profiler import Profiler
from schemas.failures import InvalidRecord
from schemas.messages import FieldProfile, JsonType, SourceField, SourceSchema

RECORDS: Final = 10_000
FIELDS: Final = 2_000
_WORD: Final = re.compile(r"[a-z][a-z0-9]*([_.\-][a-z0-9]+)*|[A-Z][A-Z0-9]*(_[A-Z0-9]+)*")
_WORDS_KEPT: Final = 20
_WORD_CHARACTERS: Final = 64


class Samples:
    """What records of one entity looked like so far. `cut`: there were more paths than are kept."""

    def __init__(self) -> None:
        self.records = 0
        self.cut = False
        self._profilers: dict[str, Profiler] = {}
        self._words: dict[str, set[str]] = {}  # a few of each path's texts, to see whether it has a vocabulary

    def take(self, record: Mapping[str, Any]) -> None:
        """Learn from one record."""
        profilers, words = self._profilers, self._words
        for path, value in _leaves(record):
            profiler = profilers.get(path)
            if profiler is None:
                if len(profilers) >= FIELDS:
                    self.cut = True
                    continue
                profiler, words[path] = profilers.setdefault(path, Profiler(0)), set()
            profiler.take(self.records, value)
            chosen = words[path]
            if value.__class__ is str and len(chosen) <= _WORDS_KEPT:
                chosen.add(value[:_WORD_CHARACTERS])
        self.records += 1

    def fields(self) -> list[SourceField]:
        """The fields, by path."""
        return [self._field(path, profiler) for path, profiler in sorted(self._profilers.items())]

    def profiles(self) -> dict[str, FieldProfile]:
        """path → what its values look like, the words that it chooses from among it."""
        return {path: self._profile(path, profiler) for path, profiler in self._profilers.items()}

    def shapes(self) -> dict[str, tuple[str, ...]]:
        """path → the commonest shapes of its texts."""
        return {path: profiler.shapes() for path, profiler in self._profilers.items()}

    def keys(self) -> list[str]:
        """Names at the root whose values are there in every record and differ in each."""
        return [
            path
            for path, profiler in self._profilers.items()
            if profiler.present == self.records == profiler.values
            and profiler.profile(self.records).distinct_ratio == 1.0
            and not profiler.types & {"boolean", "object", "array"}
        ]

    def _field(self, path: str, profiler: Profiler) -> SourceField:
        types = profiler.types - ({"integer"} if "number" in profiler.types else set())
        profile = self._profile(path, profiler)
        return SourceField(
            path=path,
            types=tuple(_typed(types)),
            nullable=True,  # no sample shows that null never comes; what it shows must not change the fingerprint
            format=profile.format,
            enum=profile.enum,
        )

    def _profile(self, path: str, profiler: Profiler) -> FieldProfile:
        profile = profiler.profile(self.records)
        words = self._words[path] if profile.words else set()
        is_vocabulary = all(_WORD.fullmatch(word) for word in words)
        return profile.model_copy(update={"enum": tuple(sorted(words))}) if words and is_vocabulary else profile


def fields_of_samples(records: Sequence[Mapping[str, Any]]) -> list[SourceField]:
    """The fields of `records`, by path."""
    samples = Samples()
    for record in records[:RECORDS]:
        samples.take(record)
    return samples.fields()


def discover_samples(value: Any, entity: str) -> Discovery:
    """One entity from sampled records: an array of them, or a response around one.

    Raises:
        InvalidRecord: there are no records in `value`.
    """
    records = records_in(value)
    samples = Samples()
    for record in records[:RECORDS]:
        samples.take(record)
    fields = samples.fields()
    if not fields:
        raise InvalidRecord("the samples hold no records: an array of objects, an object with one, or JSON lines")
    key, reason = guess_primary_key(entity, samples.keys())
    found = DiscoveredEntity(
        name=entity,
        schema=SourceSchema(fields=tuple(fields), primary_key=key),
        origin="sample",
        primary_key_reason=f"{reason}, with a value of its own in each of {samples.records} records" if key else reason,
        is_cut=samples.cut,
        profiles=samples.profiles(),
        shapes=samples.shapes(),
        samples=samples.records,
    )
    left_out = (f"only the first {RECORDS} of {len(records)} records were read",) if len(records) > RECORDS else ()
    return Discovery(title=entity, entities=(found,), problems=left_out)


def records_in(value: Any) -> list[dict[str, Any]]:
    """The records of a decoded response: itself, its array with a usual name, its only array, or the object alone."""
    if isinstance(value, list):
        return [record for record in value if isinstance(record, dict)]
    if not isinstance(value, dict):
        return []
    arrays = {name: inner for name, inner in value.items() if isinstance(inner, list) and _all_objects(inner)}
    usual = next((inner for name, inner in arrays.items() if name.lower() in LIST_NAMES), None)
    if usual is not None and "id" not in value:
        return usual
    if len(arrays) == 1 and "id" not in value:
        return next(iter(arrays.values()))
    inner = [part for name, part in value.items() if isinstance(part, dict) and name.lower() in LIST_NAMES]
    return records_in(inner[0]) if len(inner) == 1 and "id" not in value else [value]


def _all_objects(values: list[Any]) -> bool:
    return bool(values) and all(isinstance(value, dict) for value in values)


def _leaves(record: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """(path, value) of a record's leaves, as canonicalize announces them."""
    return leaf_paths({quoted(name): value for name, value in record.items()})


def _typed(types: set[str]) -> Iterator[JsonType]:
    names: tuple[JsonType, ...] = ("boolean", "integer", "number", "string", "object", "array")
    return (name for name in names if name in types)
