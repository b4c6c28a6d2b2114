"""Reads a connector's spec and finds everything that is wrong with it: each problem with its JSON path and a fix.

Types and keys are the models' matter (`schemas.connector_spec`); what only shows across keys is checked here.
"""

import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any, Final

from pydantic import BaseModel, ValidationError
from rapidfuzz import fuzz, process

from schemas.auth_spec import OAuth2, names_in
from schemas.connector_spec import ConnectorSpec, EntitySpec
from schemas.failures import Misconfigured
from schemas.spec_part import variables_of

_NAME: Final = re.compile(r"[A-Za-z_$][A-Za-z0-9_$]*")
_SIMILAR: Final = 65.0
# What tells two entities apart.
_REQUEST: Final = (
    "method", "endpoint", "params", "headers", "body", "records_path", "zip", "series", "record", "deletes",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong: where (`$.entities.user.endpoint`), what, and what to do."""

    path: str
    message: str
    fix: str = ""

    def __str__(self) -> str:
        return f"{self.path}: {self.message}" + (f" ({self.fix})" if self.fix else "")


class InvalidSpec(Misconfigured):
    """A spec has problems; `problems` has them all, in the order of the file's paths."""

    def __init__(self, problems: list[Problem]) -> None:
        super().__init__("; ".join(map(str, problems)))
        self.problems = problems


def parse_spec(text: str | bytes) -> ConnectorSpec:
    """The spec that `text` holds. Raises InvalidSpec, with every problem found."""
    try:
        data = json.loads(text, object_pairs_hook=_unique)
    except RecursionError:
        raise InvalidSpec([Problem("$", "nested too deeply")]) from None
    except ValueError as error:
        raise InvalidSpec([Problem("$", f"no JSON: {error}")]) from None
    return spec_of(data)


def spec_of(data: Any) -> ConnectorSpec:
    """The spec that decoded JSON makes. Raises InvalidSpec."""
    try:
        spec = ConnectorSpec.model_validate_json(json.dumps(data))
    except ValidationError as error:
        raise InvalidSpec(explain(ConnectorSpec, error)) from None
    if found := list(find_problems(spec)):
        raise InvalidSpec(found)
    return spec


def find_problems(spec: ConnectorSpec) -> Iterator[Problem]:
    """What is wrong with a spec whose every part is sound by itself."""
    yield from _unresolved(spec)
    yield from _same_endpoints(spec)
    yield from _bad_parents(spec)
    for name, entity in spec.entities.items():
        yield from _bad_entity(spec, name, entity)
    for index, limit in enumerate(spec.rate_limits):
        yield from _unknown_entities(spec, limit.entities, f"$.rate_limits[{index}].entities")
    if spec.test_entity:
        yield from _unknown_entities(spec, [spec.test_entity], "$.test_entity")
    for auth in spec.auths:
        if isinstance(auth, OAuth2) and auth.grant == "jwt_assertion" and auth.jwt is None:
            yield Problem("$.auth.jwt", "the grant jwt_assertion needs it", "add jwt {issuer, key, …}")
    if spec.auth_type and spec.auth and spec.auth_type not in {auth.kind for auth in spec.auths}:
        yield Problem("$.auth_type", "no auth of that kind", "leave it out, or name the kind that `auth` has")


def _unresolved(spec: ConnectorSpec) -> Iterator[Problem]:
    given = set(spec.config)
    credentials = set().union(*(names_in(auth) for auth in spec.auths))
    from_auth = {name for auth in spec.auths if isinstance(auth, OAuth2) for name in auth.variables}
    common = given | from_auth
    yield from _missing(spec.api_base_url, common, "$.api_base_url")
    yield from _missing(spec.headers, common, "$.headers", secrets=credentials - given)
    for name, entity in spec.entities.items():
        known = common | ({entity.parent.param} if entity.parent else set())
        known |= {"since", "until"} if entity.incremental else set()
        known |= {"fields"} if entity.fields_endpoint else set()
        for part in ("endpoint", "params", "headers", "body", "add"):
            path = f"$.entities.{name}.{part}"
            yield from _missing(getattr(entity, part), known, path, secrets=credentials - given)
        if entity.incremental:
            yield from _missing(entity.incremental.start, common, f"$.entities.{name}.incremental.start")


def _missing(value: Any, known: set[str], path: str, *, secrets: Iterable[str] = ()) -> Iterator[Problem]:
    for name in sorted(variables_of(value) - known):
        if name in secrets:
            yield Problem(path, f"{{{name}}} is a credential", "credentials stand in `auth` only")
        else:
            yield Problem(path, f"nothing gives {{{name}}}", _did_you_mean(name, known) or f"declare it: config.{name}")


def _same_endpoints(spec: ConnectorSpec) -> Iterator[Problem]:
    seen: dict[str, str] = {}
    for name, entity in spec.entities.items():
        request = repr([getattr(entity, part) for part in _REQUEST])
        first = seen.setdefault(request, name)
        if first != name:
            yield Problem(
                f"$.entities.{name}.endpoint",
                f"entity {first} asks for the same",
                "one of them is wrong, or they differ in params, body or records_path",
            )


def _bad_parents(spec: ConnectorSpec) -> Iterator[Problem]:
    for name, entity in spec.entities.items():
        if entity.parent is None:
            continue
        path = f"$.entities.{name}.parent"
        yield from _unknown_entities(spec, [entity.parent.entity], f"{path}.entity")
        if entity.parent.param not in variables_of([entity.endpoint, entity.params, entity.body, entity.headers]):
            yield Problem(f"{path}.param", "nothing asks for it", f"use {{{entity.parent.param}}} in the endpoint")
        above, seen = entity.parent.entity, {name}
        while above in spec.entities and above not in seen:
            seen.add(above)
            parent = spec.entities[above].parent
            above = parent.entity if parent else ""
        if above == name:
            yield Problem(f"{path}.entity", "its own ancestor", "break the circle")


def _bad_entity(spec: ConnectorSpec, name: str, entity: EntitySpec) -> Iterator[Problem]:
    path = f"$.entities.{name}"
    paging, incremental = entity.pagination, entity.incremental
    where = [name for name in ("records_path", "zip", "series") if getattr(entity, name)]
    if len(where) > 1:
        yield Problem(f"{path}.{where[1]}", f"stands in place of {where[0]}", "leave one of them out")
    if entity.body is not None and entity.method == "GET":
        yield Problem(f"{path}.body", "a GET has none", "say method POST")
    if entity.fields_endpoint and entity.fields_endpoint.max_characters:
        yield from _bad_split(entity, f"{path}.fields_endpoint.max_characters")
    if paging.kind == "last_record_id" and not paging.record_path and len(entity.primary_key) != 1:
        yield Problem(f"{path}.pagination.record_path", "needed where the primary key isn't one path")
    if entity.deletes and entity.deletes.of:
        yield from _unknown_entities(spec, [entity.deletes.of], f"{path}.deletes.of")
        if entity.deletes.id is None and len(entity.primary_key) != 1:
            yield Problem(f"{path}.deletes.id", "needed where the primary key isn't one path")
    elif entity.deletes and entity.deletes.when is None:
        yield Problem(f"{path}.deletes.when", "without it every record would be a delete", "say when, or `of`")
    if incremental and incremental.mode == "server" and not incremental.param:
        asked = variables_of([entity.endpoint, entity.params, entity.body])
        if "since" not in asked:
            yield Problem(f"{path}.incremental.param", "nothing says from when", "give param, or use {since}")
    asks_until = bool(incremental and incremental.until_param) or "until" in variables_of(
        [entity.endpoint, entity.params, entity.body]
    )
    if incremental and incremental.mode == "server" and not asks_until and not incremental.field:
        yield Problem(f"{path}.incremental.field", "nothing says how far a sync got", "give field")
    if incremental and incremental.window_seconds and not (asks_until and incremental.start):
        yield Problem(
            f"{path}.incremental.window_seconds",
            "a window needs an end and a first start",
            "give until_param and start",
        )


def _bad_split(entity: EntitySpec, path: str) -> Iterator[Problem]:
    """What keeps a page from being asked for in parts."""
    if "fields" not in variables_of([entity.endpoint, entity.params, entity.body]):
        yield Problem(path, "no request names the fields", "use {fields} in params, or leave it out")
    if not entity.primary_key:
        yield Problem(path, "parts of a record are joined by its key", "give primary_key")
    if entity.pagination.kind in {"next_url", "odata", "link_header", "auto"}:
        fix = "page by cursor, offset, page or last_record_id"
        yield Problem(path, "a next URL of the vendor's asks for the fields that the first one asked for", fix)


def _unknown_entities(spec: ConnectorSpec, names: Iterable[str], path: str) -> Iterator[Problem]:
    for name in names:
        if name not in spec.entities:
            fix = _did_you_mean(name, spec.entities) or f"there are {', '.join(spec.entities)}"
            yield Problem(path, f"there is no entity {name}", fix)


def explain(model: type[BaseModel], error: ValidationError) -> list[Problem]:
    """pydantic's errors as problems; an unknown key gets the likely one."""
    found = [_problem(model, issue) for issue in error.errors(include_url=False)]
    return sorted(dict.fromkeys(found), key=lambda problem: problem.path)


def _problem(model: type[BaseModel], issue: Any) -> Problem:
    place, keys = _walk(_schema(model), issue["loc"])
    message = str(issue["msg"]).removeprefix("Value error, ")
    if issue["type"] == "extra_forbidden":
        key = str(issue["loc"][-1])
        return Problem(place, "unknown key", _did_you_mean(key, keys) or f"known are {', '.join(sorted(keys))}")
    if issue["type"] == "missing":
        return Problem(place, "missing", f"add {issue['loc'][-1]}")
    return Problem(place, message)


@cache
def _schema(model: type[BaseModel]) -> dict[str, Any]:
    return model.model_json_schema(by_alias=True)


def _walk(root: dict[str, Any], loc: tuple[str | int, ...]) -> tuple[str, set[str]]:
    """JSON path of `loc`, without the names of union members that pydantic puts in, and the keys of the last object."""
    path, schemas, keys = "$", [root], set[str]()
    for step in loc:
        schemas = [leaf for schema in schemas for leaf in _leaves(root, schema)]
        if isinstance(step, int):
            path += f"[{step}]"
            schemas = [schema["items"] for schema in schemas if isinstance(schema.get("items"), dict)]
            continue
        tagged = [schema for schema in schemas if schema.get("properties", {}).get("kind", {}).get("const") == step]
        if tagged:
            schemas = tagged
            continue
        objects = [schema for schema in schemas if schema.get("type") == "object"]
        if not objects or (step.startswith(("tuple[", "function-", "tagged-union")) or step in {"int", "str"}):
            continue
        keys = {key for schema in objects for key in schema.get("properties", {})}
        path += f".{step}" if _NAME.fullmatch(step) else f"[{json.dumps(step)}]"
        schemas = [inner for schema in objects if (inner := _member(schema, step)) is not None]
    return path, keys


def _leaves(root: dict[str, Any], schema: dict[str, Any]) -> list[dict[str, Any]]:
    if "$ref" in schema:
        return _leaves(root, root["$defs"][schema["$ref"].rpartition("/")[2]])
    for union in ("anyOf", "oneOf"):
        if union in schema:
            return [leaf for part in schema[union] for leaf in _leaves(root, part)]
    return [schema]


def _member(schema: dict[str, Any], key: str) -> dict[str, Any] | None:
    if key in schema.get("properties", {}):
        return dict(schema["properties"][key])
    others = [*schema.get("patternProperties", {}).values(), schema.get("additionalProperties")]
    return next((inner for inner in others if isinstance(inner, dict)), None)


def _did_you_mean(name: str, known: Iterable[str]) -> str:
    best = process.extractOne(name, sorted(known), scorer=fuzz.ratio, score_cutoff=_SIMILAR)
    return f"did you mean {best[0]}?" if best else ""


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        names = [name for name, _ in pairs]
        raise ValueError(f"the key {next(name for name in names if names.count(name) > 1)!r} stands twice")
    return found
