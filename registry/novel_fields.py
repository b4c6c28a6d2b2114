"""What is known of source fields that no mapping reads: profiles, whose turn it is to be scored, what was decided.

Written by the agents that keep, score and decide; so a worker that dies forgets nothing, and a field that appears later
is scored beside all that its entity has shown before. What decisions change in the mappings is up to `MappingStore`.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from psycopg.types.json import Jsonb

from mapping.field_name import TOO_MANY
from registry.edits import Key
from registry.pool import Connection, Pool, transaction
from registry.queries import parse
from registry.write_changes import source_columns
from schemas.messages import FieldProfile, NovelField

STATEMENTS: Final[Mapping[str, bytes]] = parse(Path(__file__).with_name("matching.sql").read_text(encoding="utf-8"))


@dataclass(frozen=True)
class KeptField:
    """One field as it was last announced. `is_new`: not scored since; `asked`: a model was asked about it before."""

    path: str
    types: tuple[str, ...]
    shapes: tuple[str, ...]
    profile: FieldProfile
    volume: int
    is_new: bool
    asked: bool
    seen_at: datetime


@dataclass(frozen=True)
class DueSource:
    """A source whose turn it is. `canonical_entity` None with `chosen`: somebody said that it is none of ours."""

    key: Key
    connection: str
    canonical_entity: str | None
    chosen: bool
    fields: tuple[KeptField, ...]
    chosen_at: datetime | None = None


@dataclass(frozen=True)
class FieldVerdict:
    """What was decided of one field, and on what evidence."""

    path: str
    verdict: str
    reason: str
    evidence: Mapping[str, Any]


@dataclass(frozen=True)
class ExplainedField:
    """All that is known of one field of one tenant. `evidence` None: it was never scored."""

    tenant: str
    path: str
    types: tuple[str, ...]
    shapes: tuple[str, ...]
    profile: dict[str, Any]
    volume: int
    verdict: str | None
    reason: str | None
    method: str | None
    model: str | None
    evidence: dict[str, Any] | None
    decided_at: datetime | None
    seen_at: datetime
    canonical_entity: str | None
    chosen_by: str | None


class NovelFieldStore:
    """All methods raise RegistryUnavailable (retry) and RegistryMisconfigured, and may be repeated."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    def keep(self, fields: Iterable[NovelField], *, gather_seconds: float) -> None:
        """Keeps what was announced; their sources are due `gather_seconds` after their first new field."""
        latest = {(f.tenant, f.connector, f.entity, f.path): f for f in map(_with_path, fields)}
        if not latest:
            return
        told = list(latest.values())
        paths = [field for field in told if field.path is not None]
        sources = _columns(told) | {"connections": [f.connection for f in told], "gather": gather_seconds}
        with transaction(self._pool) as connection:
            connection.execute(STATEMENTS["keep_sources"], sources)
            if paths:
                connection.execute(STATEMENTS["keep_fields"], _columns(paths) | _contents(paths))

    def claim(self, *, sources: int, lease_seconds: float) -> list[DueSource]:
        """Sources that are due and that nobody else scores, each with all of its fields, for `lease_seconds`."""
        with transaction(self._pool) as connection:
            rows = connection.execute(
                STATEMENTS["claim_sources"], {"limit": sources, "lease": lease_seconds}
            ).fetchall()
            fields = self._fields(connection, [row[:3] for row in rows])
        rows.sort(key=lambda row: row[6])
        return [
            DueSource(row[:3], row[3], row[4], row[5] is not None, tuple(fields.get(row[:3], ())), row[7])
            for row in rows
        ]

    def settled(self, source: DueSource, *, waits: bool = False) -> None:
        """Its fields are scored, but for what was announced meanwhile. `waits`: until its entity is chosen,
        which may have been done since it was claimed."""
        new = [field for field in source.fields if field.is_new and not waits]
        arguments = {
            "tenants": [source.key[0]] * len(new),
            "connectors": [source.key[1]] * len(new),
            "entities": [source.key[2]] * len(new),
            "paths": [field.path for field in new],
            "seen": [field.seen_at for field in new],
        }
        with transaction(self._pool) as connection:
            if new:
                connection.execute(STATEMENTS["settle_fields"], arguments)
            told = source_columns(source.key) | {"waits": waits, "chosen_at": source.chosen_at}
            connection.execute(STATEMENTS["settle_source"], told)

    def explain(self, connector: str, entity: str, path: str, *, tenant: str | None = None) -> list[ExplainedField]:
        """The field of each tenant that has shown it, the latest first."""
        arguments = {"connector": connector, "entity": entity, "path": path, "tenant": tenant}
        with transaction(self._pool) as connection:
            return [
                ExplainedField(row[0], row[1], tuple(row[2]), tuple(row[3]), *row[4:])
                for row in connection.execute(STATEMENTS["find_novel_field"], arguments)
            ]

    def teaches(self, tenant: str) -> bool:
        """Whether there is more known for this tenant than for all."""
        with transaction(self._pool) as connection:
            row = connection.execute(STATEMENTS["teaches"], {"tenant": tenant}).fetchone()
            return row is not None and bool(row[0])

    def fields_of(self, key: Key) -> list[KeptField]:
        """All fields that this source has shown."""
        with transaction(self._pool) as connection:
            return self._fields(connection, [key]).get(key, [])

    def _fields(self, connection: Connection, keys: Sequence[Key]) -> dict[Key, list[KeptField]]:
        columns = {
            "tenants": [key[0] for key in keys],
            "connectors": [key[1] for key in keys],
            "entities": [key[2] for key in keys],
        }
        fields: dict[Key, list[KeptField]] = defaultdict(list)
        for row in connection.execute(STATEMENTS["fields_of_sources"], columns):
            path, types, shapes, profile, volume, is_new, asked, seen_at = row[3:]
            told = FieldProfile.model_validate(profile)
            fields[row[:3]].append(KeptField(path, tuple(types), tuple(shapes), told, volume, is_new, asked, seen_at))
        return fields


