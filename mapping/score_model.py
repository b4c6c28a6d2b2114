"""The fitted model that turns signals into calibrated probabilities: data, shipped with AAM, evaluated by numpy alone.

First a logistic regression over all signals of a pair; then boosted trees over its score, how that stands among its
rivals, and some signals again. A second set of trees tells how likely a field has no counterpart at all, which is then
weighed with what the best candidate leaves over; a second logistic regression tells which entity a source entity is.
The fit is `inference.fit_matcher`; its card says on what.
"""

import gzip
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cache, cached_property
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from mapping.competition import lead, rank
from mapping.sparse_rows import Floats
from mapping.trees import Doubles, Trees
from schemas.failures import Misconfigured

FORMAT: Final = 3
CANDIDATES: Final = 8  # of a field go to the second stage

_FILE: Final = Path(__file__).parent / "model" / "match_model.json.gz"
_LEFT_OVER: Final = 0.9  # of the logit of "nothing" is what the best candidate leaves over, the rest its own trees'
_NEVER: Final = -30.0  # logit of what the second stage doesn't see

# signals that the second stage sees again, with the sign that its trees must keep: no name that is more alike, and no
# further vendor that agrees, may make a pair less likely
SECOND_STAGE: Final[Mapping[str, int]] = {
    "letters_core": 1,
    "vectors_core": 1,
    "meaning_core": 1,
    "grams_core": 1,
    "blend_core": 1,
    "blend_whole": 1,
    "meaning_whole": 1,
    "letters_whole": 1,
    "letters_last": 1,
    "meaning_last": 1,
    "same_core": 1,
    "same_whole": 1,
    "same_bare": 1,
    "same_bare_last": 1,
    "winkler_core": 1,
    "meaning_last_whole": 1,
    "field_covered": 1,
    "target_covered": 1,
    "known_best": 1,
    "known_best_core": 1,
    "known_best_whole": 1,
    "known_support": 1,
    "known_share": 1,
    "known_near": 1,
    "exact_support": 1,
    "exact_share": 1,
    "elsewhere_best": 1,
    "elsewhere_support": 1,
    "elsewhere_share": 1,
    "usual": 1,
    "member_best": 1,
    "group_rest": 1,
    "group_lead": 1,
    "group_first": 1,
    "type_fit": 1,
    "type_chance": 1,
    "foreign_words": -1,
    "target_unsaid": -1,
    "exact_against": -1,
    "nothing_best": -1,
    "nothing_support": -1,
    "nothing_here_share": -1,
    "nothing_exact": -1,
    "nothing_elsewhere": -1,
    "nothing_share": -1,
    "depth": 0,
    "deeper": 0,
    "in_list": 0,
    "differs_id": 0,
    "differs_time": 0,
    "differs_flag": 0,
    "differs_url": 0,
    "is_id": 0,
    "described": 0,
}
_RIVALRY: Final = (1, 1, 1, -1, -1, -1, -1)  # signs of what `second_stage` puts before them
SECOND_STAGE_SIGNS: Final = (*_RIVALRY, *SECOND_STAGE.values())


@dataclass(frozen=True)
class Logistic:
    """Weights over standardised signals."""

    signals: tuple[str, ...]
    means: tuple[float, ...]
    scales: tuple[float, ...]
    weights: tuple[float, ...]
    intercept: float

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> "Logistic":
        """What `dataclasses.asdict` gave."""
        rows = {name: tuple(data[name]) for name in ("signals", "means", "scales", "weights")}
        return cls(**rows, intercept=data["intercept"])

    def logits(self, grids: Mapping[str, Floats]) -> Floats:
        """Of the shape that each of `grids` has."""
        factors, offset = self._folded
        stacked = np.stack([grids[name] for name in self.signals], axis=-1)
        logits: Floats = stacked @ factors + offset
        return logits

    @cached_property
    def _folded(self) -> tuple[Floats, np.float32]:
        factors = np.array(self.weights) / np.array(self.scales)
        return factors.astype(np.float32), np.float32(self.intercept - (factors * np.array(self.means)).sum())


