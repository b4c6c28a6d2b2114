"""Labelled mappings from a CSV file: which field of a vendor is which canonical field, or none.

They are what a matcher is fitted on and judged by. One question is one entity of one vendor; the gold of a source
field is the set of canonical fields that it feeds, any of which is right.
"""

import csv
import gzip
import hashlib
import io
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from mapping.candidates import FieldDescription, KnownMapping, TargetField, targets_of
from mapping.field_tokens import bare
from mapping.pair_features import Question
from schemas.canonical_model import load_entities
from schemas.failures import Misconfigured

COLUMNS: Final = (
    "vendor",
    "vendor_entity",
    "source_field",
    "source_type",
    "canonical_entity",
    "canonical_field",
    "origin",
    "multi",
    "same_name",
    "direction",
)


@dataclass(frozen=True, slots=True)
class LabelRow:
    """One line. `canonical_field` None: a field that is known to be nothing of `canonical_entity`."""

    vendor: str
    vendor_entity: str
    source_field: str
    source_type: str | None
    canonical_entity: str
    canonical_field: str | None
    origin: str
    same_name: bool

    @property
    def known(self) -> KnownMapping:
        """The line as evidence for others."""
        return KnownMapping(
            self.vendor,
            self.vendor_entity,
            self.source_field,
            self.source_type,
            self.canonical_entity,
            self.canonical_field,
        )


@dataclass(frozen=True)
class LabelledEntity:
    """A question with its answers, for each of its fields in order. `renamed` fields have no answer of equal name."""

    origin: str
    question: Question
    gold: tuple[frozenset[str], ...]
    renamed: tuple[bool, ...]

    @property
    def vendor(self) -> str:
        """Whose fields they are."""
        return self.question.connector


def read_labels(path: Path) -> list[LabelRow]:
    """The lines of a CSV file (gzipped if its name says so) that ask for one field: `direction` in, `multi` 0.

    Raises:
        Misconfigured: there is no such file, or it doesn't have the columns.
    """
    try:
        data = path.read_bytes()
        text = (gzip.decompress(data) if path.suffix == ".gz" else data).decode("utf-8-sig")
    except (OSError, EOFError, ValueError) as error:
        raise Misconfigured(f"{path} can't be read: {error}") from error
    lines = csv.DictReader(io.StringIO(text, newline=""))
    missing = [column for column in COLUMNS if column not in (lines.fieldnames or ())]
    if missing:
        raise Misconfigured(f"{path} has no column {', '.join(missing)}; there must be {', '.join(COLUMNS)}")
    return [_row(line) for line in lines if line["direction"] == "in" and line["multi"] in ("0", "")]


def same_vendor(one: str, other: str) -> bool:
    """Whether two names may be of one vendor: one begins with the other (`zoho`, `zoho_crm`), case and marks aside."""
    short, long = sorted((bare(one), bare(other)), key=len)
    return long.startswith(short) and bool(short or not long)


def data_hash(rows: Iterable[LabelRow]) -> str:
    """SHA-256 of the lines in order, in hexadecimal."""
    digest = hashlib.sha256()
    for row in rows:
        digest.update(repr(row).encode("utf-8", "surrogatepass"))
    return digest.hexdigest()


def questions(rows: Sequence[LabelRow]) -> list[LabelledEntity]:
    """One question per (origin, vendor, its entity, canonical entity), in order of first sight."""
    targets = vocabularies(rows)
    fields: dict[tuple[str, str, str, str], dict[str, list[LabelRow]]] = defaultdict(dict)
    for row in rows:
        key = (row.origin, row.vendor, row.vendor_entity, row.canonical_entity)
        fields[key].setdefault(row.source_field, []).append(row)
    found = []
    for (origin, vendor, vendor_entity, canonical_entity), of_field in fields.items():
        aims = targets[origin].get(canonical_entity, [])
        if not aims:
            continue
        described = [
            FieldDescription(path, next((row.source_type for row in lines if row.source_type), None))
            for path, lines in of_field.items()
        ]
        gold = tuple(frozenset(filter(None, (row.canonical_field for row in lines))) for lines in of_field.values())
        renamed = tuple(not any(row.same_name for row in lines if row.canonical_field) for lines in of_field.values())
        question = Question(vendor, vendor_entity, canonical_entity, described, aims)
        found.append(LabelledEntity(origin, question, gold, renamed))
    return found


def uses_our_model(rows: Iterable[LabelRow]) -> bool:
    """Whether all that the lines map to are fields of AAM's own canonical model."""
    ours = {(name, target.name) for name, entity in load_entities().items() for target in targets_of(entity)}
    theirs = {(row.canonical_entity, row.canonical_field) for row in rows if row.canonical_field}
    return bool(theirs) and theirs <= ours


def rival_entities(rows: Sequence[LabelRow]) -> Mapping[str, Mapping[str, list[TargetField]]]:
    """Origin → the canonical entities that a source entity can be told apart from: those that several vendors have."""
    vendors: dict[tuple[str, str], set[str]] = defaultdict(set)
    for row in rows:
        vendors[row.origin, row.canonical_entity].add(row.vendor)
    return {
        origin: {name: fields for name, fields in entities.items() if len(vendors[origin, name]) > 1}
        for origin, entities in vocabularies(rows).items()
    }


def vocabularies(rows: Sequence[LabelRow]) -> Mapping[str, Mapping[str, list[TargetField]]]:
    """Origin → canonical entity → its fields: those of our own model if that is what it maps to, else all it names."""
    by_origin: dict[str, list[LabelRow]] = defaultdict(list)
    for row in rows:
        by_origin[row.origin].append(row)
    ours = {name: targets_of(entity) for name, entity in load_entities().items()}
    vocabularies: dict[str, Mapping[str, list[TargetField]]] = {}
    for origin, its_rows in by_origin.items():
        if uses_our_model(its_rows):
            vocabularies[origin] = ours
            continue
        names: dict[str, dict[str, TargetField]] = defaultdict(dict)
        for row in its_rows:
            if row.canonical_field:
                names[row.canonical_entity].setdefault(
                    row.canonical_field, TargetField(row.canonical_entity, row.canonical_field)
                )
        vocabularies[origin] = {entity: list(fields.values()) for entity, fields in names.items()}
    return vocabularies


def _row(line: Mapping[str, str | None]) -> LabelRow:
    def text(column: str) -> str:
        return line[column] or ""

    return LabelRow(
        vendor=text("vendor"),
        vendor_entity=text("vendor_entity"),
        source_field=text("source_field"),
        source_type=text("source_type") or None,
        canonical_entity=text("canonical_entity"),
        canonical_field=text("canonical_field") or None,
        origin=text("origin"),
        same_name=text("same_name") == "1",
    )
