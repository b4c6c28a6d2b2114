"""Fields from a vendor's field-metadata endpoint (HubSpot properties, Salesforce describe, Pipedrive fields, GA4 …).

Where the entries are and what their parts are called stands in the spec's `fields_endpoint`; `Vendor.fields` fetches
them. The vendor's types are told by the spec, else by name: `int`, `currency`, `datetime`, `bool`.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final

from connectors.errors import BadResponse
from connectors.expressions import expression
from mapping.path import Path, parse, quoted
from schemas.connector_spec import FieldsEndpoint
from schemas.messages import JsonType, SourceField

FIELDS: Final = 10_000
ENUM_VALUES: Final = 200
_DESCRIPTION_CHARACTERS: Final = 300

# What stands in the name of a type → JSON type and format; the first that fits counts.
_BY_NAME: Final[tuple[tuple[str, JsonType, str | None], ...]] = (
    ("datetime", "string", "date-time"),
    ("date-time", "string", "date-time"),
    ("timestamp", "string", "date-time"),
    ("daterange", "object", None),
    ("timerange", "object", None),
    ("date", "string", "date"),
    ("bool", "boolean", None),
    ("checkbox", "boolean", None),
    ("int", "integer", None),
    ("long", "integer", None),
    ("seconds", "number", None),
    ("double", "number", None),
    ("float", "number", None),
    ("decimal", "number", None),
    ("number", "number", None),
    ("numeric", "number", None),
    ("currency", "number", None),
    ("monetary", "number", None),
    ("percent", "number", None),
    ("multi", "array", None),
    ("array", "array", None),
    ("json", "object", None),
    ("object", "object", None),
    ("address", "object", None),
    ("email", "string", "email"),
    ("url", "string", "uri"),
    ("uuid", "string", "uuid"),
)


def fields_of_entries(entries: Iterable[Any], where: FieldsEndpoint) -> list[SourceField]:
    """The fields that `entries` list, by path; one that is listed twice counts once.

    Raises:
        BadResponse: an entry has no name where the spec says.
    """
    found: dict[str, SourceField] = {}
    for position, entry in enumerate(entries):
        if len(found) >= FIELDS:
            raise BadResponse(f"the vendor lists more than {FIELDS} fields", "check fields_endpoint.fields_path")
        field = _field(entry, where, position)
        found.setdefault(field.path, field)
    return sorted(found.values(), key=lambda field: field.path)


def _field(entry: Any, where: FieldsEndpoint, position: int) -> SourceField:
    name = expression(where.name)(entry)
    if not isinstance(name, str) or not name:
        raise BadResponse(f"field {position} has no name at {where.name}", "check fields_endpoint.name")
    type_, format_ = _type_of(expression(where.type)(entry) if where.type else None, where)
    return SourceField(
        path=_path(name, where.prefix),
        types=() if type_ is None else (type_,),
        nullable=True,  # that a field is there says nothing of a record's value
        format=format_,
        enum=_enum(expression(where.enum)(entry) if where.enum else None),
        description=_text(expression(where.description)(entry) if where.description else None),
    )


def _path(name: str, prefix: str) -> str:
    """Under the prefix, itself a source path; a dot in a field's name is part of it."""
    return f"{parse(prefix)}.{quoted(name)}" if prefix else quoted(name)


def _type_of(told: Any, where: FieldsEndpoint) -> tuple[JsonType | None, str | None]:
    if not isinstance(told, str):
        return None, None
    if told in where.types:
        return where.types[told], _by_name(told)[1]
    return _by_name(told)


def _by_name(told: str) -> tuple[JsonType, str | None]:
    lowered = told.lower()
    return next(((type_, format_) for part, type_, format_ in _BY_NAME if part in lowered), ("string", None))


def _enum(values: Any) -> tuple[str, ...]:
    listed = values if isinstance(values, list) else []
    texts = [
        value if isinstance(value, str) else str(value) for value in listed if isinstance(value, str | int | float)
    ]
    return tuple(texts) if len(texts) <= ENUM_VALUES else ()


def _text(value: Any) -> str | None:
    return " ".join(value.split())[:_DESCRIPTION_CHARACTERS] if isinstance(value, str) and value.strip() else None


def with_sampled(listed: Sequence[SourceField], sampled: Sequence[SourceField]) -> list[SourceField]:
    """What the vendor lists, and beside it what only records show; of a path that both have, the vendor's word holds.

    A listed field that is an object or array in the records gives way to the leaves below it.
    """
    known = {field.path: field for field in listed}
    for field in sampled:
        if field.path not in known:
            for above in _above(field.path):
                known.pop(above, None)
            known[field.path] = field
    return sorted(known.values(), key=lambda field: field.path)


def _above(path: str) -> Iterator[str]:
    steps = parse(path).steps
    return (str(Path(steps[:count])) for count in range(1, len(steps)))
