"""The reading operations of an OpenAPI document, and where in a response the records are: bare, in an envelope, nested.

What the records look like is read by `openapi_schema`; which operations give the same entity is decided in
`discover_openapi`. A place is judged by its name, its shape and what stands beside it, never by the vendor.
"""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal

from connectors.api_words import WORDS, bare
from connectors.openapi_examples import first_example, schema_of
from connectors.openapi_schema import SchemaReader, Schemas, View
from connectors.resource_names import ends_in_parameter, path_segments, resource_of, singular, words

Kind = Literal["list", "read"]

# Names of the array of records, and of objects that hold it, in any API.
LIST_NAMES: Final = frozenset(WORDS["list_names"])
CONTAINER_NAMES: Final = frozenset(WORDS["container_names"])
# What stands beside records; and of that, what stands in no record.
ENVELOPE_NAMES: Final = frozenset(
    map(bare, WORDS["envelope_names"] + WORDS["more_flags"] + WORDS["next_urls"] + WORDS["next_cursors"])
)
_STRONG: Final = ENVELOPE_NAMES - set(map(bare, WORDS["envelope_names_of_records_too"]))
_STATUS_NAMES: Final = frozenset(map(bare, WORDS["status_names"]))
_ONE_NAMES: Final = CONTAINER_NAMES | {"item", "object", "record", "entity", "value"}
_IDENTITIES: Final = frozenset({"id", "uuid", "guid", "gid"})
_LISTED: Final = frozenset({"list", "search", "query", "find", "browse"})
# Parameters that nobody has who gives one record.
_PAGE_PARAMETERS: Final = frozenset(WORDS["page_asking_parameters"])
MOST_NESTED: Final = 3
_PLAIN: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


@dataclass(frozen=True)
class Operation:
    """A way to get records. `records_path` are the steps to them in the response; `()`: it is them."""

    method: str
    path: str
    kind: Kind
    records_path: tuple[str, ...]
    records: Schemas
    response: View
    parameters: tuple[Mapping[str, Any], ...]
    response_headers: frozenset[str]
    definition: Mapping[str, Any]
    remark: str = ""
    """Why it is taken for a list where the document doesn't say so."""

    def required(self) -> list[str]:
        """Query parameters that must be given, and have no default; how a request is signed is not told here."""
        needed = [p for p in self.parameters if p.get("in") == "query" and p.get("required") is True]
        own = [p for p in needed if bare(str(p["name"])) not in WORDS["auth_parameters"]]
        return [str(p["name"]) for p in own if "default" not in {**p, **_object(p.get("schema"))}]

    def parameters_in(self, place: str) -> list[str]:
        """Names of the parameters there: query, path, header, body."""
        return [str(p["name"]) for p in self.parameters if p.get("in") == place]


