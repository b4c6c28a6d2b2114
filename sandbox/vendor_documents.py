"""What a generated vendor shows: playing, spec, OpenAPI document, records, and the truth about its fields."""

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Final

from mapping.path import quoted
from sandbox.dataset import Dataset
from sandbox.field_list import kind_of
from sandbox.generated_vendors import MadeEntity, MadeVendor
from sandbox.vendor import Vendor

SAMPLES: Final = 8
_POOL: Final = 100
_FORMATS: Final = {"date": "date", "date-time": "date-time"}
_TYPES: Final = {"string": "text", "integer": "integer", "number": "number", "boolean": "boolean", "date": "date"} | {
    "date-time": "datetime", "object": "object", "array": "array", "*": "text",
}  # fmt: skip
_ERROR: Final = {"error": {"message": "{message}"}}

# way of paging → (as the vendor does it, as its spec says it)
_SIZE: Final = {"in": "query:limit", "default": 25, "most": 200}
_ASKED: Final = {"size_param": "limit", "page_size": 100}
_PAGINGS: Final[dict[str, tuple[dict[str, Any], dict[str, Any]]]] = {
    "cursor": (
        {"position": {"in": "query:cursor"}, "envelope": {"items": "$records", "next_cursor": "$next"}},
        {"kind": "cursor", "cursor_param": "cursor", "cursor_path": "next_cursor"},
    ),
    "offset": (
        {"position": {"in": "query:offset", "kind": "offset"}, "envelope": {"data": "$records", "total": "$total"}},
        {"kind": "offset", "cursor_param": "offset", "total_path": "total"},
    ),
    "page": (
        {"position": {"in": "query:page", "kind": "page"}, "envelope": {"results": "$records", "pages": "$pages"}},
        {"kind": "page", "cursor_param": "page", "pages_path": "pages"},
    ),
    "link_header": (
        {"position": {"in": "query:page", "kind": "page"}, "link_header": True},
        {"kind": "link_header"},
    ),
    "next_url": (
        {"position": {"in": "query:after"}, "envelope": {"records": "$records", "links": {"next": "$next_url"}}},
        {"kind": "next_url", "cursor_path": "links.next"},
    ),
    "last_record_id": (
        {
            "position": {"in": "query:starting_after", "kind": "id"},
            "envelope": {"data": "$records", "has_more": "$more"},
        },
        {"kind": "last_record_id", "cursor_param": "starting_after", "more_path": "has_more"},
    ),
}


@dataclass(frozen=True, slots=True)
class TrueField:
    """What is right for one field: its canonical counterpart, or None if it has none."""

    vendor: str
    entity: str
    field: str
    json_type: str
    canonical_entity: str | None
    canonical_field: str | None


def playing(made: MadeVendor) -> Vendor:
    """The vendor as the sandbox plays it."""
    way, header = _way(made)
    paging = {"size": _SIZE} | _PAGINGS[way][0]
    error = {"body": _ERROR}
    raw = {
        "name": made.name,
        "auth": {"header": "X-API-Key"} if header else {"bearer": True},
        "errors": {
            "auth": error | {"status": 401},
            "not_found": error | {"status": 404},
            "bad_request": error | {"status": 400},
            "limit": error | {"status": 429, "headers": {"Retry-After": "{seconds}"}},
            "server": error | {"status": 500},
        },
        "pool": _POOL,
        "pagings": {"list": paging},
        "fields": {
            "path": "/meta/{object}/fields",
            "within": made.style.wrapper,
            "envelope": {"fields": "$fields"},
            "field": {"name": "$name", "type": "$type", "label": "$label"},
            "types": _TYPES,
        },
        "entities": {
            entity.name: {
                "path": f"/api/{entity.name}s",
                "paging": "list",
                "object": entity.name,
                "ids": {"id": _id_form(made)},
                "record": entity.template(),
            }
            for entity in made.entities
        },
    }
    return Vendor.model_validate(raw)


def connector_spec(made: MadeVendor) -> dict[str, Any]:
    """The vendor's spec, as it would lie in `connector_specs/`."""
    way, header = _way(made)
    host = f"https://{made.name}.vendor.example"
    spec: dict[str, Any] = {
        "name": made.name,
        "api_base_url": host,
        "auth": {"kind": "api_key", "name": "X-API-Key"} if header else {"kind": "bearer"},
        "openapi_spec_url": f"{host}/openapi.json",
        "entities": {},
    }
    for entity in made.entities:
        spec["entities"][entity.name] = {
            "endpoint": f"/api/{entity.name}s",
            "records_path": _records_path(way),
            "pagination": _PAGINGS[way][1] | _ASKED,
            "primary_key": [entity.fields[0].path],
            "fields_endpoint": {
                "endpoint": f"/meta/{entity.name}/fields",
                "fields_path": "fields",
                "prefix": made.style.wrapper or "",
            },
        } | ({"canonical_entity": entity.canonical_entity} if entity.canonical_entity else {})
    return spec


def samples(made: MadeVendor, entity: MadeEntity, count: int = SAMPLES, seed: int = 7) -> list[dict[str, Any]]:
    """The first `count` records of an entity."""
    dataset = Dataset(playing(made), entity.name, count, seed)
    return [dataset.record(index) for index in range(count)]


