"""The signals of every (source field, canonical field) pair of one entity, as a grid of numbers each.

Names as such, known mappings, types, and the competition between them. What they add up to is fitted, in
`mapping.score_model`. Nothing here tells the size of the entity or of its canonical counterpart: in labels, that
tells who collected them.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from rapidfuzz import fuzz, process
from rapidfuzz.distance import JaroWinkler

from mapping.candidates import FieldDescription, TargetField
from mapping.competition import lead, rank
from mapping.concepts import Words
from mapping.evidence import Evidence, TargetEvidence
from mapping.field_groups import group_signals, groups_of
from mapping.field_tokens import NAME_CHARACTERS, Tokenizer, bare
from mapping.field_types import (
    FAMILIES,
    family_of,
    looks_like_flag,
    looks_like_id,
    looks_like_time,
    looks_like_url,
    told_by_format,
    wanted_families,
)
from mapping.similarity import NameReader, Names, blend, by_grams, by_letters, by_meaning, by_vectors
from mapping.sparse_rows import Floats

_KERNEL: Final = 0.06  # how fast a known name counts less as it differs, in similarity
_NEAR: Final = 0.93
_SAME: Final = 0.9999  # the same words, rounding aside

Grids = dict[str, Floats]


@dataclass(frozen=True)
class Question:
    """One source entity and the canonical fields it may have."""

    connector: str
    source_entity: str
    canonical_entity: str
    fields: Sequence[FieldDescription]
    targets: Sequence[TargetField]


@dataclass(frozen=True)
class PairSignals:
    """`grids`: signal → (fields, targets). `blend` is the fixed score that retrieval ranks by."""

    grids: Grids
    blend: Floats


class PairReader:
    """Computes the signals of one question at a time."""

    def __init__(self, tokenizer: Tokenizer, reader: NameReader, evidence: Evidence) -> None:
        self._tokenizer = tokenizer
        self._reader = reader
        self._evidence = evidence

    def signals(self, question: Question, names: "NameSignals | None" = None) -> PairSignals:
        """All signals of all pairs; needs at least one field and one target. `names` may be at hand already."""
        source, target, grids = names or self.read_names(question)
        known = self._evidence.of(question.canonical_entity, question.targets)
        own = (grids["blend_core"] + grids["blend_whole"]) / 2
        evidence = {
            **_known_signals(source, known, own),
            **self._judged_signals(source.core),
            **_type_signals(question, target, known),
        }
        evidence |= self._group_signals(question, known, own, evidence["known_best"])
        mixed = np.maximum(own, evidence["known_best"]) + 0.2 * evidence["known_share"]
        rivals = {"mixed": mixed, "known_share": evidence["known_share"], "blend_whole": grids["blend_whole"]}
        found = {**grids, **evidence, **_rivals(rivals)}
        return PairSignals({name: np.broadcast_to(grid, own.shape) for name, grid in found.items()}, mixed)

    def read_names(self, question: Question) -> "NameSignals":
        """What the names alone tell, whatever is known of other vendors."""
        fields, targets = question.fields, question.targets
        whole = [self._tokenizer.path(field.path) for field in fields]
        aims = [self._tokenizer.path(target.name) for target in targets]
        source = _Variants(
            self._reader.read([words.whole for words in whole]),
            self._reader.read([words.last for words in whole]),
            self._reader.read([self._core(question, field.path) for field in fields]),
        )
        target = _Variants(
            self._reader.read([words.whole for words in aims]),
            self._reader.read([words.last for words in aims]),
            self._reader.read([self._target_core(question, target.name) for target in targets]),
        )
        grids = {
            **_name_signals(source, target),
            **self._cover_signals(source.whole, target.whole, question),
            **_static_signals(question, source, target),
        }
        return source, target, grids

    def _core(self, question: Question, path: str) -> Words:
        return self._evidence.core(path, question.connector, question.source_entity, question.canonical_entity)

    def _target_core(self, question: Question, name: str) -> Words:
        return self._evidence.core(name, "", "", question.canonical_entity)

    def _cover_signals(self, source: Names, target: Names, question: Question) -> Grids:
        """Which share of a name's weight the other one says too, word by word, by a concept or the word itself."""
        surroundings = self._reader.read(
            [(*self._tokenizer.name(question.canonical_entity), *self._tokenizer.name(question.source_entity))]
        )
        source_words, source_weights, source_lengths = self._reader.axes_of_words(source)
        target_words, target_weights, target_lengths = self._reader.axes_of_words(target)
        said = (source_words.dot(target_words) > 0).astype(np.float32)
        source_starts = np.concatenate([[0], np.cumsum(source_lengths)[:-1]])
        target_starts = np.concatenate([[0], np.cumsum(target_lengths)[:-1]])
        by_target = np.maximum.reduceat(said, target_starts, axis=1)  # source words x targets
        by_source = np.maximum.reduceat(said, source_starts, axis=0)  # sources x target words
        expected = (source_words.dot(self._reader.axes_of_words(surroundings)[0]) > 0).any(axis=1)
        uncovered = (1 - by_target) * (source_weights * np.where(expected, 0.15, 1.0))[:, None]
        source_total = np.add.reduceat(source_weights, source_starts)[:, None]
        target_total = np.add.reduceat(target_weights, target_starts)[None, :]
        return {
            "field_covered": np.add.reduceat(by_target * source_weights[:, None], source_starts, axis=0) / source_total,
            "foreign_words": np.add.reduceat(uncovered, source_starts, axis=0),
            "target_covered": np.add.reduceat(by_source * target_weights, target_starts, axis=1) / target_total,
            "target_unsaid": np.add.reduceat((1 - by_source) * target_weights, target_starts, axis=1),
        }

    def _group_signals(self, question: Question, known: TargetEvidence, own: Floats, best: Floats) -> Grids:
        groups, members = groups_of([field.path for field in question.fields])
        alike = np.maximum(own, best)
        grouped = np.array(["." in target.name for target in question.targets])
        if grouped.any():
            named = self._reader.read([self._tokenizer.name(member) for member in members])
            by_member = _best(blend(named, known.core), (known.counts[:, :-1] > 0) & grouped)
            alike = np.where(grouped, np.maximum(alike, by_member), alike)
        return {"member_best": alike, **group_signals(groups, [target.name for target in question.targets], alike)}

    def _judged_signals(self, core: Names) -> Grids:
        counts = np.array([self._evidence.judged(words) for words in core.words], np.float32).reshape(-1, 2)
        mapped, nothing = counts[:, :1], counts[:, 1:]
        return {"nothing_elsewhere": np.log1p(nothing), "nothing_share": nothing / (mapped + nothing + 1)}


