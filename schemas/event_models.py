"""Canonical events as pydantic models, derived from the Avro schemas: there is no second list of fields.

They take the dict that an Avro decoder gives as well as the JSON form of an event, and dump to that JSON form:
decimals as strings, times as `schemas.utc_time` has them, dates ISO. The hot path does without them.
"""

from collections.abc import Mapping
from datetime import date
from decimal import Decimal
from functools import cache
from typing import Any, Final

from pydantic import BaseModel, ConfigDict, Field, create_model

from schemas.canonical_model import CanonicalEntity, load_entities, versions_of
from schemas.utc_time import UtcTime

_PLAIN: Final[Mapping[str, Any]] = {
    "string": str,
    "int": int,
    "long": int,
    "double": float,
    "boolean": bool,
    "decimal": Decimal,
    "timestamp-micros": UtcTime,
    "date": date,
}


class EventModel(BaseModel):
    """Base of all derived models: frozen, and fields of later versions are ignored.

    Pass `extra="forbid"` to `model_validate` to find misspelt ones.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")


def event_model(entity: str, version: int | None = None) -> type[EventModel]:
    """The model of `entity`'s events in `version` (None: the current one).

    Raises:
        KeyError: no such entity or version.
    """
    if version is None:
        return _model_of(entity, load_entities()[entity].version)
    return _model_of(entity, version)


def model_from(entity: CanonicalEntity) -> type[EventModel]:
    """The model of an entity that need not be one of the shipped ones."""
    return _record_model(entity.avro, {})


@cache
def _model_of(entity: str, version: int) -> type[EventModel]:
    for candidate in versions_of(entity):
        if candidate.version == version:
            return model_from(candidate)
    raise KeyError(f"{entity} has no version {version}")


def _record_model(schema: Mapping[str, Any], known: dict[str, type[EventModel]]) -> type[EventModel]:
    name = schema["name"].rpartition(".")[2]
    fields: dict[str, Any] = {field["name"]: _member(field, known) for field in schema["fields"]}
    # repeated uses of a record are by name, and always after this one
    known[name] = create_model(name, __base__=EventModel, __doc__=schema.get("doc"), **fields)
    return known[name]


def _member(field: Mapping[str, Any], known: dict[str, type[EventModel]]) -> Any:
    annotation = _annotation(field["type"], known)
    # pydantic copies a list or dict that is a default
    default = field.get("default", ...)
    return annotation, Field(default=default, description=field.get("doc"))


def _annotation(avro: Any, known: dict[str, type[EventModel]]) -> Any:
    match avro:
        case ["null", declared]:
            return _annotation(declared, known) | None
        case {"logicalType": logical}:
            return _PLAIN[logical]
        case {"type": "array", "items": items}:
            return list[_annotation(items, known)]  # type: ignore[misc]  # a type made at run time
        case {"type": "map", "values": values}:
            return dict[str, _annotation(values, known)]  # type: ignore[misc]  # a type made at run time
        case {"type": "record"}:
            return _record_model(avro, known)
        case str(name):
            return _PLAIN.get(name) or known[name.rpartition(".")[2]]
    raise TypeError(f"the canonical model knows no Avro type {avro}")
