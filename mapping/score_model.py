"""The fitted model that turns signals into calibrated probabilities: data, shipped with AAM."""

from dataclasses import dataclass


@dataclass(frozen=True)
class MatchModel:
    """One fit. `version` names it wherever a probability is stored."""

    version: str


def load_model() -> MatchModel:
    """The model that AAM ships."""
    return MatchModel(version="0")
