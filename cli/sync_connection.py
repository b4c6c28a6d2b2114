"""`aam connectors test` and `sync`: one connection, in this process, as the worker would.

What is read and written is up to `connectors` and `agents.connection_sync`; this shows how it goes.
"""

import asyncio
import gc
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated, Any

import typer

from agents.connection_credentials import StoredCredentials
from agents.connection_sync import ConnectionSync, Progress, SyncResult, Tools
from cli.console import is_terminal, say, write_json, write_line, write_table
from cli.exit_codes import ExitCode, exit_code
from cli.services import kafka_settings, load_settings, open_registry
from connectors.discover_samples import fields_of_samples
from connectors.egress import Egress
from connectors.limits import LimitBook
from connectors.settings import ConnectorSettings
from connectors.spec_files import load_spec
from connectors.sync import EntitySync
from connectors.vendor import Access, Vendor
from registry.connections import Connections, StoredConnection
from registry.secrets import Secrets, SecretSettings
from schemas.failures import AamError, Misconfigured
from topics.clients import make_producer

GC_THRESHOLD = (100_000, 50, 100)
"""Records are trees without cycles: looking for cycles as often as usual takes a fifth of the time."""

AsJson = Annotated[bool, typer.Option("--json", help="One JSON object.")]
Tenant = Annotated[str, typer.Option(help="Whose connection it is.")]
ConnectionId = Annotated[str, typer.Argument(help="Id of the connection.", metavar="CONNECTION")]
Entities = Annotated[list[str] | None, typer.Option("--entity", help="Only these entities.")]


def add_to(app: typer.Typer) -> None:
    """Register the commands of this module with `aam connectors`."""
    app.command("test")(try_out)
    app.command()(sync)


def try_out(connection: ConnectionId, tenant: Tenant, entity: Entities = None, as_json: AsJson = False) -> None:
    """Ask for one page of each entity, and tell what it takes and gives. Writes nothing. Exit 1 if one fails."""
    with open_registry() as pool:
        secrets = Secrets(pool, load_settings(SecretSettings))
        connections = Connections(pool)
        stored = connections.get(tenant, connection)
        auth, rows = asyncio.run(_test(stored, StoredCredentials(stored, connections, secrets), entity))
    if as_json:
        write_json({"tenant": tenant, "connection": connection, "auth": auth, "entities": rows})
    else:
        say(f"{connection}: {stored.connector}, let in by {auth}")
        columns = ("entity", "result", "records", "of", "fields", "paging", "seconds")
        write_table(columns, [[row.get(name, "") for name in columns] for row in rows])
    if any(row["result"] != "ok" for row in rows):
        raise typer.Exit(ExitCode.DIFFERENCES)


def sync(
    connection: ConnectionId,
    tenant: Tenant,
    entity: Entities = None,
    full: Annotated[
        bool, typer.Option("--full", help="Everything, not only what changed since the last sync.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Read what is new and send it to the raw topic. Interrupted, it goes on from there next time."""
    kafka, settings = kafka_settings(), load_settings(ConnectorSettings)
    gc.set_threshold(*GC_THRESHOLD)
    started = time.monotonic()
    with open_registry() as pool:
        connections = Connections(pool)
        connections.get(tenant, connection)
        claim = connections.claim(tenant, connection)
        if claim is None:
            raise Misconfigured(
                f"{connection} is being synced: wait for that, or two minutes if its process was killed"
            )

        async def work(on_progress: Progress | None) -> SyncResult:
            async with Egress(settings) as egress:
                tools = Tools(
                    producer=make_producer(kafka),
                    names=kafka.names,
                    connections=connections,
                    secrets=Secrets(pool, load_settings(SecretSettings)),
                    egress=egress,
                    book=LimitBook(),
                    settings=settings,
                )
                return await ConnectionSync(tools, claim, on_progress=on_progress).run(entities=entity, full=full)

        result = asyncio.run(_shown(work, as_json=as_json))
    _report(result, time.monotonic() - started, as_json=as_json)


async def _shown(work: Any, *, as_json: bool) -> SyncResult:
    """With a bar per entity where a person looks on."""
    if as_json or not is_terminal():
        return await work(None)  # type: ignore[no-any-return]  # a SyncResult
    async with _bars() as on_progress:
        return await work(on_progress)  # type: ignore[no-any-return]  # as above


@asynccontextmanager
async def _bars() -> AsyncIterator[Progress]:
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn  # noqa: PLC0415

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns) as shown:
        tasks: dict[str, Any] = {}

        def on_progress(entity: str, records: int, total: int | None) -> None:
            if entity not in tasks:
                tasks[entity] = shown.add_task(entity, total=total)
            shown.update(tasks[entity], completed=records, total=total)

        yield on_progress


def _report(result: SyncResult, seconds: float, *, as_json: bool) -> None:
    if as_json:
        write_json(
            {
                "records": result.records,
                "problems": result.problems,
                "requests": result.requests,
                "seconds": round(seconds, 3),
            }
        )
    else:
        for entity, count in result.records.items():
            problem = result.problems.get(entity)
            write_line(f"{entity}: {count} records" + (f"; {problem['reason']}. {problem['fix']}" if problem else ""))
        if result.action_required is not None:
            say(f"action required: {result.action_required}. {result.action_required.fix}")
        say(f"{sum(result.records.values())} records with {result.requests} requests in {seconds:.1f} s")
    if result.action_required is not None:
        raise typer.Exit(exit_code(result.action_required))
    if result.problems:
        raise typer.Exit(ExitCode.UNREACHABLE if result.is_transient else ExitCode.DIFFERENCES)


async def _test(
    stored: StoredConnection, credentials: StoredCredentials, names: list[str] | None
) -> tuple[str, list[dict[str, Any]]]:
    """(how requests are signed, a row an entity)."""
    settings = load_settings(ConnectorSettings)
    spec = load_spec(stored.connector, settings.specs_folder)
    async with Egress(settings) as egress:
        access = Access(stored.tenant, stored.id, credentials, stored.settings, stored.base_url)
        vendor = Vendor(spec, access, egress, LimitBook(), settings)
        chosen = names or stored.entities or list(spec.entities)
        return vendor.auth, [await _test_entity(vendor, name) for name in chosen]


async def _test_entity(vendor: Vendor, name: str) -> dict[str, Any]:
    started = time.monotonic()
    try:
        if name not in vendor.spec.entities:
            raise Misconfigured(f"{vendor.spec.name} has no entity {name}")
        records, paging, reason, total = await EntitySync(vendor, name, {}).first_page()
    except AamError as error:
        return {"entity": name, "result": "; ".join(filter(None, (str(error), getattr(error, "fix", ""))))}
    fields = fields_of_samples(records)
    return {
        "entity": name,
        "result": "ok",
        "records": len(records),
        "of": total if total is not None else "",
        "fields": len(fields),
        "paging": f"{paging.kind}: {reason}",
        "seconds": round(time.monotonic() - started, 2),
        "schema": [field.model_dump(mode="json", exclude_defaults=True) for field in fields],
    }