def record_verdicts(
    connection: Connection, key: Key, verdicts: Sequence[FieldVerdict], *, method: str, model: str
) -> None:
    """Notes what was decided, in the transaction that decides it."""
    arguments = source_columns(key) | {
        "paths": [verdict.path for verdict in verdicts],
        "verdicts": [verdict.verdict for verdict in verdicts],
        "reasons": [verdict.reason for verdict in verdicts],
        "evidence": [Jsonb(dict(verdict.evidence)) for verdict in verdicts],
        "method": method,
        "model": model,
    }
    connection.execute(STATEMENTS["record_verdicts"], arguments)


def settled_by_people(connection: Connection, key: Key) -> set[str]:
    """Paths that a person has decided about, for the tenant or for all."""
    return {row[0] for row in connection.execute(STATEMENTS["settled_by_people"], source_columns(key))}


def _with_path(field: NovelField) -> NovelField:
    return field.model_copy(update={"path": TOO_MANY}) if field.reason == "too_many_fields" else field


def _columns(fields: Sequence[NovelField]) -> dict[str, Any]:
    return {
        "tenants": [field.tenant for field in fields],
        "connectors": [field.connector for field in fields],
        "entities": [field.entity for field in fields],
    }


def _contents(fields: Sequence[NovelField]) -> dict[str, Any]:
    return {
        "paths": [field.path for field in fields],
        "types": [Jsonb([name for name in field.types if name != "null"]) for field in fields],
        "shapes": [Jsonb(list(field.shapes)) for field in fields],
        "profiles": [Jsonb(field.profile.model_dump(mode="json", exclude_defaults=True)) for field in fields],
        "volumes": [max(1, field.profile.present) for field in fields],
    }
