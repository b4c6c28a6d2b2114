"""Judges a matcher on labelled mappings: how often it is right, and how far its confidence can be believed.

A vendor is matched by what is known of the others. One query is one source field, its gold the set of canonical fields
that it feeds; any of them is right, and for a field that feeds none, every accepted candidate is wrong. What figures
that gives is in `inference.match_figures`.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from inference.fit_entities import entity_questions
from inference.fit_matcher import fit_matcher, fold_of
from inference.label_rows import LabelledEntity, LabelRow, questions, rival_entities, same_vendor
from mapping.candidates import Embedder, KnownMapping
from mapping.corpus import Corpus
from mapping.entity_signals import EntityQuestion
from mapping.field_tokens import bare
from mapping.local_calibration import Outcomes, fit_local
from mapping.matcher import Matcher
from mapping.score_model import MatchModel

VENDOR_GROUPS: Final = 6

Seeds = Callable[[str], Iterable[KnownMapping]]  # origin -> what else is known of its vocabulary
Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]


_EMPTY: Final = {
    "origins": "U1",
    "vendors": "U1",
    "probability": "f8",
    "right": "?",
    "nothing": "f8",
    "reciprocal_rank": "f8",
    "mapped": "?",
    "renamed": "?",
}


@dataclass(frozen=True)
class Judged:
    """One entry a query: the best candidate's probability and whether it is right, the probability of "nothing", one
    over the rank of the first right candidate (0 if there is none), and what the field is."""

    origins: NDArray[np.str_]
    vendors: NDArray[np.str_]
    probability: Floats
    right: Flags
    nothing: Floats
    reciprocal_rank: Floats
    mapped: Flags
    renamed: Flags  # or nothing: no field of equal name is its answer

    def only(self, chosen: Flags) -> "Judged":
        """The chosen queries."""
        return Judged(**{name: getattr(self, name)[chosen] for name in self.__dataclass_fields__})


@dataclass(frozen=True)
class Judgement:
    """Of fields; and of entities, where each is asked for twice: among all, and without those that are right, when
    "none of them" is."""

    fields: Judged
    entities: Judged


def judge(rows: Sequence[LabelRow], model: MatchModel, embedder: Embedder, seeds: Seeds) -> Judgement:
    """What `model` makes of every field, with the rows of other vendors, and `seeds` of an origin, as its corpus."""
    return _joined(_judgements(questions(rows), rows, model, embedder, seeds))


def judge_refitted(
    rows: Sequence[LabelRow],
    embedder: Embedder,
    seeds: Seeds,
    *,
    by_origin: bool,
    reference: Sequence[LabelRow] = (),
    simulated: Sequence[LabelRow] = (),
    progress: Callable[[str], None] = lambda _: None,
) -> Judgement:
    """The same by models that were fitted without what they are judged on: one group of vendors (neither in the fit
    nor in the evidence that the fit saw), or a whole origin, its vocabulary unseen."""
    groups: dict[str, list[LabelRow]] = defaultdict(list)
    for row in rows:
        groups[row.origin if by_origin else f"vendor group {fold_of(row.vendor, VENDOR_GROUPS) + 1}"].append(row)
    asked: dict[tuple[str, str], list[LabelledEntity]] = defaultdict(list)
    for entity in questions(rows):
        asked[entity.origin, entity.vendor].append(entity)
    parts: list[Judgement] = []
    for name in sorted(groups):
        progress(f"fitting without {name}")
        held_out = {(row.origin, row.vendor) for row in groups[name]}
        others = [row for row in rows if (row.origin, row.vendor) not in held_out]
        judged = {vendor for _, vendor in held_out}
        elsewhere = [row for row in reference if not any(same_vendor(row.vendor, vendor) for vendor in judged)]
        model = fit_matcher(others, embedder, reference=elsewhere, simulated=simulated)
        entities = [entity for key in sorted(held_out) for entity in asked[key]]
        parts.extend(_judgements(entities, rows, model, embedder, seeds))
    return _joined(parts)


def corrected_locally(judged: Judged) -> Judged:
    """The same with each vendor's probabilities corrected by how those of the origin's other vendors turned out, as an
    installation does whose people have decided about these."""
    parts = []
    for origin in dict.fromkeys(judged.origins):
        of_origin = judged.only(judged.origins == origin)
        _, vendors = np.unique(of_origin.vendors, return_inverse=True)
        outcomes = Outcomes(vendors, of_origin.probability, of_origin.right, of_origin.nothing, ~of_origin.mapped)
        for vendor in range(vendors.max() + 1):
            one = of_origin.only(vendors == vendor)
            local = fit_local(outcomes.without(vendor))
            right, nothing = local.applied(one.probability[:, None], one.nothing)
            parts.append(replace(one, probability=right[:, 0], nothing=nothing))
    return joined(parts)


def _joined(parts: Iterable[Judgement]) -> Judgement:
    found = list(parts)
    return Judgement(joined(part.fields for part in found), joined(part.entities for part in found))


def joined(parts: Iterable[Judged]) -> Judged:
    """All queries of `parts`."""
    found = list(parts)
    return Judged(
        **{
            name: np.concatenate([getattr(part, name) for part in found]) if found else np.zeros(0, dtype=kind)
            for name, kind in _EMPTY.items()
        }
    )


def _judgements(
    entities: Sequence[LabelledEntity], rows: Sequence[LabelRow], model: MatchModel, embedder: Embedder, seeds: Seeds
) -> Iterator[Judgement]:
    rivals = rival_entities(rows)
    by_vendor: dict[str, dict[str, list[LabelledEntity]]] = defaultdict(lambda: defaultdict(list))
    for entity in entities:
        by_vendor[entity.origin][entity.vendor].append(entity)
    for origin, vendors in by_vendor.items():
        known = [row.known for row in rows if row.origin == origin]
        seeded = list(seeds(origin))
        matcher = Matcher(model, embedder, Corpus([*seeded, *known]))
        others = {mapping.connector for mapping in seeded}
        for vendor, asked in vendors.items():
            view = matcher.hiding({vendor, *(other for other in others if same_vendor(vendor, other))})
            yield Judgement(
                joined(_judge_fields(entity, view) for entity in asked),
                joined(
                    _judge_entity(question, gold, origin, view)
                    for question, gold in entity_questions(asked, rivals[origin])
                ),
            )


def _judge_entity(question: EntityQuestion, gold: frozenset[str], origin: str, matcher: Matcher) -> Judged:
    others = {name: fields for name, fields in question.entities.items() if name not in gold}
    asked = [question, replace(question, entities=others)] if others else [question]
    likely = [matcher.score_entities(one) for one in asked]
    order = np.argsort(-likely[0], kind="stable")
    right = np.array([name in gold for name in question.entities])[order]
    mapped = np.array([True, False])[: len(asked)]
    return Judged(
        origins=np.full(len(asked), origin),
        vendors=np.full(len(asked), question.connector),
        probability=np.array([found.max() for found in likely]),
        right=right[0] & mapped,
        nothing=np.array([1 - found.sum() for found in likely]),
        reciprocal_rank=np.where(mapped, 1 / (right.argmax() + 1), 0.0),
        mapped=mapped,
        renamed=np.full(len(asked), bare(question.source_entity) not in map(bare, gold)),
    )


def _judge_fields(entity: LabelledEntity, matcher: Matcher) -> Judged:
    _, right, nothing = matcher.score(entity.question)
    gold = np.array([[target.name in fields for target in entity.question.targets] for fields in entity.gold])
    order = np.argsort(-right, axis=1, kind="stable")
    in_order = np.take_along_axis(gold, order, axis=1)
    mapped = np.asarray(gold.any(axis=1))
    each = np.arange(len(right))
    return Judged(
        origins=np.full(len(right), entity.origin),
        vendors=np.full(len(right), entity.vendor),
        probability=right[each, order[:, 0]],
        right=in_order[:, 0],
        nothing=nothing,
        reciprocal_rank=np.where(mapped, 1 / (in_order.argmax(axis=1) + 1), 0.0),
        mapped=mapped,
        renamed=np.array(entity.renamed),
    )
