"""`aam registry`: the audit trail, and what to do after a restore of its database."""

from typing import Annotated, Final

import typer

from agents.mapping_cache import TableAssembler
from cli.actor import current_actor
from cli.console import say, write_json, write_line, write_table
from cli.mapping_options import Json, OnlyConnector, OnlyEntity, OnlyTarget, OnlyTenant, parse_moment, parse_target
from cli.services import kafka_settings, open_registry
from registry.audit import AuditFilter, AuditTrail, Recorded
from registry.outbox import Outbox
from topics.read_topic import Until, read_topic

_SHOWN_PATHS: Final = 3  # a longer list is told by its length; --json has it whole

app = typer.Typer(no_args_is_help=True, help="The registry's audit trail, and recovery after a restore.")


@app.command()
def audit(
    connector: OnlyConnector = None,
    entity: OnlyEntity = None,
    tenant: OnlyTenant = None,
    target: OnlyTarget = None,
    actor: Annotated[str | None, typer.Option("--actor", help="Only this one's decisions.")] = None,
    since: Annotated[str | None, typer.Option("--since", help="Only since 10m, 2h, 1d ago, or a time.")] = None,
    after: Annotated[int, typer.Option("--after", min=0, help="Only with a greater id: to go on exporting.")] = 0,
    as_json: Json = False,
) -> None:
    """Show every decision: what was, what is, who, when, why; with --json, from what as well."""
    wanted = AuditFilter(
        tenant=tenant,
        connector=connector,
        entity=entity,
        target=parse_target(target) if target is not None else None,
        actor=actor,
        since=parse_moment(since) if since is not None else None,
    )
    with open_registry() as pool:
        found = AuditTrail(pool).read(wanted, after=after)
        if as_json:
            for entry in found:
                write_json({**vars(entry), "at": entry.at.isoformat()})
            return
        rows = [_row(entry) for entry in found]
    columns = ("id", "at", "revision", "who", "did", "tenant", "source", "to", "before", "after", "why")
    if rows:
        write_table(columns, rows)
    else:
        say("No decision.")


@app.command()
def recover(as_json: Json = False) -> None:
    """After a restore to an older state: have workers follow the restored database, not what was published since."""
    kafka = kafka_settings()
    published = TableAssembler()
    for record in read_topic(kafka, kafka.names.mapping_table, until=Until.WRITTEN):
        published.take(record.key, record.value)
    table = published.table
    with open_registry() as pool:
        keys = list(table.sets) if table is not None else []
        epoch, revision = Outbox(pool).recover(table.version if table else None, keys, actor=current_actor())
    if as_json:
        write_json({"epoch": epoch, "revision": revision})
    else:
        write_line(f"epoch {epoch}, revision {revision}; every set is published anew by the worker that leads")


def _row(entry: Recorded) -> tuple[object, ...]:
    target = f"{entry.canonical_entity}.{entry.canonical_field}" if entry.canonical_field else ""
    return (
        entry.id,
        entry.at.isoformat(timespec="seconds"),
        entry.revision,
        entry.actor,
        entry.action,
        entry.tenant,
        f"{entry.connector}/{entry.entity}",
        target,
        _told(entry.before),
        _told(entry.after),
        entry.reason,
    )


def _told(state: dict[str, object] | None) -> str:
    if state is None:
        return ""
    if "source_field" in state:
        return f"{state['source_field'] or 'constant'} ({state.get('status', '')})"
    return ", ".join(
        f"{name}: {len(value) if isinstance(value, list) and len(value) > _SHOWN_PATHS else value}"
        for name, value in state.items()
    )
