"""Fields in a CSV file, to play vendors that somebody else names, or to write down those that we make.

Columns: vendor, entity, field (a source path), json_type, and, where they are known, canonical_entity and
canonical_field.
"""

import csv
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final, TextIO

from mapping.path import InvalidPath, parse
from sandbox.generated_vendors import MadeEntity, MadeField, MadeVendor, vocabulary
from sandbox.naming import PLAIN_STYLE
from sandbox.vendor_documents import TrueField
from schemas.failures import Misconfigured

COLUMNS: Final = ("vendor", "entity", "field", "json_type", "canonical_entity", "canonical_field")
_REQUIRED: Final = frozenset({"vendor", "entity", "field"})
_BY_TYPE: Final = {
    "integer": "@int 1 9000",
    "number": "@float 1 9000 2",
    "boolean": "@chance 0.5",
    "object": {},
    "array": [],
}


def read_fields(file: Path) -> list[MadeVendor]:
    """The vendors of a file, in its order.

    Raises:
        Misconfigured: the file is missing, lacks a column, or a path is none; names the line.
    """
    try:
        with file.open(encoding="utf-8", newline="") as handle:
            return _vendors(csv.DictReader(handle), file.name)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise Misconfigured(f"can't read the fields in {file.name}: {error}") from error


def write_fields(handle: TextIO, fields: Iterable[TrueField]) -> None:
    """Writes the truth about fields as such a file."""
    writer = csv.writer(handle, lineterminator="\n")
    writer.writerow(COLUMNS)
    writer.writerows([getattr(field, column) for column in COLUMNS] for field in fields)


def _vendors(reader: "csv.DictReader[str]", name: str) -> list[MadeVendor]:
    missing = sorted(_REQUIRED - set(reader.fieldnames or ()))
    if missing:
        raise Misconfigured(f"{name} has no column {', '.join(missing)}; its columns are {', '.join(COLUMNS)}")
    found: dict[str, dict[str, list[dict[str, str]]]] = {}
    for row in reader:
        _check(row, f"{name}, line {reader.line_num}")
        found.setdefault(_plain(row["vendor"]), {}).setdefault(_plain(row["entity"]), []).append(row)
    return [
        MadeVendor(vendor, PLAIN_STYLE, tuple(_entity(entity, rows) for entity, rows in entities.items()), number)
        for number, (vendor, entities) in enumerate(found.items(), 1)
    ]


def _plain(name: str) -> str:
    """`name` as a spec can have it."""
    text = re.sub(r"[^a-z0-9]+", "_", name.lower()).strip("_")
    return text if text[:1].isalpha() else f"v{text}"


def _check(row: dict[str, str], place: str) -> None:
    if not all(row.get(column) for column in _REQUIRED):
        raise Misconfigured(f"{place}: vendor, entity and field must be there")
    try:
        parse(row["field"])
    except InvalidPath as error:
        raise Misconfigured(f"{place}: {error}") from error


def _entity(name: str, rows: list[dict[str, str]]) -> MadeEntity:
    paths = {row["field"] for row in rows}
    key = "id" if "id" in paths else min(paths, key=lambda path: (not path.lower().endswith("id"), len(path)))
    fields = [MadeField(key if key.lower().endswith("id") and "[]" not in key else "id", "@id")]
    for row in rows:
        path = row["field"]
        if path == fields[0].path or any(p.startswith((f"{path}.", f"{path}[")) for p in paths):
            continue
        fields.append(MadeField(path, _template(path, row.get("json_type") or ""), row.get("canonical_field") or None))
    kinds = {row.get("canonical_entity") for row in rows} - {None, ""}
    return MadeEntity(name, min(str(kind) for kind in kinds) if kinds else None, tuple(fields))


def _template(path: str, json_type: str) -> Any:
    kinds = json_type.replace(":", "|").split("|")
    if "date-time" in kinds:
        return "@created epoch 1 30" if "integer" in kinds else "@created iso 1 30"
    kind = next((kind for kind in kinds if kind in _BY_TYPE), "string")
    if kind != "string":
        return _BY_TYPE[kind]
    last = path.rpartition(".")[2].lower()
    return next((template for word, template in vocabulary()["by_name"] if word in last), "@word")