@dataclass(frozen=True)
class MatchModel:
    """One fit. `version` names it wherever a probability is stored.

    `words` (word → vendors that use it, of `vendors`) is what names are split and weighed by.
    """

    version: str
    words: Mapping[str, int]
    vendors: int
    logistic: Logistic
    trees: Trees
    nothing: Trees
    entities: Logistic
    card: Mapping[str, Any]

    def probabilities(self, grids: Mapping[str, Floats], blend: Floats) -> tuple[Doubles, Doubles]:
        """(fields, targets): the probability that a target is right; (fields,): that the field has no counterpart."""
        logits = self.logistic.logits(grids)
        best = best_candidates(blend)
        rows = second_stage(logits, grids, best)
        judged = self.trees.predict(rows.reshape(-1, rows.shape[-1])).reshape(best.shape)
        result = np.full(logits.shape, _NEVER)
        np.put_along_axis(result, best, judged, axis=1)
        right = sigmoid(result)
        by_itself = self.nothing.predict(nothing_signals(logits, grids))
        nothing = sigmoid(_LEFT_OVER * -result.max(axis=1) + (1 - _LEFT_OVER) * by_itself)
        return right, np.minimum(nothing, 1 - right.max(axis=1))

    def entity_probabilities(self, grids: Mapping[str, Floats]) -> Doubles:
        """(entities,): the probability that each of them is the right one; what is left over is "none of them"."""
        odds = np.exp(np.clip(self.entities.logits(grids).astype(np.float64), -30, 30))
        result: Doubles = odds / (1 + odds.sum())
        return result

    def to_json(self) -> dict[str, Any]:
        """All of it, as `from_json` takes it."""
        return {
            "format": FORMAT,
            "version": self.version,
            "card": dict(self.card),
            "vendors": self.vendors,
            "words": dict(self.words),
            "logistic": asdict(self.logistic),
            "entities": asdict(self.entities),
            "trees": self.trees.to_json(),
            "nothing": self.nothing.to_json(),
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> "MatchModel":
        """Raises Misconfigured for a model of another format."""
        if data.get("format") != FORMAT:
            raise Misconfigured(f"the matching model has format {data.get('format')!r}; this version reads {FORMAT}")
        return cls(
            version=data["version"],
            words=data["words"],
            vendors=data["vendors"],
            logistic=Logistic.from_json(data["logistic"]),
            entities=Logistic.from_json(data["entities"]),
            trees=Trees.from_json(data["trees"]),
            nothing=Trees.from_json(data["nothing"]),
            card=data["card"],
        )


@cache
def load_model(path: Path = _FILE) -> MatchModel:
    """The model that AAM ships, or another one from a file that `write_model` wrote.

    Raises:
        Misconfigured: there is no such file, or it holds no model of this format.
    """
    try:
        data = json.loads(gzip.decompress(path.read_bytes()))
    except (OSError, ValueError, EOFError) as error:
        raise Misconfigured(f"{path} holds no matching model; `aam calibrate` writes one") from error
    return MatchModel.from_json(data)


def write_model(model: MatchModel, path: Path = _FILE) -> None:
    """The same bytes for the same model."""
    text = json.dumps(model.to_json(), ensure_ascii=False, separators=(",", ":"))
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(gzip.compress(text.encode(), compresslevel=9, mtime=0))


def best_candidates(blend: Floats) -> NDArray[np.int64]:
    """(fields, at most CANDIDATES): the targets that the second stage looks at, by the fixed blend."""
    return np.argsort(-blend, axis=1, kind="stable")[:, :CANDIDATES]


def second_stage(logits: Floats, grids: Mapping[str, Floats], best: NDArray[np.int64]) -> Floats:
    """(fields, candidates, SECOND_STAGE_SIGNS): what the trees see of each pair of a field and its `best`."""
    likely = sigmoid(logits)
    rivalry: Sequence[NDArray[Any]] = (
        logits,
        lead(logits, 1),
        lead(logits, 0),
        rank(logits, 1),
        rank(logits, 0),
        likely.sum(axis=1, keepdims=True) - likely,
        likely.sum(axis=0, keepdims=True) - likely,
    )
    each = np.arange(len(logits))[:, None]
    columns = (*rivalry, *(grids[name] for name in SECOND_STAGE))
    return np.stack([column[each, best] for column in columns], axis=-1).astype(np.float32)


# what the trees for "nothing" see of a field: (signal, how its row is summed up, sign that the trees must keep)
_NOTHING: Final = (
    ("blend_core", "max", -1),
    ("blend_whole", "max", -1),
    ("meaning_core", "max", -1),
    ("known_best", "max", -1),
    ("known_share", "max", -1),
    ("known_support", "max", -1),
    ("elsewhere_best", "max", -1),
    ("field_covered", "max", -1),
    ("foreign_words", "min", 1),
    ("nothing_best", "max", 1),
    ("nothing_support", "max", 1),
    ("nothing_here_share", "max", 1),
    ("exact_support", "max", -1),
    ("nothing_exact", "max", 1),
    ("nothing_elsewhere", "max", 1),
    ("nothing_share", "max", 1),
    ("member_best", "max", -1),
    ("group_rest", "max", 0),
    ("group_lead", "max", 0),
    ("group_first", "max", 0),
    ("type_fit", "max", -1),
    ("depth", "max", 0),
    ("in_list", "max", 0),
    ("is_id", "max", 0),
    ("is_time", "max", 0),
    ("described", "max", 0),
)
NOTHING_SIGNS: Final = (-1, -1, -1, -1, *(sign for _, _, sign in _NOTHING))


def nothing_signals(logits: Floats, grids: Mapping[str, Floats]) -> Floats:
    """(fields, NOTHING_SIGNS): what the trees for "nothing" see of each field."""
    likely = sigmoid(logits)
    each = np.arange(len(logits))
    best = logits.argmax(axis=1)
    columns: list[NDArray[Any]] = [
        logits[each, best],
        likely.sum(axis=1),
        lead(logits, 1)[each, best],
        lead(logits, 0)[each, best],
    ]
    columns += [getattr(grids[name], how)(axis=1) for name, how, _ in _NOTHING]
    return np.stack(columns, axis=-1).astype(np.float32)


def sigmoid(logits: NDArray[Any]) -> Doubles:
    """1 / (1 + e^-x), in double precision."""
    result: Doubles = 1 / (1 + np.exp(-np.clip(np.asarray(logits, np.float64), -60, 60)))
    return result
