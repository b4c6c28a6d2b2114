"""The canonical model: what entities and fields there are, read from `schemas/canonical/*.avsc`.

Those files are the single source of truth. This module gives them as plain objects and as complete Avro schemas; ids
of schemas are in `schemas.schema_ids`, and how an event is built is up to `mapping`.
"""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

import fastavro

from schemas.failures import Bug, Misconfigured

NAMESPACE: Final = "io.aam.canonical"
PROVENANCE_FIELD: Final = "aam"
PROVENANCE: Final = f"{NAMESPACE}.Provenance"
PERSONAL: Final = frozenset({"none", "contact", "identity", "financial", "content"})
DECIMAL_PRECISION: Final = 38
DECIMAL_SCALE: Final = 9

_FOLDER: Final = Path(__file__).parent / "canonical"
_FILE: Final = re.compile(r"(?P<name>[a-z][a-z0-9_]*)\.v(?P<version>[1-9][0-9]*)\.avsc")


class InvalidSchema(Misconfigured):
    """What should be an Avro schema, or one of the canonical model, isn't."""


class FieldKind(StrEnum):
    """What one canonical value is."""

    STRING = "string"
    LONG = "long"
    DOUBLE = "double"
    BOOLEAN = "boolean"
    DECIMAL = "decimal"
    TIMESTAMP = "timestamp"
    DATE = "date"


_AVRO_TYPES: Final[Mapping[FieldKind, Any]] = {
    FieldKind.STRING: "string",
    FieldKind.LONG: "long",
    FieldKind.DOUBLE: "double",
    FieldKind.BOOLEAN: "boolean",
    FieldKind.DECIMAL: {
        "type": "bytes",
        "logicalType": "decimal",
        "precision": DECIMAL_PRECISION,
        "scale": DECIMAL_SCALE,
    },
    FieldKind.TIMESTAMP: {"type": "long", "logicalType": "timestamp-micros"},
    FieldKind.DATE: {"type": "int", "logicalType": "date"},
}


@dataclass(frozen=True)
class CanonicalField:
    """One field of an entity, or one member of a record in a list.

    `kind` is None for a list of records; `members` are then the records' fields. `personal` is one of `PERSONAL`.
    `values` are the allowed values of a normalised string; empty if it is free.
    """

    name: str
    kind: FieldKind | None
    is_list: bool = False
    members: tuple["CanonicalField", ...] = ()
    doc: str = ""
    personal: str = "none"
    unit: str | None = None
    synonyms: tuple[str, ...] = ()
    values: tuple[str, ...] = ()


@dataclass(frozen=True)
class CanonicalEntity:
    """One version of one entity. `avro` is the complete schema, `fields` all of its fields but `aam`.

    `avro` is shared and must not be changed.
    """

    name: str
    version: int
    fields: tuple[CanonicalField, ...]
    avro: dict[str, Any]

    def field(self, name: str) -> CanonicalField:
        """The field called `name`; KeyError if there is none."""
        for field in self.fields:
            if field.name == name:
                return field
        raise KeyError(name)

    def targets(self) -> Iterator[tuple[str, CanonicalField]]:
        """(path, field) of all that a mapping can write: `display_name`, `emails`, `addresses[].city`."""
        for field in self.fields:
            if field.members:
                yield from ((f"{field.name}[].{member.name}", member) for member in field.members)
            else:
                yield field.name, field

    @classmethod
    def from_avro(cls, schema: Mapping[str, Any]) -> "CanonicalEntity":
        """The entity that `schema` describes, in the vocabulary of docs/adr/0002.

        The first field must be `aam`; where its type is the name `io.aam.canonical.Provenance`, the record is put in
        its place (version: the field's attribute `aam.provenance`, else 1).

        Raises:
            InvalidSchema: `schema` uses something that the canonical model doesn't, or isn't valid Avro.
        """
        avro = dict(schema)
        where = str(avro.get("name"))
        fields = [dict(field) for field in avro.get("fields", ())]
        if not fields or fields[0].get("name") != PROVENANCE_FIELD:
            raise InvalidSchema(f"{where}: the first field must be `{PROVENANCE_FIELD}`")
        if fields[0]["type"] == PROVENANCE:
            fields[0]["type"] = _provenance(fields[0].get("aam.provenance", 1))
        avro["fields"] = fields
        parse_avro(avro)
        return cls(
            name=_snake(where.rpartition(".")[2]),
            version=avro.get("aam.version", 1),
            fields=_fields(fields[1:], where, {}),
            avro=avro,
        )


