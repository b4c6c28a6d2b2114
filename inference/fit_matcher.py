"""Fits the matching model to labelled mappings. Deterministic: the same lines give the same bytes.

Needs the libraries of the extra `train`; what it writes needs none of them. What the model sees of a pair, and how
its two stages hang together, is in `mapping.score_model`.
"""

import hashlib
import json
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from inference.fit_entities import EntityExample, entity_examples, fit_entities
from inference.fit_logistic import fit_logistic, library
from inference.label_rows import LabelledEntity, LabelRow, data_hash, questions, rival_entities
from mapping.candidates import Embedder
from mapping.concepts import ConceptIndex, load_thesaurus
from mapping.corpus import Corpus
from mapping.entity_signals import EntityReader
from mapping.evidence import Evidence
from mapping.field_tokens import Tokenizer
from mapping.pair_features import PairReader
from mapping.score_model import (
    CANDIDATES,
    NOTHING_SIGNS,
    SECOND_STAGE_SIGNS,
    Logistic,
    MatchModel,
    best_candidates,
    nothing_signals,
    second_stage,
)
from mapping.similarity import NameReader, WordWeights
from mapping.sparse_rows import Floats
from mapping.trees import Trees
from schemas.failures import Bug, Misconfigured

FOLDS: Final = 5  # of vendors, inside a fit: the second stage learns from scores of a first one that didn't see them
USUAL_VENDORS: Final = 3  # that use a word before it counts as one
LARGE_ORIGIN: Final = 5_000  # labelled fields; each counts half in an origin of more
SIMULATED_WEIGHT: Final = 0.5  # of a simulated field

_TREES: Final = 300
_NOTHING_TREES: Final = 200
_PARAMETERS: Final[Mapping[str, Any]] = {
    "objective": "binary",
    "learning_rate": 0.08,
    "num_leaves": 8,
    "lambda_l2": 5.0,
    "min_data_in_leaf": 20,
    "deterministic": True,
    "force_row_wise": True,
    "num_threads": 2,
    "seed": 1,
    "verbosity": -1,
}


@dataclass(frozen=True)
class Example:
    """The signals of one question, its answers, and how much each of its fields counts."""

    vendor: str
    grids: Mapping[str, Floats]
    blend: Floats
    right: NDArray[np.bool_]  # (fields, targets)
    weight: float


class ExampleReader:
    """Turns questions into examples, with one table of words."""

    def __init__(self, rows: Sequence[LabelRow], embedder: Embedder) -> None:
        self.words, self.vendors = word_table(rows)
        self.embedder_name = embedder.name
        thesaurus = load_thesaurus()
        self._tokenizer = Tokenizer(thesaurus, self.words)
        concepts = {
            name: [self._tokenizer.name(phrase) for phrase in phrases] for name, phrases in thesaurus.concepts.items()
        }
        self._reader = NameReader(ConceptIndex(concepts), WordWeights(self.words, self.vendors), embedder)

    def read(self, rows: Sequence[LabelRow], weight: float = 1.0) -> "Examples":
        """Each question with what all other vendors of its origin tell. `weight`: what a field counts."""
        by_origin: dict[str, list[LabelRow]] = defaultdict(list)
        for row in rows:
            by_origin[row.origin].append(row)
        rivals = rival_entities(rows)
        found = Examples([], [])
        for origin, its_rows in by_origin.items():
            asked: dict[str, list[LabelledEntity]] = defaultdict(list)
            for entity in questions(its_rows):
                asked[entity.vendor].append(entity)
            size = sum(len(entity.gold) for entities in asked.values() for entity in entities)
            counts = weight * (0.5 if size > LARGE_ORIGIN else 1.0)
            evidence = Evidence(Corpus(row.known for row in its_rows), self._tokenizer, self._reader)
            for vendor, entities in asked.items():
                view = evidence.hiding({vendor})
                pairs = PairReader(self._tokenizer, self._reader, view)
                found.fields.extend(_example(entity, pairs, counts) for entity in entities)
                reader = EntityReader(self._tokenizer, self._reader, view)
                found.entities.extend(entity_examples(entities, rivals[origin], reader, counts))
        return found


