"""The leaves of a schema in an OpenAPI document: paths, types, formats, enums, by the path grammar of mappings.

Discovery asks what a record may hold, not whether it is valid: the parts of `allOf`, `oneOf` and `anyOf` are united.
What a schema is for is decided in `openapi_records`. Cycles end in a leaf of type object; width and depth are bounded.
"""

import json
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from connectors.openapi_document import OpenApiDocument
from connectors.openapi_examples import first_example, schema_of
from mapping.path import quoted
from schemas.messages import JsonType, SourceField

FIELDS_OF_AN_ENTITY: Final = 2_000
DEPTH: Final = 24
NESTED_COMBINATIONS: Final = 100
ENUM_VALUES: Final = 200
DESCRIPTION_CHARACTERS: Final = 300

_JSON_TYPES: Final = frozenset({"null", "boolean", "integer", "number", "string", "object", "array"})
_SCALARS: Final = frozenset({"boolean", "integer", "number", "string"})
_IDENTITIES: Final = frozenset({"id", "uuid", "guid", "gid", "key"})

Schemas = dict[int, Any]  # by id(): one place in the document counts once


@dataclass(slots=True)
class View:
    """All that a schema says of a value, its combinations united."""

    types: set[str] = field(default_factory=set)
    nullable: bool = False
    properties: dict[str, Schemas] = field(default_factory=dict)
    items: Schemas = field(default_factory=dict)
    format: str | None = None
    enum: set[str] | None = None
    description: str | None = None
    component: str | None = None
    inside: frozenset[int] = frozenset()

    @property
    def is_object(self) -> bool:
        """An object whose properties are known."""
        return bool(self.properties)

    @property
    def is_array(self) -> bool:
        """An array, and perhaps something else."""
        return "array" in self.types or bool(self.items)

    def unite(self, other: "View") -> None:
        """Take in what `other` says too."""
        both_scalar = bool(self.types & _SCALARS) and bool(other.types & _SCALARS)
        if other.enum is not None and (self.enum is not None or not both_scalar):
            self.enum = (self.enum or set()) | other.enum
        elif both_scalar:
            self.enum = None  # one of the alternatives takes any value
        self.types |= other.types
        self.nullable |= other.nullable
        for name, schemas in other.properties.items():
            self.properties.setdefault(name, {}).update(schemas)
        self.items.update(other.items)
        self.format = self.format or other.format
        self.description = self.description or other.description
        self.component = self.component or other.component
        self.inside |= other.inside


class SchemaReader:
    """Reads schemas of one document; each place in it is looked at once."""

    def __init__(self, document: OpenApiDocument) -> None:
        self.document = document
        self.made: list[Any] = []  # schemas that stand in no document; kept, as views go by identity
        self._views: dict[int, View] = {}

    def view(self, schema: Any) -> View:
        """What `schema`, or what it refers to, says."""
        return self._view(schema, 0)

    def united(self, schemas: Schemas) -> View:
        """What any of `schemas` says."""
        if len(schemas) == 1:
            return self.view(next(iter(schemas.values())))
        united = View()
        for schema in schemas.values():
            united.unite(self.view(schema))
        return united

    def _view(self, schema: Any, depth: int) -> View:
        found = self._views.get(id(schema))
        if found is not None:
            return found
        if depth > NESTED_COMBINATIONS:
            self.document.note(f"schemas combined more than {NESTED_COMBINATIONS} levels deep are not read to the end")
            return View()
        self._views[id(schema)] = View()  # while open: a combination of itself adds nothing
        view = self._views[id(schema)] = self._read(schema, depth)
        return view

    def _read(self, schema: Any, depth: int) -> View:
        target, reference = self.document.resolve(schema)
        view = View(component=_component(reference))
        if reference is not None:
            _describe(view, schema)  # siblings of `$ref`, of which 3.1 says that they count
            view.unite(self._view(target, depth + 1))
            return view
        _describe(view, target)
        self._add_structure(view, target)
        for part in _schemas(target.get("allOf")):
            view.unite(self._view(part, depth + 1))
        alternatives = [
            self._view(part, depth + 1) for name in ("oneOf", "anyOf") for part in _schemas(target.get(name))
        ]
        alternatives += [self._view(part, depth + 1) for part in _untyped_alternatives(target)]
        for alternative in _without_expansions(alternatives):
            view.unite(alternative)
        example = first_example(target) if not (view.properties or view.items) else None
        if example is not None:
            self.made.append(schema_of(example))
            view.unite(self._view(self.made[-1], depth + 1))
        if view.properties and not view.types:
            view.types.add("object")
        return view

    def _add_structure(self, view: View, schema: Mapping[str, Any]) -> None:
        properties = schema.get("properties")
        if isinstance(properties, dict):
            for name, inner in properties.items():
                if not (isinstance(inner, dict) and inner.get("writeOnly") is True):
                    view.properties[name] = {id(inner): inner}
        items = schema.get("items")
        if isinstance(items, dict):
            view.items[id(items)] = items
            view.types.add("array")
        elif isinstance(items, list) and "array" in view.types:
            view.items.update({id(item): item for item in items})
        if view.properties or view.items:
            view.inside = frozenset({id(schema)})


