"""The form of a mapping file, as models: which keys an entry has, and of what type. What they mean is read in
`registry.yaml_mappings`; docs/yaml-mappings.md describes the form, its JSON Schema is made from here.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce
from operator import getitem
from typing import Annotated, Any, Final

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from mapping.mapping_set import ANY_TENANT, MappingStatus
from registry.yaml_document import Document, Place, UnreadableYaml

Text = Annotated[str, Field(min_length=1)]
Scalar = str | int | float | bool


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class TargetEntry(_Part):
    """One canonical field that a source path is read for."""

    canonical: Text = Field(description="Canonical field; `entity.field` if not of the entity's `canonical_entity`.")
    transform: Text = Field(default="copy", description="Of the vocabulary of transforms.")
    inputs: list[Text] = Field(default=[], description="Further source paths that the transform needs.")
    params: dict[str, Any] = Field(default={}, description="Constants of the transform.")
    fallbacks: list[Text] = Field(default=[], description="Read in order where the source is missing or null.")
    confidence: float = Field(default=1.0, ge=0, le=1, description="Probability that the mapping is right.")
    status: MappingStatus = Field(default="active", description="`provisional`: in force, not yet approved.")


class ConstantEntry(_Part):
    """A canonical field that always has the same value."""

    value: Scalar
    confidence: float = Field(default=1.0, ge=0, le=1)
    status: MappingStatus = "active"


class EntityEntry(_Part):
    """The mappings of one kind of record."""

    canonical_entity: Text | None = Field(default=None, description="What its records are in the canonical model.")
    primary_key: list[Text] = Field(default=[], description="Source paths that identify a record.")
    ignored: list[Text] = Field(default=[], description="Source paths that have no canonical counterpart.")
    fields: dict[Text, Text | TargetEntry | list[Text | TargetEntry]] = Field(
        default={}, description="Source path → canonical field, or several."
    )
    constants: dict[Text, Scalar | ConstantEntry] = Field(default={}, description="Canonical field → its value.")


class FileEntry(_Part):
    """A mapping file of AAM."""

    connector: Text = Field(description="The source system.")
    tenant: Text = Field(default=ANY_TENANT, description="Whose own mappings these are; * (or none): everybody's.")
    entities: dict[Text, EntityEntry] = Field(description="Kind of record → its mappings.")


@dataclass(frozen=True)
class Refusal:
    """What was not taken from a file, why, and what to do about it. `line` counts from 1."""

    line: int
    problem: str
    remedy: str

    def __str__(self) -> str:
        return f"line {self.line}: {self.problem}; {self.remedy}"


def schema_text() -> str:
    """The JSON Schema of a mapping file, for editors."""
    schema = {"$schema": "https://json-schema.org/draft/2020-12/schema", **FileEntry.model_json_schema()}
    return json.dumps(schema, indent=2, ensure_ascii=False) + "\n"


# How deep an entry lies that is refused without what is around it: entities/NAME/fields/PATH, entities/NAME.
_ENTRY_DEPTH: Final = {"fields": 4, "constants": 4}


def read_form(document: Document) -> tuple[FileEntry, list[Refusal]]:
    """The file without the entries that don't have the form, and these."""
    refused: list[Refusal] = []
    try:
        return FileEntry.model_validate(document.value), refused
    except ValidationError as error:
        wrong: dict[Place, tuple[int, str]] = {}
        for problem in error.errors():
            place = _place(document.value, problem["loc"])
            unit = place[: _ENTRY_DEPTH.get(str(place[2]), 2) if len(place) > 2 else 2]
            # A union tells of each of its members; the one that came furthest is meant.
            known = wrong.get(unit)
            if known is None or len(problem["loc"]) > known[0]:
                wrong[unit] = (len(problem["loc"]), _said(problem, place, document))
    for unit, (_, said) in wrong.items():
        if len(unit) < 2 or unit[0] != "entities":
            raise UnreadableYaml(document.line(unit), said, "see docs/yaml-mappings.md")
        refused.append(Refusal(document.line(unit), said, "see docs/yaml-mappings.md"))
    value = document.value
    for unit in sorted(wrong, key=len, reverse=True):  # what is in an entity before the entity
        *around, key = unit
        del reduce(getitem, around, value)[key]
    return FileEntry.model_validate(value), refused


def _place(value: Any, loc: Sequence[str | int]) -> Place:
    """The part of pydantic's location that is in the file: it names members of unions between."""
    place: list[str | int] = []
    for step in loc:
        inside = (isinstance(value, dict) and step in value) or (
            isinstance(value, list) and isinstance(step, int) and step < len(value)
        )
        if inside:
            value = value[step]
            place.append(step)
    return tuple(place)


def _said(problem: Any, place: Place, document: Document) -> str:
    where = ".".join(map(str, place)) or "the file"
    missing = f" ({problem['loc'][-1]!r})" if problem["type"] == "missing" else ""
    return f"{where}: {problem['msg'][0].lower()}{problem['msg'][1:]}{missing}"
