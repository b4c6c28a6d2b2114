"""`aam parked`: what waits for a mapping set, and its release. A worker with `release_parked` does the same by
itself; how it happens exactly once is up to `agents.release_parked`.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Annotated

import typer

from agents.mapping_cache import Key, MappingCache
from agents.novel_fields import NovelFields
from agents.parked_records import ParkedRecords
from agents.settings import WorkerSettings
from agents.worker import build_canonicalizer, build_releaser, require_topics
from cli.console import say, write_json, write_table
from cli.exit_codes import ExitCode
from cli.services import kafka_settings, load_settings
from schemas.failures import TransientError
from topics.settings import KafkaSettings

app = typer.Typer(no_args_is_help=True, help="List and release records that wait for a mapping set.")

READY_SECONDS = 60.0

Tenant = Annotated[str | None, typer.Option(help="Only this tenant's.")]
Connector = Annotated[str | None, typer.Option(help="Only this connector's.")]
Entity = Annotated[str | None, typer.Option(help="Only this entity's.")]


@app.command("list")
def list_parked(as_json: Annotated[bool, typer.Option("--json", help="JSON, a line each.")] = False) -> None:
    """List what waits, by source."""
    kafka = kafka_settings()
    require_topics(kafka)
    parked = ParkedRecords(kafka)
    parked.scan()
    rows = [
        {
            "tenant": tenant,
            "connector": connector,
            "entity": entity,
            "pending": waiting.count,
            "oldest": _time(waiting.oldest_ms),
            "newest": _time(waiting.newest_ms),
        }
        for (tenant, connector, entity), waiting in sorted(parked.pending.items())
    ]
    if as_json:
        for row in rows:
            write_json(row)
    elif rows:
        write_table(list(rows[0]), [list(row.values()) for row in rows])
    else:
        say("no parked records")


@app.command()
def release(tenant: Tenant = None, connector: Connector = None, entity: Entity = None) -> None:
    """Release now what a mapping set covers; says what is left waiting for one."""
    kafka, settings = kafka_settings(), load_settings(WorkerSettings)
    require_topics(kafka)
    parked = ParkedRecords(kafka)
    with _mapping_table(kafka) as cache:
        novel = NovelFields(reannounce_seconds=settings.novel_reannounce_seconds)
        releaser = build_releaser(kafka, settings, parked, build_canonicalizer(kafka, settings, cache, novel))
        releaser.open()
        parked.scan()
        wanted = [key for key in parked.pending if _fits(key, (tenant, connector, entity))]
        covered = [key for key in releaser.covered() if key in wanted]
        released = releaser.release(covered)
    for key in sorted(set(wanted) - set(covered)):
        say(f"{'/'.join(key)}: no mapping set; {parked.pending[key].count} records wait on")
    say(f"{released.total()} parked records released")
    if not covered and wanted:
        raise typer.Exit(ExitCode.DIFFERENCES)


@contextmanager
def _mapping_table(kafka: KafkaSettings) -> Iterator[MappingCache]:
    cache = MappingCache(kafka)
    cache.start()
    try:
        if not cache.ready.wait(READY_SECONDS):
            raise TransientError("the mapping table holds no complete publication: run a worker with Postgres up")
        yield cache
    finally:
        cache.stop()


def _fits(key: Key, wanted: tuple[str | None, str | None, str | None]) -> bool:
    return all(name in (None, own) for name, own in zip(wanted, key, strict=True))


def _time(timestamp_ms: int) -> str:
    return datetime.fromtimestamp(max(0, timestamp_ms) / 1000, UTC).isoformat(timespec="milliseconds")
