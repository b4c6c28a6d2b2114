"""Corrects the shipped model's probabilities by how they turned out here: what an installation's people have decided.

A fit to other people's labels is too sure of some vocabularies, and too careful with others. Two numbers a curve (Platt
1999), held near "as shipped", so that few decisions move little. What is judged to fit them is in `mapping.jackknife`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.special import logit

from mapping.score_model import sigmoid
from mapping.trees import Doubles

FEWEST_SOURCES: Final = 10
FEWEST_FIELDS: Final = 200
_STRENGTH: Final = 5.0  # of the pull to what was shipped: 1 over the variance expected of slope and shift
_LEAST: Final = 1e-9  # of a probability, and of its distance from 1

Flags = NDArray[np.bool_]


@dataclass(frozen=True)
class Outcomes:
    """One entry a field: the source it is of, what was said of its best candidate and of "nothing", what is true."""

    sources: NDArray[np.int64]
    candidate: Doubles
    is_candidate: Flags
    nothing: Doubles
    is_nothing: Flags

    @property
    def is_enough(self) -> bool:
        """Whether they are of enough sources to tell a vocabulary from a vendor."""
        return len(self.sources) >= FEWEST_FIELDS and len(np.unique(self.sources)) >= FEWEST_SOURCES

    def without(self, source: int) -> "Outcomes":
        """Those of the other sources."""
        kept = self.sources != source
        return Outcomes(*(getattr(self, name)[kept] for name in self.__dataclass_fields__))


@dataclass(frozen=True, slots=True)
class Curve:
    """What to make of a probability: the logistic of `slope` times its logit plus `shift`."""

    slope: float = 1.0
    shift: float = 0.0

    def __call__(self, probability: Doubles) -> Doubles:
        """As many, in the same order of likelihood."""
        return sigmoid(self.slope * _logit(probability) + self.shift)


@dataclass(frozen=True, slots=True)
class LocalCalibration:
    """A curve for candidates, one for "nothing"; `fields` is how many decided ones they were fitted to."""

    candidate: Curve = Curve()
    nothing: Curve = Curve()
    fields: int = 0

    @property
    def mark(self) -> str:
        """Names it beside the model's version; empty for "as shipped"."""
        if not self.fields:
            return ""
        numbers = (self.candidate.slope, self.candidate.shift, self.nothing.slope, self.nothing.shift)
        return "+" + ",".join(f"{number:.2f}" for number in numbers)

    def applied(self, right: Doubles, nothing: Doubles) -> tuple[Doubles, Doubles]:
        """(fields, targets) and (fields,), corrected; "nothing" never exceeds what the best candidate leaves over."""
        if not self.fields:
            return right, nothing
        corrected = self.candidate(right)
        return corrected, np.minimum(self.nothing(nothing), 1 - corrected.max(axis=1))


def fit_local(outcomes: Outcomes) -> LocalCalibration:
    """What the outcomes ask for; as shipped if they are too few."""
    if not outcomes.is_enough:
        return LocalCalibration()
    return LocalCalibration(
        fit_curve(outcomes.candidate, outcomes.is_candidate, outcomes.sources),
        fit_curve(outcomes.nothing, outcomes.is_nothing, outcomes.sources),
        len(outcomes.sources),
    )


def fit_curve(said: Doubles, came_true: Flags, sources: Sequence[int] | NDArray[np.int64]) -> Curve:
    """The curve from what was said to how often it is true. Fields of one source aren't independent: the more their
    errors go together, the less they count (quasi-likelihood, McCullagh & Nelder 1989, by the clustered variance)."""
    logits = _logit(said)
    free = _fitted(logits, came_true, _STRENGTH)
    return _fitted(logits, came_true, _STRENGTH * _overdispersion(logits, came_true, np.asarray(sources), free))


def _fitted(logits: Doubles, came_true: Flags, strength: float) -> Curve:
    signs = np.where(came_true, 1.0, -1.0)

    def loss(numbers: Doubles) -> tuple[float, Doubles]:
        away = numbers - (1.0, 0.0)
        margins = signs * (numbers[0] * logits + numbers[1])
        wrong = -signs * sigmoid(-margins)
        gradient = np.array([wrong @ logits, wrong.sum()]) + strength * away
        return float(np.logaddexp(0, -margins).sum() + strength * (away @ away) / 2), gradient

    slope, shift = minimize(loss, np.array([1.0, 0.0]), jac=True, method="BFGS").x
    return Curve(max(float(slope), 0.0), float(shift))


def _overdispersion(logits: Doubles, came_true: Flags, sources: NDArray[np.int64], curve: Curve) -> float:
    """By how much the errors vary more between sources than those of independent fields would; at least 1."""
    expected = sigmoid(curve.slope * logits + curve.shift)
    rows = np.stack([logits, np.ones_like(logits)], axis=1)
    _, groups = np.unique(sources, return_inverse=True)
    scores = np.zeros((groups.max() + 1, 2))
    np.add.at(scores, groups, rows * (came_true - expected)[:, None])
    information = (rows * (expected * (1 - expected))[:, None]).T @ rows + 1e-9 * np.eye(2)
    return max(1.0, float(np.trace(np.linalg.solve(information, scores.T @ scores))) / 2)


def _logit(probability: Doubles) -> Doubles:
    bounded: Doubles = logit(np.clip(probability, _LEAST, 1 - _LEAST))
    return bounded