@dataclass(frozen=True)
class Examples:
    """What a model is fitted to: source fields, an entity's at a time, and source entities."""

    fields: list[Example]
    entities: list[EntityExample]


def fit_matcher(
    rows: Sequence[LabelRow],
    embedder: Embedder,
    *,
    reference: Sequence[LabelRow] = (),
    simulated: Sequence[LabelRow] = (),
    card: Mapping[str, Any] | None = None,
) -> MatchModel:
    """A model fitted to all of `rows`.

    Args:
        reference: what is known of vendors in our own vocabulary. Their words aren't counted.
        simulated: made-up vendors, which teach what it is worth that many vendors agree, for labels have few of any
            entity. Their words aren't counted.

    Raises:
        Misconfigured: the training libraries are missing, or the rows hold too little to learn from.
    """
    reader = ExampleReader(rows, embedder)
    read, made = reader.read(rows), reader.read(simulated, SIMULATED_WEIGHT)
    known = reader.read(reference)
    vendors = {example.vendor for example in read.fields}
    if len(vendors) < FOLDS or not any(example.right.any() for example in read.fields):
        raise Misconfigured(f"a fit needs labels of at least {FOLDS} vendors, with mapped fields among them")
    # Reference vendors don't teach which entity it is: of a left-out connector's entities, a fit with them finds a
    # quarter for sure, without them two thirds.
    examples = Examples(read.fields + known.fields + made.fields, read.entities + made.entities)
    told = {
        "data_sha256": data_hash([*rows, *reference, *simulated]),
        "rows": len(rows),
        "reference_rows": len(reference),
        "simulated_rows": len(simulated),
        **(card or {}),
    }
    return fit_examples(examples, reader, told)


def fit_examples(examples: Examples, reader: ExampleReader, card: Mapping[str, Any]) -> MatchModel:
    """A model fitted to `examples`, which `reader` read. Its version is its own hash: another thesaurus makes another
    model of the same labels."""
    fields = examples.fields
    logistic = _fit_logistic(fields)
    logits: dict[int, Floats] = {}
    for fold in range(FOLDS):
        others = [example for example in fields if fold_of(example.vendor, FOLDS) != fold]
        its_own = [place for place, example in enumerate(fields) if fold_of(example.vendor, FOLDS) == fold]
        first = _fit_logistic(others) if its_own and others else logistic
        logits.update((place, first.logits(fields[place].grids)) for place in its_own)
    trees = _grow((_second_stage(one, logits[place]) for place, one in enumerate(fields)), SECOND_STAGE_SIGNS, _TREES)
    nothing = _grow((_nothing(one, logits[place]) for place, one in enumerate(fields)), NOTHING_SIGNS, _NOTHING_TREES)
    model = MatchModel(
        version="",
        words=reader.words,
        vendors=reader.vendors,
        logistic=logistic,
        trees=trees,
        nothing=nothing,
        entities=fit_entities(examples.entities),
        card={"embedder": reader.embedder_name, **card},
    )
    told = json.dumps(model.to_json(), sort_keys=True).encode()
    return replace(model, version=hashlib.sha256(told).hexdigest()[:12])


def word_table(rows: Iterable[LabelRow]) -> tuple[dict[str, int], int]:
    """(word → number of vendors that use it, for words of some vendors and of the thesaurus; number of vendors)."""
    thesaurus = load_thesaurus()
    unglued = Tokenizer(thesaurus, _AnyWord())
    vendors_of: dict[str, set[str]] = defaultdict(set)
    vendors: set[str] = set()
    for row in rows:
        vendors.add(row.vendor)
        for word in unglued.path(row.source_field).whole:
            vendors_of[word].add(row.vendor)
    words = {
        word: len(users)
        for word, users in vendors_of.items()
        if len(users) >= USUAL_VENDORS and not word.isdigit() and word != "#"
    }
    for phrases in thesaurus.concepts.values():
        for phrase in phrases:
            for word in unglued.name(phrase):
                words.setdefault(word, 1)
    return dict(sorted(words.items())), len(vendors)


def fold_of(vendor: str, folds: int) -> int:
    """Which of `folds` groups a vendor is in, always the same."""
    return int(hashlib.sha256(vendor.encode("utf-8", "surrogatepass")).hexdigest()[:12], 16) % folds


