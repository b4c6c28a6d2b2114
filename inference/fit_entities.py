"""Fits which canonical entity a source entity is, as part of a matching model.

Each labelled entity is asked twice: among all canonical entities of its origin, and without the right ones, so that
"none of them" is learned too.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from inference.fit_logistic import fit_logistic
from inference.label_rows import LabelledEntity
from mapping.candidates import FieldDescription, TargetField
from mapping.entity_signals import EntityQuestion, EntityReader
from mapping.pair_features import Grids
from mapping.score_model import Logistic
from schemas.failures import Misconfigured


@dataclass(frozen=True)
class EntityExample:
    """The signals of one question, (entities,) each, which of the entities are right, and how much it counts."""

    vendor: str
    grids: Grids
    right: NDArray[np.bool_]
    weight: float


def entity_questions(
    asked: Sequence[LabelledEntity], vocabulary: Mapping[str, Sequence[TargetField]]
) -> Iterator[tuple[EntityQuestion, frozenset[str]]]:
    """One question per entity of one vendor, and the canonical entities that its fields were mapped to; none of an
    entity that is nothing of the vocabulary."""
    gathered: dict[str, dict[str, FieldDescription]] = defaultdict(dict)
    gold: dict[str, set[str]] = defaultdict(set)
    for entity in asked:
        question = entity.question
        gathered[question.source_entity].update((field.path, field) for field in question.fields)
        if any(entity.gold) and question.canonical_entity in vocabulary:
            gold[question.source_entity].add(question.canonical_entity)
    for name, fields in gathered.items():
        if gold[name]:
            connector = asked[0].question.connector
            yield EntityQuestion(connector, name, list(fields.values()), vocabulary), frozenset(gold[name])


def entity_examples(
    asked: Sequence[LabelledEntity],
    vocabulary: Mapping[str, Sequence[TargetField]],
    reader: EntityReader,
    weight: float,
) -> Iterator[EntityExample]:
    """Two examples of each entity of one vendor: with the right answer among the candidates, and without."""
    for question, gold in entity_questions(asked, vocabulary):
        evidence = reader.read(question)
        right = np.array([name in gold for name in question.entities])
        yield EntityExample(question.connector, evidence.signals(), right, weight)
        if not right.all():
            yield EntityExample(question.connector, evidence.only(~right).signals(), right[~right], weight)


def fit_entities(examples: Sequence[EntityExample]) -> Logistic:
    """Weights over the signals of a pair of entities. Raises Misconfigured without a choice to learn from."""
    if not any(example.right.any() and not example.right.all() for example in examples):
        raise Misconfigured("a fit needs canonical entities, more than one, that several vendors have")
    signals = tuple(examples[0].grids)
    rows = np.concatenate([np.stack([e.grids[name] for name in signals], axis=-1) for e in examples])
    right = np.concatenate([example.right for example in examples])
    weights = np.concatenate([np.full(len(example.right), example.weight) for example in examples])
    return fit_logistic(signals, rows.astype(np.float64), right, weights)
