"""What matching speaks about: a source field's description, the fields it may be, and how likely each one is.

No value of a record stands in any of these. What the probabilities are made of is in `mapping.matcher`; which of them
are good enough to act upon, others decide.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from schemas.canonical_model import CanonicalEntity

Vectors = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class FieldDescription:
    """One leaf of a source entity, told by name, type and shape.

    `json_type` is None if it isn't known; `presence` and `distinct_ratio` are shares (0–1) of the records seen;
    `format` is as in JSON Schema (`date-time`, `email`). What isn't known is left out and counts for nothing.
    """

    path: str
    json_type: str | None = None
    shapes: tuple[str, ...] = ()
    presence: float | None = None
    distinct_ratio: float | None = None
    enum: tuple[str, ...] = ()
    format: str | None = None


@dataclass(frozen=True, slots=True)
class TargetField:
    """One field of a canonical entity that a source field may be. `kind` is a `FieldKind`'s value, None if unknown."""

    entity: str
    name: str
    kind: str | None = None
    doc: str = ""
    synonyms: tuple[str, ...] = ()
    is_list: bool = False


@dataclass(frozen=True, slots=True)
class KnownMapping:
    """What is known of one source field: the canonical field it is, or None if it is none of the entity's. `seeded`:
    its source came with AAM, nobody decided it here."""

    connector: str
    source_entity: str
    path: str
    json_type: str | None
    canonical_entity: str
    canonical_field: str | None
    seeded: bool = False
    weight: float = 1.0


@dataclass(frozen=True, slots=True)
class Candidate:
    """A target with the calibrated probability that it is the right one, and the signals that this rests on."""

    target: TargetField
    probability: float
    signals: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class FieldMatch:
    """The candidates of one source field, best first, and the calibrated probability that it has no counterpart."""

    path: str
    candidates: tuple[Candidate, ...]
    nothing: float


@dataclass(frozen=True, slots=True)
class EntityCandidate:
    """A canonical entity that a source entity may be; None for "none of them"."""

    entity: str | None
    probability: float


class Embedder(Protocol):
    """Turns texts into vectors. Two embedders of one name give the same vectors for the same texts."""

    @property
    def name(self) -> str:
        """Model and version; vectors of different names are never compared."""

    @property
    def dimension(self) -> int:
        """Numbers in a vector."""

    def embed(self, texts: Sequence[str]) -> Vectors:
        """(len(texts), dimension), each row of length 1, or all zero for a text without any word."""


def targets_of(entity: CanonicalEntity) -> list[TargetField]:
    """All that a mapping can write of `entity`: members of a list of records as `addresses[].city`."""
    return [
        TargetField(
            entity=entity.name,
            name=path,
            kind=field.kind.value if field.kind else None,
            doc=field.doc,
            synonyms=field.synonyms,
            is_list=field.is_list,
        )
        for path, field in entity.targets()
    ]
