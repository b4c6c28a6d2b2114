"""Weighs a language model's answer against what retrieval found: its word moves a probability, it never is one.

What a model says of its own confidence is no probability: of answers given with full confidence 1 to 4 % are wrong on
easy sets and 22 % on a hard one. So an answer counts as one more piece of evidence with the reliability of its band
there, and is multiplied, as odds, with the calibrated odds of retrieval.
"""

import math
from typing import Final

from mapping.mapping_set import Transform
from mapping.question import FieldAnswer
from mapping.suggest_transform import fits
from schemas.canonical_model import CanonicalField
from schemas.messages import FieldEvidence, ProposedTarget

# Stated confidence, at least → how often such an answer is right: midway between easy and hard sets.
_RELIABILITY: Final = ((0.95, 0.88), (0.85, 0.78), (0.75, 0.60), (0.65, 0.50))
_LEAST_RELIABILITY: Final = 0.40
# No answer makes certain, and none makes impossible, what retrieval had no idea of.
_FLOOR: Final = 0.02
SIGNAL: Final = "model"


def weigh(field: FieldEvidence, answer: FieldAnswer, targets: dict[str, CanonicalField]) -> FieldEvidence:
    """`field` with its probabilities after the model's `answer`; candidates best first."""
    reliability = next((right for least, right in _RELIABILITY if answer.confidence >= least), _LEAST_RELIABILITY)
    doubted = (1.0 - reliability) / max(1, len(field.candidates))
    odds = {
        c.field: _odds(c.probability) * _odds(_word(c.field, answer, reliability, doubted)) for c in field.candidates
    }
    nothing = _odds(field.nothing) * _odds(_word(None, answer, reliability, doubted))
    candidates = [_weighed(c, odds[c.field], answer, targets.get(c.field)) for c in field.candidates]
    candidates.sort(key=lambda candidate: -candidate.probability)
    return field.model_copy(
        update={
            "candidates": _at_most_one(candidates, _probability(nothing)),
            "nothing": _probability(nothing),
            "remark": "the model found no counterpart" if answer.target is None else f"the model chose {answer.target}",
        }
    )


def _word(target: str | None, answer: FieldAnswer, reliability: float, doubted: float) -> float:
    return reliability if answer.target == target else doubted


def _weighed(
    candidate: ProposedTarget, odds: float, answer: FieldAnswer, target: CanonicalField | None
) -> ProposedTarget:
    update: dict[str, object] = {"probability": _probability(odds)}
    if candidate.field == answer.target:
        update["signals"] = {**candidate.signals, SIGNAL: answer.confidence}
        proposed = Transform(op=answer.transform or "")
        if candidate.transform is None and answer.transform and target is not None and fits(proposed, target):
            # What the values' types didn't tell, the model can't know either: a person looks at it.
            update["note"] = f"{candidate.note}; the model suggests {answer.transform}".removeprefix("; ")
    return candidate.model_copy(update=update)


def _at_most_one(candidates: list[ProposedTarget], nothing: float) -> tuple[ProposedTarget, ...]:
    """A field is one thing: where the probabilities sum to more than 1, all shrink alike."""
    total = sum(candidate.probability for candidate in candidates) + nothing
    if total <= 1.0:
        return tuple(candidates)
    return tuple(c.model_copy(update={"probability": c.probability / total}) for c in candidates)


def _odds(probability: float) -> float:
    bounded = min(max(probability, _FLOOR), 1.0 - _FLOOR / 10)
    return bounded / (1.0 - bounded)


def _probability(odds: float) -> float:
    return odds / (1.0 + odds) if math.isfinite(odds) else 1.0
