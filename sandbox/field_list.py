"""A vendor's list of an entity's fields, as its metadata endpoint gives it, taken from the records themselves."""

import re
from collections.abc import Iterator
from typing import Any, Final

import orjson

from sandbox.dataset import Dataset
from sandbox.listing import fill

_SAMPLES: Final = 25
_DATE: Final = re.compile(r"\d{4}-\d\d-\d\d")
_DATE_TIME: Final = re.compile(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d.*")


def list_fields(dataset: Dataset) -> bytes:
    """The body of the answer."""
    fields = dataset.vendor.fields
    assert fields is not None
    types = fields.types
    listed = [
        fill(fields.field, {"$name": name, "$label": label_of(name), "$type": types.get(kind, types["*"])})
        for name, kind in field_types(dataset, fields.within)
    ]
    named = _named(fields.envelope, str(dataset.entity.object))
    return orjson.dumps(fill(named, {"$base": "", "$fields": listed}))


def field_types(dataset: Dataset, within: str | None) -> Iterator[tuple[str, str]]:
    """(name, JSON type, or date or date-time) of every field of the records, of those below `within` if it is given."""
    found: dict[str, str] = {}
    for index in range(min(_SAMPLES, dataset.count)):
        record = dataset.record(index)
        for name, value in (record[within] if within else record).items():
            if found.get(name, "null") == "null":
                found[name] = kind_of(value)
    yield from ((name, "string" if kind == "null" else kind) for name, kind in found.items())


def kind_of(value: Any) -> str:
    """The JSON type of a value, or date or date-time for a text of that form."""
    if isinstance(value, str):
        return "date" if _DATE.fullmatch(value) else "date-time" if _DATE_TIME.fullmatch(value) else "string"
    for kind, types in (("boolean", bool), ("integer", int), ("number", float), ("object", dict), ("array", list)):
        if isinstance(value, types):
            return kind
    return "null"


def label_of(name: str) -> str:
    """How a person would write a field's name."""
    words = re.sub(r"(?<=[a-z0-9])(?=[A-Z])|_+", " ", name.removesuffix("__c")).strip()
    return words[:1].upper() + words[1:].lower()


def _named(template: Any, name: str) -> Any:
    if isinstance(template, str):
        return template.replace("{object}", name)
    if isinstance(template, dict):
        return {key: _named(value, name) for key, value in template.items()}
    return template
