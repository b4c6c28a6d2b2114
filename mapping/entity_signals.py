"""The signals of which canonical entity a source entity is: its own name, what others call theirs, and its fields.

All entities are looked at together, for they compete. What the signals add up to is fitted, in `mapping.score_model`.
Names of fields count only if they are the same, word by word or by what the words mean: that takes no time to look up.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from mapping.candidates import FieldDescription, TargetField
from mapping.competition import lead
from mapping.concepts import Words
from mapping.evidence import Evidence
from mapping.field_tokens import Tokenizer
from mapping.pair_features import Grids
from mapping.similarity import NameReader, blend, by_letters, by_meaning
from mapping.sparse_rows import Floats

_SAME: Final = 0.9999  # the same words, rounding aside
_RIVALS: Final = ("own_best", "called_best", "called_support", "fields_known", "fields_telling", "usual_found")


@dataclass(frozen=True)
class EntityQuestion:
    """One source entity and the canonical entities that it may be: name → its fields."""

    connector: str
    source_entity: str
    fields: Sequence[FieldDescription]
    entities: Mapping[str, Sequence[TargetField]]


@dataclass(frozen=True)
class EntityEvidence:
    """What speaks for each entity by itself: `grids` are (entities,), `known` says which fields have a name that
    some field of the entity has, (fields, entities)."""

    grids: Grids
    known: Floats

    def only(self, kept: NDArray[np.bool_]) -> "EntityEvidence":
        """As if the other entities weren't there."""
        return EntityEvidence({name: grid[kept] for name, grid in self.grids.items()}, self.known[:, kept])

    def signals(self) -> Grids:
        """All signals, those of the rivalry among them: signal → (entities,)."""
        fields, entities = max(1, len(self.known)), self.known.shape[1]
        # a name that many entities know tells little
        telling = self.known * np.log((entities + 1) / (self.known.sum(axis=1, keepdims=True) + 0.5))
        found: Grids = {
            **self.grids,
            "fields_known": self.known.sum(axis=0) / fields,
            "fields_telling": telling.sum(axis=0) / fields,
            "telling_total": np.log1p(telling.sum(axis=0)),
        }
        return found | {f"{name}_lead": lead(found[name][None, :], 1)[0] for name in _RIVALS}


class EntityReader:
    """Gathers the evidence of one question at a time."""

    def __init__(self, tokenizer: Tokenizer, reader: NameReader, evidence: Evidence) -> None:
        self._tokenizer = tokenizer
        self._reader = reader
        self._evidence = evidence

    def read(self, question: EntityQuestion) -> EntityEvidence:
        """Needs at least one entity."""
        known, usual = self._fields(question)
        return EntityEvidence(self._names(question) | {"usual_found": usual}, known)

    def _names(self, question: EntityQuestion) -> Grids:
        name = self._reader.read([self._tokenizer.name(question.source_entity)])
        own = self._reader.read([self._tokenizer.name(entity) for entity in question.entities])
        letters = by_letters(name, own)[0]
        called = [self._evidence.called(entity) for entity in question.entities]
        alike = blend(name, self._reader.read([words for names in called for words in names]))[0]
        users = np.array([count for names in called for count in names.values()], np.float32)
        best = np.zeros(len(called), np.float32)
        same = np.zeros_like(best)
        places = np.repeat(np.arange(len(called)), [len(names) for names in called])
        np.maximum.at(best, places, alike)
        np.add.at(same, places, users * (alike >= _SAME))
        return {
            "own_letters": letters,
            "own_meaning": by_meaning(name, own)[0],
            "own_best": np.maximum(letters, blend(name, own)[0]),
            "called_best": best,
            "called_support": np.log1p(same),
        }

    def _fields(self, question: EntityQuestion) -> tuple[Floats, Floats]:
        """((fields, entities): whether a name is known; (entities,): the share of what vendors usually have of an
        entity that is there)."""
        evidence = self._evidence
        cores = [evidence.core(field.path, question.connector, question.source_entity, "") for field in question.fields]
        gists = [evidence.gist(core) for core in cores]
        known = np.zeros((len(cores), len(question.entities)), np.float32)
        usual = np.zeros(len(question.entities), np.float32)
        for column, (entity, targets) in enumerate(question.entities.items()):
            own = frozenset(self._tokenizer.name(entity))
            asked = [
                gist if own.isdisjoint(core) else evidence.gist(_without(core, own))
                for core, gist in zip(cores, gists, strict=True)
            ]
            names = evidence.fields_called(entity, targets, asked)
            known[:, column] = [bool(some) for some in names]
            found = {name for some in names for name in some}
            if found:
                shares = evidence.usual(entity, targets)
                usual[column] = sum(shares.get(name, 0.0) for name in found) / sum(shares.values())
        return known, usual


def _without(core: Words, own: frozenset[str]) -> Words:
    return tuple(word for word in core if word not in own) or core
