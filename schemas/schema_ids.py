"""Ids of the canonical schemas where no Schema Registry gives them: committed in `schema_ids.json`, never changed.

Each id stands beside a fingerprint of the schema's content, so an edit of a released version is found.
`python -m schemas.schema_ids` gives new versions an id, and refuses to touch those that have one.
"""

import hashlib
import json
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Final

from schemas.canonical_model import CanonicalEntity, load_entities, parse_avro, versions_of
from schemas.failures import Bug

FIRST_ID: Final = 1001
_FILE: Final = Path(__file__).parent / "schema_ids.json"

# subject -> version -> {"id": …, "fingerprint": …}; JSON has no integer keys
Ledger = Mapping[str, Mapping[str, Mapping[str, Any]]]


@dataclass(frozen=True)
class ReleasedSchema:
    """A version of an entity under the subject and id that consumers know it by."""

    subject: str
    id: int
    fingerprint: str
    entity: CanonicalEntity

    @property
    def version(self) -> int:
        """Version within the subject."""
        return self.entity.version


def subject_of(entity: str) -> str:
    """The subject of an entity's schemas: TopicNameStrategy over its topic `aam.canonical.<entity>.v1`."""
    return f"aam.canonical.{entity}.v1-value"


def schema_id(entity: CanonicalEntity) -> int:
    """The id of this version of the entity; KeyError if it was given none (test entities have none)."""
    found: int = _read_ledger()[subject_of(entity.name)][str(entity.version)]["id"]
    return found


@cache
def released_schemas() -> tuple[ReleasedSchema, ...]:
    """Every version of every entity, ordered by id.

    Raises:
        Bug: a version without an id, or one whose content is not what was released.
    """
    ledger = _read_ledger()
    if extend(ledger, _every_version()) != ledger:
        raise Bug("a canonical schema has no id yet: run `python -m schemas.schema_ids` and commit the result")
    found = (
        ReleasedSchema(
            subject=subject_of(entity.name),
            id=schema_id(entity),
            fingerprint=fingerprint(entity.avro),
            entity=entity,
        )
        for entity in _every_version()
    )
    return tuple(sorted(found, key=lambda released: released.id))


def canonical_text(schema: Any) -> str:
    """One text for all spellings of a schema: full names, sorted keys, no blanks.

    Unlike Avro's Parsing Canonical Form it keeps defaults, logical types, docs and attributes.

    Raises:
        InvalidSchema: it isn't a valid Avro schema.
    """
    return json.dumps(_unwrap(parse_avro(schema)), sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def fingerprint(schema: Any) -> str:
    """SHA-256 of `canonical_text`, in hexadecimal."""
    return hashlib.sha256(canonical_text(schema).encode()).hexdigest()


def extend(ledger: Ledger, entities: Iterable[CanonicalEntity]) -> Ledger:
    """`ledger` with an id for each of `entities` that has none: the next free ones, in the given order.

    Raises:
        Bug: the content of a version in the ledger differs, or a version in the ledger is gone.
    """
    grown = {subject: dict(versions) for subject, versions in ledger.items()}
    next_id = max((entry["id"] for versions in grown.values() for entry in versions.values()), default=FIRST_ID - 1) + 1
    seen = set()
    for entity in entities:
        subject, version, content = subject_of(entity.name), str(entity.version), fingerprint(entity.avro)
        seen.add((subject, version))
        known = grown.setdefault(subject, {}).get(version)
        if known is None:
            grown[subject][version] = {"id": next_id, "fingerprint": content}
            next_id += 1
        elif known["fingerprint"] != content:
            raise Bug(f"{subject} version {version} is released and was edited: undo that and add a new version")
    gone = {(subject, version) for subject, versions in ledger.items() for version in versions} - seen
    if gone:
        raise Bug(f"released schemas are missing: {sorted(gone)}")
    return grown


def _unwrap(node: Any) -> Any:
    if isinstance(node, list):
        return [_unwrap(item) for item in node]
    if isinstance(node, Mapping):
        if node.keys() == {"type"}:  # {"type": "string"} is "string"
            return _unwrap(node["type"])
        return {key: _unwrap(value) for key, value in node.items()}
    return node


def _every_version() -> list[CanonicalEntity]:
    return [version for entity in load_entities() for version in versions_of(entity)]


@cache
def _read_ledger() -> Ledger:
    if not _FILE.exists():
        return {}
    ledger: Ledger = json.loads(_FILE.read_text(encoding="utf-8"))
    return ledger


def _main() -> int:
    try:
        ledger = extend(_read_ledger(), _every_version())
    except Bug as error:
        print(error, file=sys.stderr)
        return 1
    _FILE.write_text(json.dumps(ledger, indent=2) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(_main())