def true_fields(made: MadeVendor, seed: int = 7) -> Iterator[TrueField]:
    """The truth about every field, with the JSON type that its records have."""
    for entity in made.entities:
        types = _leaf_types(samples(made, entity, seed=seed))
        for field in entity.fields:
            target = entity.canonical_entity if field.canonical_field else None
            json_type = types.get(field.path, "null")
            yield TrueField(made.name, entity.name, field.path, json_type, target, field.canonical_field)


def openapi_document(made: MadeVendor, seed: int = 7) -> dict[str, Any]:
    """The vendor's OpenAPI document: 3.0 or 3.1, with descriptions where the vendor writes them."""
    modern = made.number % 2 == 0
    schemas = {}
    paths = {}
    way, _ = _way(made)
    for entity in made.entities:
        texts = {field.path: field.description for field in entity.fields if field.description}
        schemas[entity.name] = _schema(_merged(samples(made, entity, seed=seed)), "", texts, modern=modern)
        reference = {"$ref": f"#/components/schemas/{entity.name}"}
        paths[f"/api/{entity.name}s"] = {"get": _operation(entity, way, reference)}
    return {
        "openapi": "3.1.0" if modern else "3.0.3",
        "info": {"title": f"{made.name} API", "version": "1.0.0"},
        "servers": [{"url": f"https://{made.name}.vendor.example"}],
        "paths": paths,
        "components": {"schemas": schemas},
    }


def _operation(entity: MadeEntity, way: str, reference: dict[str, str]) -> dict[str, Any]:
    array = {"type": "array", "items": reference}
    path = _records_path(way)
    body = array if path == "@" else {"type": "object", "properties": {path: array} | _paging_properties(way)}
    cursor = _PAGINGS[way][1].get("cursor_param")
    names = ["limit", *([cursor] if cursor else [])]
    return {
        "operationId": f"list_{entity.name}s",
        "parameters": [{"name": name, "in": "query", "schema": {"type": "string"}} for name in names],
        "responses": {"200": {"description": "A page.", "content": {"application/json": {"schema": body}}}},
    }


def _paging_properties(way: str) -> dict[str, Any]:
    known: dict[str, dict[str, Any]] = {
        "cursor": {"next_cursor": {"type": "string"}},
        "offset": {"total": {"type": "integer"}},
        "page": {"pages": {"type": "integer"}},
        "next_url": {"links": {"type": "object", "properties": {"next": {"type": "string", "format": "uri"}}}},
        "last_record_id": {"has_more": {"type": "boolean"}},
    }
    return known.get(way, {})


def _records_path(way: str) -> str:
    envelope = _PAGINGS[way][0].get("envelope", {})
    return next((name for name, value in envelope.items() if value == "$records"), "@")


def _way(made: MadeVendor) -> tuple[str, bool]:
    chance = random.Random(f"paging/{made.name}/{made.number}")  # noqa: S311  # no secret
    return chance.choice(sorted(_PAGINGS)), chance.random() < 0.4


def _id_form(made: MadeVendor) -> str | int:
    if made.style.id == "int":
        return 1000 + made.number
    return "5f{x}b0fc9ab1" if made.style.id == "hex" else "{x}-7c5e-4a11-a811-000d3a33f3c3"


def _merged(records: list[dict[str, Any]]) -> Any:
    """One value that has every key of all, and for each the first value that isn't null."""
    whole: Any = None
    for record in records:
        whole = _merge(whole, record)
    return whole


def _merge(known: Any, value: Any) -> Any:
    if isinstance(known, dict) and isinstance(value, dict):
        return {key: _merge(known.get(key), value.get(key)) for key in {**known, **value}}
    if isinstance(known, list) and isinstance(value, list):
        return [_merge(known[0] if known else None, value[0] if value else None)] if known or value else []
    return value if known is None else known


def _leaf_types(records: list[dict[str, Any]]) -> dict[str, str]:
    found: dict[str, str] = {}
    _walk(_merged(records), "", lambda path, value: found.setdefault(path, _json_type(value)))
    return found


def _json_type(value: Any) -> str:
    kind = kind_of(value)
    return "string" if kind in _FORMATS else kind


def _walk(value: Any, path: str, see: Callable[[str, Any], object]) -> None:
    see(path, value)
    if isinstance(value, dict):
        for key, inner in value.items():
            _walk(inner, _below(path, key), see)
    elif isinstance(value, list):
        for inner in value:
            _walk(inner, f"{path}[]", see)


def _below(path: str, key: str) -> str:
    return f"{path}.{quoted(key)}" if path else quoted(key)


def _schema(value: Any, path: str, texts: dict[str, str], *, modern: bool) -> dict[str, Any]:
    kind = kind_of(value)
    if isinstance(value, dict):
        inner = {key: _schema(part, _below(path, key), texts, modern=modern) for key, part in value.items()}
        return {"type": "object", "properties": inner}
    if isinstance(value, list):
        items = _schema(value[0], f"{path}[]", texts, modern=modern) if value else {}
        return {"type": "array", "items": items} | _text(texts, path)
    json_type = "string" if kind in _FORMATS or kind == "null" else kind
    schema: dict[str, Any] = {"type": [json_type, "null"] if modern else json_type}
    if not modern:
        schema["nullable"] = True
    if kind in _FORMATS:
        schema["format"] = _FORMATS[kind]
    return schema | _text(texts, path)


def _text(texts: dict[str, str], path: str) -> dict[str, str]:
    return {"description": texts[path]} if path in texts else {}
