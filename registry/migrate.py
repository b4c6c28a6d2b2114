"""Brings the registry's schema up to date: plain SQL files, in order, each in a transaction of its own.

A file that was applied must not change: its checksum is recorded and compared. Several may call at once; one applies.
"""

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from psycopg import errors as pg

from registry import errors
from registry.pool import AdvisoryLock, Connection, connect

FOLDER: Final = Path(__file__).parent / "migrations"
_FILE: Final = re.compile(r"(?P<number>[0-9]{4})_[a-z0-9_]+\.sql")

_CREATE_LEDGER: Final = """
CREATE TABLE IF NOT EXISTS schema_migration (
    number integer PRIMARY KEY,
    name text NOT NULL,
    checksum text NOT NULL,
    applied_at timestamptz NOT NULL DEFAULT now()
)
"""


@dataclass(frozen=True)
class Migration:
    """One file; `checksum` is the SHA-256 of `sql`, with line ends as LF."""

    number: int
    name: str
    sql: str

    @property
    def checksum(self) -> str:
        return hashlib.sha256(self.sql.encode()).hexdigest()


def load_migrations(folder: Path = FOLDER) -> list[Migration]:
    """All migrations in `folder`, numbered 1, 2, 3 …; RegistryBug if they are not."""
    found = []
    for path in sorted(folder.glob("*.sql")):
        match = _FILE.fullmatch(path.name)
        if match is None:
            raise errors.RegistryBug(f"{path.name}: a migration is called NNNN_name.sql")
        found.append(Migration(int(match["number"]), path.stem, path.read_text(encoding="utf-8")))
    if [m.number for m in found] != list(range(1, len(found) + 1)):
        raise errors.RegistryBug(f"migrations are numbered 0001, 0002 …, found {[m.name for m in found]}")
    return found


def migrate(dsn: str, migrations: Sequence[Migration] | None = None) -> list[str]:
    """Applies what is missing in the database at `dsn`; the names of what was applied, in order.

    Raises:
        RegistryMisconfigured: an applied migration differs from its file, the database is newer than this version of
            AAM, or pgvector is not there.
        RegistryUnavailable: Postgres does not answer.
    """
    known = load_migrations() if migrations is None else migrations
    with errors.translated(), connect(dsn, autocommit=True, application_name="aam migrate") as connection:
        # A session lock: it outlives the transactions of the single migrations.
        connection.execute("SELECT pg_advisory_lock(%s)", (AdvisoryLock.MIGRATE,))
        connection.execute(_CREATE_LEDGER)
        rows = connection.execute("SELECT number, checksum FROM schema_migration").fetchall()
        missing = _missing(known, dict(rows))
        for migration in missing:
            _apply(connection, migration)
    return [migration.name for migration in missing]


def _missing(known: Sequence[Migration], applied: Mapping[int, str]) -> list[Migration]:
    unknown = sorted(applied.keys() - {migration.number for migration in known})
    if unknown:
        raise errors.RegistryMisconfigured(f"the database has migration {unknown[-1]:04}: it needs a newer AAM")
    for migration in known:
        if applied.get(migration.number, migration.checksum) != migration.checksum:
            raise errors.RegistryMisconfigured(
                f"migration {migration.name} was changed after it was applied: restore the file, add a new one"
            )
    return [migration for migration in known if migration.number not in applied]


def _apply(connection: Connection, migration: Migration) -> None:
    try:
        with connection.transaction():
            connection.execute(migration.sql.encode())
            connection.execute(
                "INSERT INTO schema_migration (number, name, checksum) VALUES (%s, %s, %s)",
                (migration.number, migration.name, migration.checksum),
            )
    except (pg.FeatureNotSupported, pg.UndefinedFile, pg.InsufficientPrivilege) as error:
        if "extension" not in str(error):
            raise
        raise errors.RegistryMisconfigured(
            "the registry needs the Postgres extension `vector` (pgvector): install it on the server, then "
            "`CREATE EXTENSION vector` as a role that may"
        ) from error
