"""Tells which canonical field each field of a source entity is, with a calibrated probability.

A whole entity is scored at once: candidates compete for a field, and fields for a candidate. What to do with the
result is up to the caller.
"""

from collections.abc import Iterable, Mapping, Sequence
from copy import copy
from typing import Final

import numpy as np

from mapping.candidates import (
    Candidate,
    Embedder,
    EntityCandidate,
    FieldDescription,
    FieldMatch,
    TargetField,
)
from mapping.concepts import ConceptIndex, load_thesaurus
from mapping.corpus import Corpus
from mapping.entity_signals import EntityQuestion, EntityReader
from mapping.evidence import Evidence
from mapping.field_tokens import Tokenizer
from mapping.jackknife import jackknife
from mapping.local_calibration import LocalCalibration, fit_local
from mapping.pair_features import PairReader, PairSignals, Question
from mapping.score_model import CANDIDATES, MatchModel
from mapping.similarity import NameReader, WordWeights
from mapping.trees import Doubles

# An entity that nobody calls so is never sure by its fields alone: of those that seemed to be, so many were right.
UNNAMED_MOST: Final = 0.55

# signals shown with a candidate: what a person can make sense of
SHOWN_SIGNALS: Final = (
    "letters_core",
    "vectors_core",
    "meaning_core",
    "known_best",
    "known_share",
    "known_support",
    "exact_support",
    "exact_against",
    "elsewhere_best",
    "nothing_here_share",
    "usual",
    "type_fit",
    "foreign_words",
    "mixed_lead",
    "mixed_lead_of_fields",
)


class Matcher:
    """Matches by one model, one embedder and one corpus, which may grow between calls. For one thread at a time."""

    def __init__(self, model: MatchModel, embedder: Embedder, corpus: Corpus) -> None:
        thesaurus = load_thesaurus()
        self.model = model
        self._corpus = corpus
        self._local = LocalCalibration()
        self._tokenizer = Tokenizer(thesaurus, model.words)
        concepts = {
            name: [self._tokenizer.name(phrase) for phrase in phrases] for name, phrases in thesaurus.concepts.items()
        }
        self._reader = NameReader(ConceptIndex(concepts), WordWeights(model.words, model.vendors), embedder)
        self._evidence = Evidence(corpus, self._tokenizer, self._reader)

    @property
    def version(self) -> str:
        """Of the model, and of what was learned here."""
        return self.model.version + self._local.mark

    def calibrate(self, targets: Mapping[str, Sequence[TargetField]]) -> int:
        """Learn from the corpus how far the model can be believed here; how many decided fields tell.

        Args:
            targets: canonical entity → its fields.
        """
        self._local = LocalCalibration()
        self._local = fit_local(jackknife(self, self._corpus, targets))
        return self._local.fields

    def over(self, corpus: Corpus) -> "Matcher":
        """A matcher of another corpus, which shares with this one what it has read of names."""
        other = copy(self)
        other._corpus = corpus
        other._local = LocalCalibration()
        other._evidence = Evidence(corpus, self._tokenizer, self._reader)
        return other

    def hiding(self, connectors: Iterable[str]) -> "Matcher":
        """The same matcher without what the corpus knows of these connectors: how well it would do on them."""
        view = copy(self)
        view._evidence = self._evidence.hiding(connectors)
        return view

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
        question = Question(connector, source_entity, canonical_entity, fields, targets)
        signals, right, nothing = self.score(question)
        best = np.argsort(-right, axis=1, kind="stable")[:, :CANDIDATES]
        each = np.arange(len(fields))[:, None]
        shown = np.stack([signals.grids[name][each, best] for name in SHOWN_SIGNALS], axis=-1)
        shown = shown.astype(np.float64).round(4).tolist()
        likely = right[each, best].tolist()
        return [
            FieldMatch(
                field.path,
                tuple(
                    Candidate(
                        targets[column], likely[row][place], dict(zip(SHOWN_SIGNALS, shown[row][place], strict=True))
                    )
                    for place, column in enumerate(best[row].tolist())
                ),
                float(nothing[row]),
            )
            for row, field in enumerate(fields)
        ]

    def score(self, question: Question) -> tuple[PairSignals, Doubles, Doubles]:
        """The signals of all pairs; (fields, targets): how likely each is right; (fields,): that none is. Needs at
        least one field and one target."""
        signals = PairReader(self._tokenizer, self._reader, self._evidence).signals(question)
        right, nothing = self._local.applied(*self.model.probabilities(signals.grids, signals.blend))
        return signals, right, nothing

    def match_entity(
        self,
        connector: str,
        source_entity: str,
        fields: Sequence[FieldDescription],
        entities: Mapping[str, Sequence[TargetField]],
    ) -> list[EntityCandidate]:
        """Which of `entities` (name → its fields) the source entity is, best first; one of them is None, "no one"."""
        if not entities:
            return [EntityCandidate(None, 1.0)]
        question = EntityQuestion(connector, source_entity, fields, entities)
        likely = self.score_entities(question).tolist()
        found = [EntityCandidate(entity, probability) for entity, probability in zip(entities, likely, strict=True)]
        found.append(EntityCandidate(None, 1.0 - sum(likely)))
        return sorted(found, key=lambda candidate: -candidate.probability)

    def score_entities(self, question: EntityQuestion) -> Doubles:
        """(entities,): how likely each of the question's entities is the right one. Needs at least one."""
        signals = EntityReader(self._tokenizer, self._reader, self._evidence).read(question).signals()
        likely = self.model.entity_probabilities(signals)
        is_named = (signals["own_letters"] >= 1) | (signals["called_support"] > 0)
        capped: Doubles = np.where(is_named, likely, np.minimum(likely, UNNAMED_MOST))
        return capped