@dataclass(frozen=True)
class _Variants:
    """Names of fields: the whole path, its last step, and the path without what its surroundings say."""

    whole: Names
    last: Names
    core: Names


NameSignals = tuple[_Variants, _Variants, Grids]


def _name_signals(source: _Variants, target: _Variants) -> Grids:
    grids: Grids = {}
    for variant in ("core", "whole", "last"):
        left, right = getattr(source, variant), getattr(target, variant)
        letters, vectors, meaning = by_letters(left, right), by_vectors(left, right), by_meaning(left, right)
        grids |= {
            f"letters_{variant}": letters,
            f"vectors_{variant}": vectors,
            f"meaning_{variant}": meaning,
            f"grams_{variant}": by_grams(left, right),
            f"blend_{variant}": (letters + vectors + meaning) / 3,
            f"same_{variant}": (letters >= 1.0).astype(np.float32),
        }
    grids["winkler_core"] = process.cdist(
        source.core.texts, target.core.texts, scorer=JaroWinkler.similarity, dtype=np.float32
    )
    grids["partial_core"] = (
        process.cdist(source.core.texts, target.core.texts, scorer=fuzz.partial_ratio, dtype=np.float32) / 100
    )
    grids["meaning_last_whole"] = by_meaning(source.last, target.whole)
    grids["meaning_whole_last"] = by_meaning(source.whole, target.last)
    return grids


def _known_signals(source: _Variants, known: TargetEvidence, own: Floats) -> Grids:
    core, whole = blend(source.core, known.core), blend(source.whole, known.whole)
    mixed = 0.6 * core + 0.4 * whole
    positive, negative = known.counts[:, :-1], known.counts[:, -1]
    weight = np.exp((mixed - 1) / _KERNEL)
    support, against = weight @ positive, (weight @ negative)[:, None]
    elsewhere = blend(source.core, known.elsewhere)
    support_elsewhere = np.exp((elsewhere - 1) / _KERNEL) @ known.elsewhere_counts
    best = _best(mixed, positive > 0)
    near = (mixed >= _NEAR).astype(np.float32)
    same = (core >= _SAME).astype(np.float32)
    agree, dissent = same @ positive, (same @ negative)[:, None]
    judged = agree.sum(axis=1, keepdims=True) + dissent
    return {
        "exact_support": np.log1p(agree),
        "exact_share": agree / (judged + 0.5),
        "exact_against": np.log1p(judged - agree),
        "nothing_exact": np.log1p(dissent),
        "known_best": best,
        "known_best_core": _best(core, positive > 0),
        "known_best_whole": _best(whole, positive > 0),
        "known_support": np.log1p(support),
        "known_share": support / (support.sum(axis=1, keepdims=True) + against + 0.3),
        "known_near": np.log1p(near @ positive),
        "nothing_best": _best(mixed, negative[:, None] > 0),
        "nothing_support": np.log1p(against),
        "nothing_here_share": against / (support + against + 0.3),
        "elsewhere_best": np.maximum(own, _best(elsewhere, known.elsewhere_counts > 0)),
        "elsewhere_support": np.log1p(support_elsewhere),
        "elsewhere_share": support_elsewhere / (support_elsewhere.sum(axis=1, keepdims=True) + 0.3),
        "usual": (known.vendors_of / known.vendors)[None, :],
        "usual_count": np.log(known.vendors_of)[None, :],
    }