class _AnyWord(dict[str, int]):
    """A table of words that has them all: nothing is taken apart."""

    def __contains__(self, word: object) -> bool:
        return True


def _example(entity: LabelledEntity, reader: PairReader, weight: float) -> Example:
    signals = reader.signals(entity.question)
    right = np.array([[target.name in gold for target in entity.question.targets] for gold in entity.gold])
    return Example(entity.vendor, signals.grids, signals.blend, right, weight)


def _fit_logistic(examples: Sequence[Example]) -> Logistic:
    signals = tuple(examples[0].grids)
    chosen = [_informative(example) for example in examples]
    rows = np.concatenate(
        [
            np.stack([example.grids[name][kept] for name in signals], axis=-1)
            for example, (kept, _) in zip(examples, chosen, strict=True)
        ]
    ).astype(np.float64)
    right = np.concatenate([example.right[kept] for example, (kept, _) in zip(examples, chosen, strict=True)])
    weights = np.concatenate([counts for _, counts in chosen])
    return fit_logistic(signals, rows, right, weights)


def _informative(example: Example) -> tuple[NDArray[np.bool_], Floats]:
    """(pairs to learn from, what each counts): the likelier candidates of a field, and every tenth of the others,
    which then counts for ten."""
    places = np.argsort(np.argsort(-example.blend, axis=1, kind="stable"), axis=1)
    likely = (places < 2 * CANDIDATES) | example.right
    tenth = np.arange(places.size).reshape(places.shape) % 10 == 0
    kept = likely | tenth
    weights: Floats = np.where(likely, 1.0, 10.0)[kept].astype(np.float32) * np.float32(example.weight)
    return kept, weights


def _second_stage(example: Example, logits: Floats) -> tuple[Floats, NDArray[Any], NDArray[Any]]:
    best = best_candidates(example.blend)
    rows = _flat(second_stage(logits, example.grids, best))
    right = np.take_along_axis(example.right, best, axis=1).ravel()
    return rows, right, np.full(len(rows), example.weight)


def _nothing(example: Example, logits: Floats) -> tuple[Floats, NDArray[Any], NDArray[Any]]:
    rows = nothing_signals(logits, example.grids)
    return rows, np.logical_not(example.right.any(axis=1)), np.full(len(rows), example.weight)


def _grow(parts: Iterable[tuple[Floats, NDArray[Any], NDArray[Any]]], signs: Sequence[int], count: int) -> Trees:
    lightgbm = library("lightgbm")
    rows, right, weights = (np.concatenate(column) for column in zip(*parts, strict=True))
    data = lightgbm.Dataset(rows, right.astype(np.float64), weight=weights)
    booster = lightgbm.train({**_PARAMETERS, "monotone_constraints": list(signs)}, data, count)
    return trees_of(booster.dump_model())


def trees_of(dump: Mapping[str, Any]) -> Trees:
    """The trees of a LightGBM model, from its own dump."""
    columns: dict[str, list[list[Any]]] = {name: [] for name in ("features", "thresholds", "left", "right", "leaves")}
    for info in dump["tree_info"]:
        nodes: dict[str, list[Any]] = {name: [] for name in columns}
        _walk(info["tree_structure"], nodes)
        for name, values in nodes.items():
            columns[name].append(values)
    return Trees(**columns)


def _walk(node: Mapping[str, Any], nodes: dict[str, list[Any]]) -> int:
    """Adds a node and all below it; gives its number, of a leaf -1 - its number."""
    if "split_feature" not in node:
        nodes["leaves"].append(float(node["leaf_value"]))
        return -len(nodes["leaves"])
    if node["decision_type"] != "<=":
        raise Bug(f"a tree decides by {node['decision_type']}")
    place = len(nodes["features"])
    nodes["features"].append(int(node["split_feature"]))
    nodes["thresholds"].append(float(node["threshold"]))
    nodes["left"].append(0)
    nodes["right"].append(0)
    nodes["left"][place] = _walk(node["left_child"], nodes)
    nodes["right"][place] = _walk(node["right_child"], nodes)
    return place


def _flat(grid: Floats) -> Floats:
    return grid.reshape(-1, grid.shape[-1])
