"""`aam connectors scan`: has workers look at vendors again. What a look finds is up to `agents.scan_job`."""

from collections.abc import Iterable
from datetime import UTC, datetime
from enum import StrEnum
from typing import Annotated

import typer

from cli.console import say
from cli.produce import Sender
from cli.services import kafka_settings, open_registry
from registry.connections import Connections, StoredConnection
from schemas.failures import InvalidRecord
from schemas.messages import ScanJob
from topics.clients import make_producer


class Urgency(StrEnum):
    """The lanes of scan jobs."""

    CRITICAL = "critical"
    NORMAL = "normal"
    BULK = "bulk"


def add_to(app: typer.Typer) -> None:
    """Register the command of this module with `aam connectors`."""
    app.command()(scan)


def scan(
    connection: Annotated[str | None, typer.Argument(help="Id of the connection; none: all active ones.")] = None,
    tenant: Annotated[str | None, typer.Option(help="Whose; none: everybody's.")] = None,
    entity: Annotated[list[str] | None, typer.Option(help="Only these entities.")] = None,
    urgency: Annotated[Urgency | None, typer.Option(help="Default: normal for one connection, bulk for all.")] = None,
) -> None:
    """Have the workers look at a vendor, or all, and announce the schemas that they find."""
    if connection and not tenant:
        raise typer.BadParameter("say whose connection it is", param_hint="--tenant")
    if entity and not connection:
        raise typer.BadParameter("name the connection that has them", param_hint="--entity")
    with open_registry() as pool:
        connections = Connections(pool)
        chosen = [connections.get(tenant or "", connection)] if connection else connections.find(tenant)
    active = [stored for stored in chosen if stored.status == "active"]
    for stored in chosen:
        if stored not in active:
            say(f"left out: {stored.tenant}/{stored.id} is {stored.status.replace('_', ' ')}")
    if not active:
        raise InvalidRecord("no active connection is there to be looked at")
    lane = urgency or (Urgency.NORMAL if connection else Urgency.BULK)
    _enqueue(active, entity or (), lane)
    count = f"{len(active)} scans" if len(active) > 1 else "a scan"
    say(f"asked for {count}, {lane}; workers with the agent scan_schemas do it")


def _enqueue(chosen: Iterable[StoredConnection], entities: Iterable[str], lane: Urgency) -> None:
    kafka = kafka_settings()
    sender = Sender(make_producer(kafka), kafka.names.scan_jobs[lane])
    now = datetime.now(UTC)
    for stored in chosen:
        job = ScanJob(tenant=stored.tenant, connection=stored.id, entities=tuple(entities), requested_at=now)
        sender.send(stored.tenant.encode(), job.model_dump_json().encode(), [])
    sender.finish("scan jobs")