def parse_avro(schema: Any) -> Any:
    """`schema` as fastavro understands it: checked, with full names, docs and attributes kept.

    Raises:
        InvalidSchema: it isn't a valid Avro schema.
    """
    try:
        return fastavro.parse_schema(schema, _write_hint=False)
    except (
        fastavro.schema.SchemaParseException,
        # what fastavro lets through for a schema that isn't even of the right shape
        ValueError,
        TypeError,
        LookupError,
        AttributeError,
        RecursionError,
    ) as error:
        raise InvalidSchema(f"not a valid Avro schema: {error}") from error


@cache
def load_entities() -> Mapping[str, CanonicalEntity]:
    """Entity name → its current (highest) version, in order of name."""
    return MappingProxyType({name: versions[-1] for name, versions in _all_versions().items()})


def versions_of(entity: str) -> list[CanonicalEntity]:
    """All versions of `entity`, oldest first; KeyError if there is no such entity."""
    return list(_all_versions()[entity])


def read_versions(folder: Path) -> Mapping[str, tuple[CanonicalEntity, ...]]:
    """Entity name → its versions, oldest first, of all `<entity>.v<N>.avsc` in `folder`, in order of name.

    Raises:
        InvalidSchema: what is in a file isn't a canonical entity.
        Bug: it isn't the one that the file's name says.
    """
    found: dict[str, list[CanonicalEntity]] = {}
    for path in sorted(folder.glob("*.avsc")):
        name, version = _of_file(path)
        if name == "provenance":
            continue
        entity = CanonicalEntity.from_avro(json.loads(path.read_text(encoding="utf-8")))
        if (entity.name, entity.version) != (name, version):
            raise Bug(f"{path.name} holds {entity.name} version {entity.version}")
        found.setdefault(name, []).append(entity)
    return {name: tuple(sorted(found[name], key=lambda e: e.version)) for name in sorted(found)}


@cache
def _all_versions() -> Mapping[str, tuple[CanonicalEntity, ...]]:
    return read_versions(_FOLDER)


@cache
def _provenance(version: int) -> dict[str, Any]:
    path = _FOLDER / f"provenance.v{version}.avsc"
    if not path.exists():
        raise InvalidSchema(f"there is no version {version} of the provenance record")
    record: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return record


def _of_file(path: Path) -> tuple[str, int]:
    match = _FILE.fullmatch(path.name)
    if match is None:
        raise Bug(f"{path.name} is not called <entity>.v<N>.avsc")
    return match["name"], int(match["version"])


def _snake(pascal: str) -> str:
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", pascal).lower()


# `records` remembers the named records of one schema: a second use is by name only.
def _fields(
    declared: list[dict[str, Any]], where: str, records: dict[str, tuple[CanonicalField, ...]]
) -> tuple[CanonicalField, ...]:
    return tuple(_field(field, f"{where}.{field['name']}", records) for field in declared)


def _field(field: Mapping[str, Any], where: str, records: dict[str, tuple[CanonicalField, ...]]) -> CanonicalField:
    kind, members = _read_type(field, where, records)
    personal = field.get("aam.personal", "none")
    if personal not in PERSONAL:
        raise InvalidSchema(f"{where}: aam.personal is not one of {sorted(PERSONAL)}")
    return CanonicalField(
        name=field["name"],
        kind=kind,
        is_list=not isinstance(field["type"], list),
        members=members,
        doc=field.get("doc", ""),
        personal=personal,
        unit=field.get("aam.unit"),
        synonyms=tuple(field.get("aam.synonyms", ())),
        values=tuple(field.get("aam.values", ())),
    )


def _read_type(
    field: Mapping[str, Any], where: str, records: dict[str, tuple[CanonicalField, ...]]
) -> tuple[FieldKind | None, tuple[CanonicalField, ...]]:
    match field["type"]:
        case ["null", declared] if "default" in field and field["default"] is None:
            for kind, avro_type in _AVRO_TYPES.items():
                if declared == avro_type:
                    return kind, ()
        case {"type": "array", "items": "string"} if field.get("default") == []:
            return FieldKind.STRING, ()
        case {"type": "array", "items": {"type": "record"} as record} if field.get("default") == []:
            members = _fields(record["fields"], where, records)
            if any(member.is_list for member in members):
                raise InvalidSchema(f"{where}: members of a list's records can't be lists")
            records[_local(record["name"])] = members
            return None, members
        case {"type": "array", "items": str(name)} if field.get("default") == [] and _local(name) in records:
            return None, records[_local(name)]
    raise InvalidSchema(
        f'{where}: a canonical field is ["null", T] with default null, an array of string or an array of records'
        " with default []"
    )


def _local(name: str) -> str:
    return name.rpartition(".")[2]
