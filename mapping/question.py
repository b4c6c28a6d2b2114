"""What a language model is asked about source fields, and what it may answer: a choice among candidates, no more.

Fields are told by name, type and shape, never by value. Names come from strangers, so they are cut and cleaned here.
Who is asked, and by which words, is up to `inference`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol

from mapping.profile import SHAPE_CHARACTERS
from schemas.messages import FieldEvidence

NONE: Final = "none"
UNSURE: Final = "unsure"
CHOICES: Final = 8
NAME_CHARACTERS: Final = 160
SHAPES_TOLD: Final = 3
# Of the vocabulary in mapping/transforms.py, those that need no constants.
TRANSFORMS: Final = (
    "copy",
    "to_string",
    "number",
    "boolean",
    "negate",
    "upper",
    "lower",
    "trim",
    "epoch_seconds",
    "epoch_millis",
    "iso_time",
    "iso_date",
    "first",
    "split",
)


@dataclass(frozen=True, slots=True)
class FieldQuestion:
    """One source field: `path` is whose it is, `description` what is told of it, `choices` the candidates' names."""

    path: str
    description: Mapping[str, Any]
    choices: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Question:
    """Fields of one source entity. `targets`: canonical field → what it means, for all that is a choice of any."""

    connector: str
    entity: str
    canonical_entity: str
    fields: tuple[FieldQuestion, ...]
    targets: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class FieldAnswer:
    """`target` None: no counterpart. `transform` None: the model isn't sure. `confidence` is the model's own word."""

    target: str | None
    transform: str | None
    confidence: float


@dataclass(frozen=True, slots=True)
class Reply:
    """Answers by path; `problems` says of every other path why there is none. Tokens as the endpoint counted them."""

    answers: Mapping[str, FieldAnswer]
    problems: Mapping[str, str]
    input_tokens: int
    output_tokens: int


class Proposer(Protocol):
    """Somebody who can be asked. `name` tells model and version."""

    @property
    def name(self) -> str: ...

    def most_tokens(self, question: Question) -> int:
        """An upper bound of the tokens that asking would take, both ways."""

    def price_usd(self, input_tokens: int, output_tokens: int) -> float: ...

    async def propose(self, question: Question) -> Reply:
        """Raises TransientError, Misconfigured, and InvalidRecord for an answer that is no use."""


def build_question(
    connector: str, entity: str, canonical_entity: str, fields: Sequence[FieldEvidence], docs: Mapping[str, str]
) -> Question:
    """The question about `fields`. `docs`: canonical field → its meaning."""
    asked = tuple(_field_question(field) for field in fields)
    named = {choice for field in asked for choice in field.choices}
    return Question(
        connector=clean(connector),
        entity=clean(entity),
        canonical_entity=canonical_entity,
        fields=asked,
        targets={name: docs.get(name, "") for name in sorted(named)},
    )


def clean(name: str) -> str:
    """`name` without characters that don't print, and no longer than a name is."""
    return "".join(character for character in name if character.isprintable())[:NAME_CHARACTERS]


def _field_question(field: FieldEvidence) -> FieldQuestion:
    profile = field.profile
    told: dict[str, Any] = {
        "name": clean(field.path),
        "types": list(field.types) or None,
        "shapes": [shape[:SHAPE_CHARACTERS] for shape in field.shapes[:SHAPES_TOLD]] or None,
        "format": clean(profile.format) if profile.format else None,
        "text_lengths": profile.lengths,
        "digits": profile.magnitudes,
        "different_values": profile.distinct_ratio,
        "present": round(profile.present / profile.records, 2) if profile.records else None,
        "chooses_from_words": profile.words,
    }
    return FieldQuestion(
        path=field.path,
        description={name: value for name, value in told.items() if value is not None},
        choices=tuple(candidate.field for candidate in field.candidates[:CHOICES]),
    )
