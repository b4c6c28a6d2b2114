"""Entities from an OpenAPI document: reading operations that give the same kind of record are one entity.

Where the records are is found by `openapi_records`, their fields by `openapi_schema`; `openapi_paging`,
`openapi_access` and `primary_keys` guess the rest. This decides what belongs together and what it is called.
"""

import re
from collections.abc import Hashable, Sequence
from itertools import chain, count
from typing import Final

from connectors.discovery import DiscoveredEntity, Discovery, FoundOperation
from connectors.openapi_access import guess_auth, guess_base_url
from connectors.openapi_document import InvalidDocument, OpenApiDocument
from connectors.openapi_paging import guess_incremental, guess_paging
from connectors.openapi_records import LIST_NAMES, Operation, jmespath_of, reading_operations
from connectors.openapi_schema import SchemaReader, Schemas, fields_of
from connectors.primary_keys import guess_primary_key
from connectors.resource_names import (
    core_of_component,
    entity_of_component,
    parent_of,
    path_parameters,
    resource_of,
    snake_singular,
    words,
)
from schemas.messages import SourceSchema

ENTITIES: Final = 2_000
# Two schemas of one name are one entity if the smaller shares this much of its properties with the other.
SAME_ENTITY: Final = 0.5


class _Group:
    """Operations that give one kind of record."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.operations: list[Operation] = []
        self.records: Schemas = {}
        self.properties: set[str] = set()
        self.core: tuple[str, ...] = ()

    def add(self, operations: Sequence[Operation], properties: set[str], core: tuple[str, ...]) -> None:
        self.operations += operations
        for operation in operations:
            self.records.update(operation.records)
        self.properties |= properties
        self.core = self.core or core

    def takes(self, properties: set[str], core: tuple[str, ...]) -> bool:
        """Whether these records are of this group: schemas of one core, or, without a name, like enough."""
        if not self.operations:
            return True
        if core and self.core and core != self.core:
            return False
        return len(properties & self.properties) >= SAME_ENTITY * min(len(properties), len(self.properties))


def discover_openapi(document: OpenApiDocument, *, fetched_from: str | None = None) -> Discovery:
    """All entities that the document's operations list or read.

    Raises:
        InvalidDocument: none was found; the message says what stood in the way.
    """
    reader = SchemaReader(document)
    operations = list(reading_operations(reader))
    entities = [_entity(reader, group) for group in _grouped(reader, operations)]
    entities = [entity for entity in entities if entity.schema.fields or entity.list_operation is not None]
    if not entities:
        raise InvalidDocument("no operation of the document lists or reads records" + _because(document.problems))
    entities.sort(key=lambda entity: (entity.list_operation is None, entity.name))
    if len(entities) > ENTITIES:
        document.note(f"more than {ENTITIES} entities; the rest are left out")
    info = document.root.get("info")
    return Discovery(
        title=str(info.get("title", "")) if isinstance(info, dict) else "",
        entities=tuple(entities[:ENTITIES]),
        base_url=guess_base_url(document, fetched_from=fetched_from),
        auth=guess_auth(document, operations),
        problems=tuple(document.problems),
    )


def _because(problems: Sequence[str]) -> str:
    return f": {problems[0]}" if problems else ": none has a JSON schema for its response"


def _grouped(reader: SchemaReader, operations: Sequence[Operation]) -> list[_Group]:
    by_schema: dict[Hashable, list[Operation]] = {}
    for operation in sorted(operations, key=_plainest):
        component = reader.united(operation.records).component
        records = tuple(sorted(operation.records)) or ("undescribed", operation.path)
        by_schema.setdefault(component or records, []).append(operation)
    groups: dict[str, _Group] = {}
    # `card` gets its name before `issuing.card` does, wherever each is listed
    for schema, same in sorted(by_schema.items(), key=lambda found: "." in str(found[0])):
        properties = set(reader.united(same[0].records).properties)
        core = core_of_component(schema) if isinstance(schema, str) else ()
        _home(groups, _names(reader, same), properties, core).add(same, properties, core)
    for group in groups.values():
        group.operations.sort(key=_plainest)
    return list(groups.values())


def _plainest(operation: Operation) -> tuple[bool, int, int, str]:
    """Lists before reads, few parameters before many, short paths before long: the one a person would take first."""
    path = operation.path
    return operation.kind != "list", len(path_parameters(path)), len(path), path


def _home(groups: dict[str, _Group], names: Sequence[str], properties: set[str], core: tuple[str, ...]) -> _Group:
    """The group of the first of these names that is free, or has the same kind of record."""
    numbered = (f"{names[0]}_{number}" for number in count(2))
    return next(
        group
        for name in chain(names, numbered)
        if (group := groups.setdefault(name, _Group(name))).takes(properties, core)
    )


def _names(reader: SchemaReader, operations: Sequence[Operation]) -> list[str]:
    """What the records of these operations may be called, the best name first, longer ones for when it is taken."""
    resources = list(dict.fromkeys(name for operation in operations for name in _resource_names(operation)))
    component = reader.united(operations[0].records).component
    variants = _variants(component) if component else []
    best = _best_name(variants, resources)
    parent = snake_singular(parent_of(operations[0].path))
    under_parent = [f"{parent}_{best}"] if parent and not best.startswith(parent) else []
    whole = [snake_singular(words(component))] if component else []
    return list(dict.fromkeys([best, *whole, *under_parent, *resources]))


def _best_name(variants: Sequence[str], resources: Sequence[str]) -> str:
    """A name that schema and path agree on; else the path's where all paths agree, else the schema's."""
    agreed = next((name for name in variants if name in resources), None)
    if agreed is not None:
        return agreed
    if not variants or not resources:
        return next(iter([*variants[-1:], *resources]), "record")
    if len(resources) > 1:
        return variants[-1]
    schema, path = variants[-1], resources[0]
    related = set(schema.split("_")) & set(path.split("_"))
    return max(schema, path, key=lambda name: name.count("_")) if related else path


def _variants(component: str) -> list[str]:
    """The name of a schema, whole first, then with less and less around its core."""
    whole, core = words(re.split(r"[./]", component)[-1]), entity_of_component(component)
    parts = [whole[start:end] for start in range(len(whole)) for end in range(start + len(core), len(whole) + 1)]
    around = sorted((part for part in parts if _contains(part, core)), key=len, reverse=True)
    return list(dict.fromkeys(map(snake_singular, [*around, core])))


def _contains(parts: Sequence[str], core: Sequence[str]) -> bool:
    return any(list(parts[i : i + len(core)]) == list(core) for i in range(len(parts) - len(core) + 1))


def _resource_names(operation: Operation) -> list[str]:
    found = [snake_singular(resource_of(operation.path))]
    if operation.records_path and operation.records_path[-1].lower() not in LIST_NAMES:
        found.append(snake_singular(words(operation.records_path[-1])))
    return [name for name in found if name]


def _entity(reader: SchemaReader, group: _Group) -> DiscoveredEntity:
    view = reader.united(group.records)
    fields, is_cut = fields_of(reader, group.records)
    first = group.operations[0]
    reads = [operation.path for operation in group.operations if operation.kind == "read" and "{" in operation.path]
    inner = {name: reader.united(schemas).properties for name, schemas in view.properties.items()}
    key, reason = guess_primary_key(group.name, view.properties, reads, inner)
    is_list = first.kind == "list"
    return DiscoveredEntity(
        name=group.name,
        schema=SourceSchema(fields=tuple(fields), primary_key=key),
        origin="openapi",
        operations=tuple(
            FoundOperation(
                found.method,
                found.path,
                found.kind,
                jmespath_of(found.records_path),
                tuple(found.required()),
                found.remark,
            )
            for found in group.operations
        ),
        paging=guess_paging(reader, first) if is_list else None,
        incremental=guess_incremental(first, view) if is_list else None,
        primary_key_reason=reason,
        description=view.description,
        component=view.component,
        is_cut=is_cut,
    )
