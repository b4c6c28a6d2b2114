"""A schema made of an example, for documents that have nothing better: types and places, no values."""

from collections.abc import Mapping
from typing import Any, Final

from mapping.profile import json_type

_DEPTH: Final = 24
_ELEMENTS: Final = 20


def schema_of(example: Any, depth: int = _DEPTH) -> dict[str, Any]:
    """The schema that a value such as `example` has."""
    if isinstance(example, dict) and depth:
        return {"type": "object", "properties": {str(name): schema_of(v, depth - 1) for name, v in example.items()}}
    if isinstance(example, list) and depth:
        return {"type": "array", "items": {"anyOf": [schema_of(value, depth - 1) for value in example[:_ELEMENTS]]}}
    return {"type": json_type(example)}


def first_example(media: Mapping[str, Any]) -> Any:
    """An object or array that a response, a media type or a schema gives as its example; None where it has none."""
    named = media.get("examples")
    several = list(named.values()) if isinstance(named, dict) else named if isinstance(named, list) else []
    for found in (media.get("example"), media.get("x-example"), *several):
        value = found["value"] if isinstance(found, dict) and "value" in found and media is not found else found
        if isinstance(value, dict | list) and value and not (isinstance(value, dict) and "$ref" in value):
            return value
    return None
