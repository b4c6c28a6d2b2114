"""The figures of an evaluation: accuracy, precision and recall at the bands, how far probabilities are off.

Each is a ratio of sums over vendors, so that an interval comes from drawing the vendors anew (percentile bootstrap,
Efron 1979): fields of one vendor aren't independent. A figure without anything to count is None.
"""

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from inference.evaluate_matcher import Judged
from mapping.decide import Bands

BANDS: Final = (0.95, 0.85)
# Of the shipped bands: from here on a mapping is in force, and a "nothing" is believed.
IN_FORCE: Final = Bands().provisional
NOTHING: Final = Bands().nothing
BINS: Final = 10
DRAWS: Final = 1000
FIGURES: Final = (
    "accuracy_at_1",
    "mrr",
    "ece",
    "rag_hit_rate",
    "hit_precision",
    "unseen_hit_rate",
    "nothing_precision",
    *(f"{figure}_{band}" for band in BANDS for figure in ("precision", "recall", "coverage")),
)
_TOLD: Final = ("accuracy_at_1", "mrr", "ece", "rag_hit_rate", "hit_precision", "unseen_hit_rate")

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Figure:
    """A value with its 95 % interval; None where there was nothing to count."""

    value: float | None
    low: float | None
    high: float | None


def figures(judged: Judged) -> dict[str, Figure]:
    """FIGURES of all queries."""
    sums, names = _sums(judged)
    values = _from_sums(sums.sum(axis=0, keepdims=True), names)
    draws = (
        np.random.default_rng(0).multinomial(len(sums), np.full(len(sums), 1 / len(sums)), size=DRAWS)
        if len(sums)
        else np.zeros((1, 0))
    )
    drawn = _from_sums(draws @ sums, names)
    return {name: _figure(values[name], drawn[name]) for name in FIGURES}


def as_json(judged: Judged) -> dict[str, Any]:
    """The figures without intervals, as programs read them."""
    values = {name: figure.value for name, figure in figures(judged).items()}
    return {
        "fields": len(judged.mapped),
        **{name: values[name] for name in _TOLD},
        "bands": {
            f"{band:.2f}": {figure: values[f"{figure}_{band}"] for figure in ("precision", "recall", "coverage")}
            for band in BANDS
        },
    }


@dataclass(frozen=True)
class Bin:
    """One row of a reliability table: queries whose best candidate has a probability of `low` to `high`."""

    low: float
    high: float
    count: int
    said: float  # mean probability
    right: float  # share


def reliability(judged: Judged) -> list[Bin]:
    """The bins that have queries, lowest first."""
    places = _bins(judged.probability)
    found = []
    for place in range(BINS):
        chosen = places == place
        if chosen.any():
            said, right = float(judged.probability[chosen].mean()), float(judged.right[chosen].mean())
            found.append(Bin(place / BINS, (place + 1) / BINS, int(chosen.sum()), said, right))
    return found


def _bins(probability: Floats) -> NDArray[np.int64]:
    return np.minimum((probability * BINS).astype(np.int64), BINS - 1)


def _sums(judged: Judged) -> tuple[Floats, list[str]]:
    """(vendors, names): what is summed up of each vendor's queries."""
    hit = judged.right & judged.mapped
    in_force = judged.probability >= IN_FORCE
    sure_of_nothing = (judged.nothing >= NOTHING) & ~in_force
    columns: dict[str, NDArray[Any]] = {
        "queries": np.ones(len(judged.mapped)),
        "mapped": judged.mapped,
        "hits": hit,
        "reciprocal": judged.reciprocal_rank,
        "settled": in_force | sure_of_nothing,
        "rightly": np.where(in_force, judged.right, sure_of_nothing & ~judged.mapped),
        "unseen": (judged.probability >= Bands().active) | sure_of_nothing,
        "nothings": sure_of_nothing,
        "true_nothings": sure_of_nothing & ~judged.mapped,
    }
    for band in BANDS:
        accepted = judged.probability >= band
        columns |= {f"accepted_{band}": accepted, f"right_{band}": accepted & judged.right}
    places = _bins(judged.probability)
    for place in range(BINS):
        columns[f"off_{place}"] = np.where(places == place, judged.probability - judged.right, 0.0)
    stacked = np.stack([np.asarray(column, np.float64) for column in columns.values()], axis=1)
    vendors, place_of = np.unique(judged.vendors, return_inverse=True)
    sums = np.zeros((len(vendors), stacked.shape[1]))
    np.add.at(sums, place_of, stacked)
    return sums, list(columns)


def _from_sums(sums: Floats, names: list[str]) -> dict[str, Floats]:
    total = dict(zip(names, sums.T, strict=True))
    found = {
        "accuracy_at_1": _ratio(total["hits"], total["mapped"]),
        "mrr": _ratio(total["reciprocal"], total["mapped"]),
        "ece": _ratio(np.sum([np.abs(total[f"off_{place}"]) for place in range(BINS)], axis=0), total["queries"]),
        "rag_hit_rate": _ratio(total["settled"], total["queries"]),
        "hit_precision": _ratio(total["rightly"], total["settled"]),
        "unseen_hit_rate": _ratio(total["unseen"], total["queries"]),
        "nothing_precision": _ratio(total["true_nothings"], total["nothings"]),
    }
    for band in BANDS:
        found[f"precision_{band}"] = _ratio(total[f"right_{band}"], total[f"accepted_{band}"])
        found[f"recall_{band}"] = _ratio(total[f"right_{band}"], total["mapped"])
        found[f"coverage_{band}"] = _ratio(total[f"accepted_{band}"], total["queries"])
    return found


def _ratio(part: Floats, whole: Floats) -> Floats:
    result: Floats = np.divide(part, whole, out=np.full(len(whole), np.nan), where=whole > 0)
    return result


def _figure(value: Floats, drawn: Floats) -> Figure:
    known = drawn[~np.isnan(drawn)]
    if np.isnan(value[0]) or not known.size:
        return Figure(None, None, None)
    low, high = np.percentile(known, [2.5, 97.5])
    return Figure(float(value[0]), float(low), float(high))
