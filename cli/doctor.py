"""`aam doctor`: checks this machine and the services one by one, and says for each how to fix it."""

import shutil
import sys
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Annotated

import typer

from cli.console import write_json, write_line
from cli.exit_codes import ExitCode
from cli.services import kafka_settings, load_settings, open_registry
from infra.kafka.java import find_java
from infra.settings import LocalSettings
from registry.migrate import load_migrations
from registry.pool import transaction
from schemas.failures import AamError, InvalidRecord, Misconfigured
from topics import provision
from topics.clients import make_admin
from topics.hanging_transactions import hanging_transactions
from topics.read_topic import read_topic
from topics.schema_registry import RegistrySchemas, open_client
from topics.settings import KafkaSettings

app = typer.Typer()

SNAPSHOT_COMPLETE = b"snapshot-complete"
OLDEST_POSTGRES = 15
LITTLE_DISK_GIB, NO_DISK_GIB = 5, 1


class Health(StrEnum):
    """How one check went; a `fail` makes the exit code 1."""

    OK = "ok"
    WARN = "warn"
    FAIL = "fail"


@dataclass(frozen=True)
class Check:
    """What one check found; `fix` is what to do about it, empty if nothing."""

    name: str
    health: Health
    found: str
    fix: str = ""


@app.command()
def doctor(as_json: Annotated[bool, typer.Option("--json", help="JSON, a line each.")] = False) -> None:
    """Check Python, Java, Kafka, topics, transactions, Postgres, mappings, Schema Registry, local state and disk."""
    failed: set[str] = set()
    for name, check in CHECKS.items():
        needed = NEEDS.get(name)
        result = (
            _run(name, check) if needed not in failed else Check(name, Health.FAIL, f"not checked without {needed}")
        )
        if result.health is Health.FAIL:
            failed.add(name)
        if as_json:
            write_json(asdict(result))
        else:
            write_line(f"{result.health:<4}  {result.name:<16}  {result.found}")
            if result.fix:
                write_line(f"{'':<24}→ {result.fix}")
    if failed:
        raise typer.Exit(ExitCode.DIFFERENCES)


def _run(name: str, check: Callable[[str], Check]) -> Check:
    try:
        return check(name)
    except AamError as error:
        fix = "set what the message names" if isinstance(error, Misconfigured) else "start it, or check the address"
        return Check(name, Health.FAIL, str(error), fix)


def _python(name: str) -> Check:
    found = ".".join(map(str, sys.version_info[:3]))
    if (3, 11) <= sys.version_info < (3, 14):
        return Check(name, Health.OK, found)
    return Check(name, Health.FAIL, found, "use Python 3.11, 3.12 or 3.13")


def _java(name: str) -> Check:
    """Only the local Kafka needs it."""
    try:
        java = find_java()
    except Misconfigured as error:
        local = not load_settings(KafkaSettings).bootstrap_servers
        return Check(name, Health.FAIL if local else Health.WARN, "none", str(error))
    return Check(name, Health.OK, f"{java.major} at {java.executable}")


def _kafka(name: str) -> Check:
    settings = kafka_settings()
    cluster = provision.metadata(make_admin(settings))
    return Check(
        name, Health.OK, f"{settings.bootstrap_servers}: cluster {cluster.cluster_id}, {len(cluster.brokers)} brokers"
    )


def _topics(name: str) -> Check:
    settings = kafka_settings()
    differences = provision.plan(make_admin(settings), settings.catalogue())
    if not differences:
        return Check(name, Health.OK, "as the catalogue says")
    missing = sum(difference.aspect is provision.Aspect.MISSING for difference in differences)
    if missing:
        return Check(name, Health.FAIL, f"{missing} missing", "run `aam topics apply`")
    return Check(name, Health.WARN, f"{len(differences)} differences", "see `aam topics diff`")