def _best(similarity: Floats, applies: NDArray[np.bool_]) -> Floats:
    """(fields, columns): the highest similarity among the rows of `applies` (names, columns) that apply; else 0."""
    result = np.zeros((similarity.shape[0], applies.shape[1]), np.float32)
    for column in range(applies.shape[1]):
        names = np.flatnonzero(applies[:, column])
        if names.size:
            result[:, column] = similarity[:, names].max(axis=1)
    return result


def _type_signals(question: Question, target: _Variants, known: TargetEvidence) -> Grids:
    wanted = np.array(
        [
            wanted_families(field, words, field.name)
            for field, words in zip(question.targets, target.whole.words, strict=True)
        ],
        np.float32,
    )
    counts = known.families
    likely = (counts + 2 * wanted) / (counts.sum(axis=1, keepdims=True) + 2)
    usual = likely.mean(axis=0)
    families = [family_of(field.json_type, field.format, field.shapes) for field in question.fields]
    fit = np.zeros((len(families), len(question.targets)), np.float32)
    chance = np.full_like(fit, 0.5)
    for row, family in enumerate(families):
        if family is not None:
            place = FAMILIES.index(family)
            fit[row] = np.log((likely[:, place] + 0.01) / (usual[place] + 0.01))
            chance[row] = likely[:, place]
        told = [told_by_format(question.fields[row].format, words) for words in target.whole.words]
        if told[0] is not None:
            chance[row] = told
            fit[row] = np.log((chance[row] + 0.01) / (chance[row].mean() + 0.01))
    return {"type_fit": fit, "type_chance": chance}


def _static_signals(question: Question, source: _Variants, target: _Variants) -> Grids:
    paths = [field.path for field in question.fields]
    names = [field.name for field in question.targets]
    depth = np.array([min(path.count("."), 4) for path in paths], np.float32)[:, None]
    target_depth = np.array([min(name.count("."), 4) for name in names], np.float32)[None, :]
    lists = np.array(["[]" in path for path in paths], np.float32)[:, None]
    described = np.array([bool(target.synonyms) for target in question.targets], np.float32)[None, :]
    grids: Grids = {"depth": depth, "target_depth": target_depth, "deeper": depth - target_depth, "in_list": lists}
    grids["described"] = described
    grids["same_bare"] = _spelt_the_same(paths, names)
    grids["same_bare_last"] = _spelt_the_same(map(_last_step, paths), map(_last_step, names))
    tests: Mapping[str, tuple[list[bool], list[bool]]] = {
        "id": ([looks_like_id(w) for w in source.whole.words], [looks_like_id(w) for w in target.whole.words]),
        "time": ([looks_like_time(w) for w in source.whole.words], [looks_like_time(w) for w in target.whole.words]),
        "url": ([looks_like_url(w) for w in source.whole.words], [looks_like_url(w) for w in target.whole.words]),
        "flag": (
            [looks_like_flag(p, w) for p, w in zip(paths, source.whole.words, strict=True)],
            [looks_like_flag(n, w) for n, w in zip(names, target.whole.words, strict=True)],
        ),
    }
    for name, (ours, theirs) in tests.items():
        left, right = np.array(ours, np.float32)[:, None], np.array(theirs, np.float32)[None, :]
        grids[f"is_{name}"] = left
        grids[f"both_{name}"] = left * right
        grids[f"differs_{name}"] = np.abs(left - right)
    return grids


def _spelt_the_same(paths: Iterable[str], names: Iterable[str]) -> Floats:
    """(paths, names): 1 where only case and marks differ."""
    left, right = ([bare(text[-NAME_CHARACTERS:]) for text in texts] for texts in (paths, names))
    same: Floats = (np.array(left)[:, None] == np.array(right)[None, :]).astype(np.float32)
    return same


def _last_step(path: str) -> str:
    return path.rpartition(".")[2]


def _rivals(scores: Grids) -> Grids:
    grids: Grids = {}
    for name, grid in scores.items():
        grids[f"{name}_lead"] = lead(grid, 1)
        grids[f"{name}_lead_of_fields"] = lead(grid, 0)
        grids[f"{name}_rank"] = rank(grid, 1)
        grids[f"{name}_rank_of_fields"] = rank(grid, 0)
    return grids