def fields_of(reader: SchemaReader, records: Schemas) -> tuple[list[SourceField], bool]:
    """(the leaves of a record described by any of `records`, whether there are more than are kept).

    The nearest to the root come first, so that what a bound cuts off is what lies deepest.
    """
    leaves: dict[str, View] = {}
    waiting: deque[tuple[str, Schemas, frozenset[int], int]] = deque([("", records, frozenset(), 0)])
    cut = False
    while waiting:
        path, schemas, above, depth = waiting.popleft()
        view = reader.united(schemas)
        inner = _inner(path, view) if depth < DEPTH and not view.inside & above else []
        if path and (view.types & _SCALARS or not inner):
            _keep(leaves, path, view, has_more=bool(inner))
        if len(leaves) + len(waiting) + len(inner) > 2 * FIELDS_OF_AN_ENTITY:
            cut = True
            continue
        waiting.extend((step, found, above | view.inside, depth + 1) for step, found in inner)
    paths = list(leaves)[:FIELDS_OF_AN_ENTITY]
    return [_source_field(path, leaves[path]) for path in paths], cut or len(leaves) > len(paths)


def _inner(path: str, view: View) -> list[tuple[str, Schemas]]:
    """The places one step below. An array whose items say nothing is a leaf itself."""
    steps = [(f"{path}.{quoted(name)}" if path else quoted(name), found) for name, found in view.properties.items()]
    if view.items and path:
        steps.append((f"{path}[]", view.items))
    return steps


def _keep(leaves: dict[str, View], path: str, view: View, *, has_more: bool) -> None:
    kept = View(
        types=view.types & _SCALARS if has_more else set(view.types),
        nullable=view.nullable,
        format=view.format,
        enum=view.enum,
        description=view.description,
    )
    if path in leaves:
        leaves[path].unite(kept)
    else:
        leaves[path] = kept


def _source_field(path: str, view: View) -> SourceField:
    types: list[JsonType] = [name for name in view.types if name != "null"]  # type: ignore[misc]  # filtered by _describe
    enum = view.enum if view.enum is not None and len(view.enum) <= ENUM_VALUES else ()
    return SourceField(
        path=path,
        types=tuple(types),
        nullable=view.nullable,
        format=view.format,
        enum=tuple(enum),
        description=view.description,
    )


def _describe(view: View, schema: Mapping[str, Any]) -> None:
    """The keywords that say what a single value is."""
    declared = schema.get("type")
    names = declared if isinstance(declared, list) else [declared]
    view.types |= {name for name in names if isinstance(name, str) and name in _JSON_TYPES}
    view.nullable = view.nullable or "null" in view.types or True in (schema.get("nullable"), schema.get("x-nullable"))
    view.types.discard("null")
    if isinstance(schema.get("format"), str):
        view.format = schema["format"]
    values = [schema["const"]] if "const" in schema else schema.get("enum")
    if isinstance(values, list):
        view.nullable = view.nullable or None in values
        scalars = [value for value in values if isinstance(value, str | int | float)]
        view.enum = {value if isinstance(value, str) else json.dumps(value) for value in scalars} or None
        if not view.types:
            view.types |= {_scalar_type(value) for value in scalars}
    if isinstance(schema.get("description"), str):
        view.description = " ".join(schema["description"][: 2 * DESCRIPTION_CHARACTERS].split())[
            :DESCRIPTION_CHARACTERS
        ]


def _scalar_type(value: str | float) -> str:
    if isinstance(value, bool):
        return "boolean"
    return "string" if isinstance(value, str) else "integer" if isinstance(value, int) else "number"


def _schemas(value: Any) -> list[Any]:
    return [part for part in value if isinstance(part, dict)] if isinstance(value, list) else []


def _untyped_alternatives(schema: Mapping[str, Any]) -> list[Any]:
    """`items` as a list where nothing says array: what converters make of `anyOf` for Swagger 2, which has none."""
    declared = schema.get("type")
    return _schemas(schema.get("items")) if declared is None else []


def _without_expansions(alternatives: Sequence[View]) -> Iterable[View]:
    """Where a value is an id or the object that it identifies, the object is there on request only."""
    if not any(view.types & _SCALARS for view in alternatives):
        return alternatives
    return [view for view in alternatives if not (view.properties.keys() & _IDENTITIES and not view.types & _SCALARS)]


def _component(reference: str | None) -> str | None:
    """The name under which a schema stands in the document."""
    if reference is None:
        return None
    before, _, name = reference.rpartition("/")
    return name.replace("~1", "/").replace("~0", "~") if before in ("#/components/schemas", "#/definitions") else None