def _object(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


@dataclass(frozen=True)
class _Found:
    """A place that may be that of the records."""

    path: tuple[str, ...]
    items: Schemas
    score: float


def reading_operations(reader: SchemaReader) -> Iterator[Operation]:
    """Every operation that gives records: GET, and POST where it lists or searches."""
    document = reader.document
    paths = document.root["paths"]
    collections = {path.rpartition("/")[0] for path in paths if isinstance(path, str) and ends_in_parameter(path)}
    for path, item in paths.items():
        found, _ = document.resolve(item)
        for method in ("get", "post"):
            definition = found.get(method)
            if isinstance(path, str) and isinstance(definition, dict):
                operation = _operation(reader, method, path, found, definition, is_collection=path in collections)
                if operation is not None:
                    yield operation


def _operation(
    reader: SchemaReader,
    method: str,
    path: str,
    item: Mapping[str, Any],
    definition: Mapping[str, Any],
    *,
    is_collection: bool,
) -> Operation | None:
    if method == "post" and not _lists(path, definition):
        return None
    response, headers = _success(reader, definition)
    view = reader.view(response) if response is not None else View()
    parameters = tuple(_parameters(reader, item, definition))
    kind, at, remark = _records(reader, method, path, response, view)
    if (at is None and not view.properties) or (at is not None and kind == "read" and not at.path):
        asked = {bare(str(p["name"])): str(p["name"]) for p in parameters if p.get("in") in ("query", "body")}
        why = _untold_list(path, view, asked, is_collection=is_collection)
        if why and (response is not None or _may_be_json(reader, definition)):
            kind, at, remark = "list", at or _Found((), {}, 0.0), why
    if at is None:
        return None
    return Operation(
        method=method.upper(),
        path=path,
        kind=kind,
        records_path=at.path,
        records=at.items,
        response=view,
        parameters=parameters,
        response_headers=headers,
        definition=definition,
        remark=remark,
    )


def _records(
    reader: SchemaReader, method: str, path: str, response: Any, view: View
) -> tuple[Kind, _Found | None, str]:
    """(what the response is said to hold, where, nothing to remark)."""
    if response is None:
        return "list", None, ""
    resource = resource_of(path)
    to_one = ends_in_parameter(path)
    at = _list_place(reader, view, response, set() if to_one else _names(resource), least=5.0 if to_one else 3.0)
    if at is None and method == "get":
        return "read", _single_place(reader, view, response, resource), ""
    return "list", at, ""


def _untold_list(path: str, view: View, asked: Mapping[str, str], *, is_collection: bool) -> str:
    """Why a path must list records although its response is described as one, or not at all; empty if it need not."""
    resource = resource_of(path)
    is_described = bool(view.properties) or view.is_array
    if ends_in_parameter(path) or not resource or (is_described and not _is_record(view)):
        return ""
    is_plural = singular(resource[-1]) != resource[-1]
    page = next((asked[name] for name in asked if name in _PAGE_PARAMETERS), None)
    said = "described as one record" if is_described else "not described"
    if page is not None and (is_plural or not is_described):
        return f"the response is {said}, but {page} asks for a page of many"
    return f"the response is {said}, but a path below picks one of many" if is_collection and is_plural else ""


def _may_be_json(reader: SchemaReader, definition: Mapping[str, Any]) -> bool:
    """Whether a success may have a body that the document doesn't describe, and none but JSON."""
    responses = definition.get("responses")
    document = reader.document
    for code, response in responses.items() if isinstance(responses, dict) else ():
        if str(code).upper() not in ("200", "2XX"):
            continue
        found, _ = document.resolve(response)
        if document.is_swagger:
            media = definition.get("produces", document.root.get("produces"))
            return not isinstance(media, list) or any("json" in str(name) for name in media)
        content = found.get("content")
        return not isinstance(content, dict) or not content or _json_media(found) is not None
    return False


def _lists(path: str, definition: Mapping[str, Any]) -> bool:
    """Whether a POST only reads, by what it is called."""
    segments = [segment for segment in path_segments(path) if "{" not in segment]
    last = words(segments[-1]) if segments else []
    operation = words(str(definition.get("operationId", "")))
    return bool(_LISTED & set(last)) or bool(operation and _LISTED & {operation[0], operation[-1]})


def _success(reader: SchemaReader, definition: Mapping[str, Any]) -> tuple[Any, frozenset[str]]:
    """(schema of the body when all goes well, or None; names of its headers in lower case)."""
    responses = definition.get("responses")
    if not isinstance(responses, dict):
        return None, frozenset()
    good = sorted(code for code in responses if str(code).upper() in ("200", "201", "203", "206", "2XX"))
    for code in good or ["default"]:
        response, _ = reader.document.resolve(responses.get(code))
        headers = response.get("headers")
        names = frozenset(str(name).lower() for name in headers) if isinstance(headers, dict) else frozenset()
        schema = _body(reader, response)
        if schema is not None:
            return schema, names
    return None, frozenset()


def _body(reader: SchemaReader, response: Mapping[str, Any]) -> Any:
    """The schema of a body: declared, or of its example where what is declared says nothing."""
    document = reader.document
    schema, media = response.get("schema"), response
    if not document.is_swagger:
        media, _ = document.resolve(_json_media(response))
        schema = media.get("schema")
    example = first_example(media)
    if isinstance(schema, dict):
        view = reader.view(schema)
        if view.properties or view.items or example is None:
            return schema
    if example is None:
        return None
    reader.made.append(schema_of(example))
    return reader.made[-1]


def _json_media(response: Mapping[str, Any]) -> Any:
    content = response.get("content")
    named = content if isinstance(content, dict) else {}
    like_json = [name for name in named if "json" in name.lower()] or [name for name in named if name.startswith("*/")]
    plain = sorted(like_json, key=lambda name: (name.split(";")[0].strip() != "application/json", len(name)))
    return named[plain[0]] if plain else None


def _parameters(
    reader: SchemaReader, item: Mapping[str, Any], definition: Mapping[str, Any]
) -> Iterator[Mapping[str, Any]]:
    """Parameters of path and operation; the properties of a JSON body as parameters `in` body."""
    document = reader.document
    seen: set[tuple[str, str]] = set()
    for owner in (definition, item):
        listed = owner.get("parameters")
        for parameter in listed if isinstance(listed, list) else ():
            found, _ = document.resolve(parameter)
            place = (str(found.get("in")), str(found.get("name")))
            if found.get("in") == "body":
                yield from _body_parameters(reader.view(found.get("schema")))
            elif "name" in found and place not in seen:
                seen.add(place)
                yield found
    body, _ = document.resolve(definition.get("requestBody"))
    schema = _body(reader, body) if body else None
    if schema is not None:
        yield from _body_parameters(reader.view(schema))


def _body_parameters(view: View) -> Iterator[Mapping[str, Any]]:
    for name, schemas in view.properties.items():
        schema = next(iter(schemas.values()))
        described = schema if isinstance(schema, dict) else {}
        yield {"in": "body", "name": name, "schema": described}


# -- where the records are


def _list_place(reader: SchemaReader, view: View, response: Any, names: set[str], *, least: float) -> _Found | None:
    if view.is_array and not view.properties:
        return _Found((), view.items, 9.0) if _are_records(reader, view.items) else None
    candidates = list(_candidates(reader, view, (), names))
    best = max(candidates, key=lambda found: found.score, default=None)
    return best if best is not None and best.score >= least else None


def _candidates(reader: SchemaReader, view: View, path: tuple[str, ...], names: set[str]) -> Iterator[_Found]:
    arrays: list[tuple[str, Schemas]] = []
    is_record = _is_record(view)
    for name, schemas in view.properties.items():
        inner = reader.united(schemas)
        if inner.is_array:
            if _are_records(reader, inner.items):
                arrays.append((name, inner.items))
        elif is_record or not inner.is_object or len(path) >= MOST_NESTED:
            continue
        elif name.lower() in CONTAINER_NAMES or _fits(name, names):
            yield from _candidates(reader, inner, (*path, name), names)
    for name, items in arrays:
        score = _envelope_score(view, alone=len(arrays) == 1) - len(path) / 2
        if _fits(name, names):
            score += 4
        elif name.lower() in LIST_NAMES:
            score += 3
        elif len(arrays) == 1:
            score += 1.5 if path else 1
        yield _Found((*path, name), items, score)


def _envelope_score(view: View, *, alone: bool) -> float:
    """How much an object looks like one around records (up to 2) rather than like a record itself (down to -3)."""
    names = set(map(bare, view.properties))
    beside = len(names) - 1
    if names & _IDENTITIES:
        return -3.0 if _is_record(view) else 0.0
    known = len(names & ENVELOPE_NAMES)
    if alone and (beside == 0 or names & _STRONG or known >= beside):
        return 2.0
    return 1.0 if names & _STRONG or known * 2 >= beside else 0.0


def _is_record(view: View) -> bool:
    """Has an identity, and nothing that only an envelope has."""
    names = set(map(bare, view.properties))
    return bool(names & _IDENTITIES) and not names & _STRONG


def _are_records(reader: SchemaReader, items: Schemas) -> bool:
    return bool(items) and reader.united(items).is_object


def _single_place(reader: SchemaReader, view: View, response: Any, resource: list[str]) -> _Found | None:
    """The record of a response that holds one: the whole, or the one object in an envelope."""
    if not view.is_object:
        return None
    names = set(map(bare, view.properties))
    if not names & _IDENTITIES:
        inner = [
            (name, schemas)
            for name, schemas in view.properties.items()
            if reader.united(schemas).is_object and bare(name) not in ENVELOPE_NAMES - {"data"}
        ]
        rest = names - {bare(name) for name, _ in inner}
        if len(inner) == 1 and rest <= ENVELOPE_NAMES | {"object", "type"}:
            name, schemas = inner[0]
            if rest <= _STATUS_NAMES or name.lower() in _ONE_NAMES or _fits(name, _names(resource)):
                return _Found((name,), schemas, 3.0)
        if names - LIST_NAMES <= ENVELOPE_NAMES:
            return None  # an envelope whose records can't be told
    return _Found((), {id(response): response}, 3.0)


def _names(resource: list[str]) -> set[str]:
    """What an array of a resource's records may be called."""
    if not resource:
        return set()
    return {"".join([*resource[:-1], singular(resource[-1])]), singular(resource[-1])}


def _fits(name: str, names: set[str]) -> bool:
    parts = words(name)
    return bool(parts) and bool({"".join([*parts[:-1], singular(parts[-1])]), singular(parts[-1])} & names)


def jmespath_of(steps: tuple[str, ...]) -> str | None:
    """Steps as JMESPath; None for the response itself."""
    return ".".join(step if _PLAIN.fullmatch(step) else json.dumps(step) for step in steps) or None