def _transactions(name: str) -> Check:
    settings = kafka_settings()
    found = hanging_transactions(settings, [spec.name for spec in settings.catalogue()])
    if not found:
        return Check(name, Health.OK, "none hangs")
    worst = found[0]
    told = (
        f"{len(found)} hang, the first in {worst.topic} [{worst.partition}] for {worst.seconds:,.0f} s: nobody reads on"
    )
    tool = f"--topic {worst.topic} --partition {worst.partition} --start-offset {worst.offset}"
    return Check(name, Health.FAIL, told, f"`aam kafka tool kafka-transactions abort {tool}`, then look again")


def _mapping_table(name: str) -> Check:
    settings = kafka_settings()
    count, complete = 0, False
    for record in read_topic(settings, settings.names.mapping_table):
        count += record.key != SNAPSHOT_COMPLETE
        complete = complete or record.key == SNAPSHOT_COMPLETE
    if complete:
        return Check(name, Health.OK, f"has a snapshot, {count} records")
    return Check(name, Health.FAIL, "no snapshot: no worker starts", "run a worker that publishes, with Postgres up")


def _postgres(name: str) -> Check:
    with open_registry() as pool, transaction(pool) as connection:
        version = connection.info.server_version // 10_000
        row = connection.execute("SELECT extversion FROM pg_extension WHERE extname = 'vector'").fetchone()
    found = f"PostgreSQL {version}, pgvector {row[0] if row else 'missing'}"
    if version < OLDEST_POSTGRES:
        return Check(name, Health.FAIL, found, f"use PostgreSQL {OLDEST_POSTGRES} or newer")
    if row is None:
        return Check(name, Health.FAIL, found, "run `aam migrate`; pgvector must be installed on the server")
    return Check(name, Health.OK, found)


def _migrations(name: str) -> Check:
    with open_registry() as pool, transaction(pool) as connection:
        row = connection.execute("SELECT coalesce(max(number), 0) FROM schema_migration").fetchone()
    applied, newest = (row[0] if row else 0), len(load_migrations())
    if applied < newest:
        return Check(name, Health.FAIL, f"{newest - applied} of {newest} are missing", "run `aam migrate`")
    if applied > newest:
        return Check(name, Health.FAIL, f"the database is at {applied}, this AAM at {newest}", "use a newer AAM")
    return Check(name, Health.OK, f"all {newest} are applied")


def _schema_registry(name: str) -> Check:
    settings = load_settings(KafkaSettings)
    if not settings.schema_registry_url:
        return Check(name, Health.OK, "none: AAM's own schema ids are used")
    with suppress(InvalidRecord):  # an id that it doesn't know is an answer, too
        RegistrySchemas(open_client(settings)).find(1)
    return Check(name, Health.OK, f"{settings.schema_registry_url} answers")


def _local_state(name: str) -> Check:
    root = load_settings(LocalSettings).root
    if root.exists() and not root.is_dir():
        return Check(name, Health.FAIL, f"{root} is no folder", "remove it, or set AAM_HOME")
    return Check(name, Health.OK, str(root) if root.exists() else f"{root} (not there yet)")


def _disk(name: str) -> Check:
    root = load_settings(LocalSettings).root
    place = next(folder for folder in (root, *root.parents) if folder.exists())
    gib = shutil.disk_usage(place).free / 2**30
    found = f"{gib:.1f} GiB free at {place}"
    if gib >= LITTLE_DISK_GIB:
        return Check(name, Health.OK, found)
    return Check(name, Health.WARN if gib >= NO_DISK_GIB else Health.FAIL, found, "make room, or set AAM_HOME")


CHECKS: dict[str, Callable[[str], Check]] = {
    "python": _python,
    "java": _java,
    "kafka": _kafka,
    "topics": _topics,
    "transactions": _transactions,
    "postgres": _postgres,
    "migrations": _migrations,
    "mapping table": _mapping_table,
    "schema registry": _schema_registry,
    "local state": _local_state,
    "disk": _disk,
}

# what can't be checked while another check fails
NEEDS = {"topics": "kafka", "transactions": "kafka", "mapping table": "kafka", "migrations": "postgres"}
