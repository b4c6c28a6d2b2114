"""`aam mappings`: what source fields are, in versions. What a valid mapping is, `mapping.plan` decides; what a decision
does, `registry`. The commands about the past, decisions and files stand in modules of their own.
"""

from typing import Annotated

import typer

from cli.actor import current_actor
from cli.console import write_json, write_line
from cli.mapping_decisions import approve, propose, reject, rollback
from cli.mapping_files import export_files, import_files
from cli.mapping_options import (
    Confidence,
    Connector,
    Entity,
    Fallbacks,
    Inputs,
    Json,
    OnlyConnector,
    OnlyEntity,
    OnlyTenant,
    Op,
    Params,
    Reason,
    Source,
    Target,
    Tenant,
    build_mapping,
    parse_target,
)
from cli.mapping_past import diff, history, show
from cli.mapping_tables import show_versions
from cli.services import open_registry, registry_settings
from mapping.mapping_set import ANY_TENANT
from registry.approvals import Approvals, UndecidedFilter
from registry.edits import Declaration, SetEdit
from registry.mapping_store import MappingStore
from registry.seeds import connector_names, load_seeds

app = typer.Typer(no_args_is_help=True, help="What source fields are: list, decide, look back, roll back.")


@app.command("list")
def list_mappings(
    connector: OnlyConnector = None,
    entity: OnlyEntity = None,
    tenant: OnlyTenant = None,
    undecided: Annotated[bool, typer.Option("--undecided", help="What waits for approval instead.")] = False,
    past: Annotated[bool, typer.Option("--history", help="Also versions that don't hold.")] = False,
    as_json: Json = False,
) -> None:
    """Show the mappings in force, provisional ones too."""
    with open_registry() as pool:
        if undecided:
            found = Approvals(pool).find(UndecidedFilter(tenant, connector, entity))
        else:
            found = MappingStore(pool).list_mappings(tenant=tenant, connector=connector, entity=entity, history=past)
    none = "No mappings. `aam mappings seed` imports those of the connectors that AAM knows."
    show_versions(found, as_json=as_json, none="Nothing waits." if undecided else none)


app.command()(show)
app.command()(history)
app.command()(diff)


@app.command("set")
def set_mapping(
    connector: Connector,
    entity: Entity,
    target: Target,
    source: Source = None,
    tenant: Tenant = ANY_TENANT,
    op: Op = "copy",
    params: Params = None,
    inputs: Inputs = None,
    fallbacks: Fallbacks = None,
    confidence: Confidence = 1.0,
    primary_key: Annotated[
        list[str] | None,
        typer.Option("--primary-key", help="Source path that identifies a record; repeat if composite."),
    ] = None,
    reason: Reason = "",
    as_json: Json = False,
) -> None:
    """Make a source path the one that a canonical field is read from, at once; replaces what was."""
    mapping = build_mapping(
        target, source, op=op, params=params, inputs=inputs, fallbacks=fallbacks, confidence=confidence
    )
    with open_registry() as pool:
        store = MappingStore(pool, bar_self_approval=registry_settings().bar_self_approval)
        declaration = None
        if primary_key:
            known = store.load_set(tenant, connector, entity)
            declaration = Declaration(tuple(primary_key), known.ignored if known else ())
        edit = SetEdit((tenant, connector, entity), mappings=(mapping,), declaration=declaration)
        revision = store.apply([edit], method="manual", actor=current_actor(), reason=reason)
    _say_revision(f"{connector}/{entity}: {target} ← {source or 'constant'}", revision, as_json=as_json)


@app.command()
def remove(
    connector: Connector,
    entity: Entity,
    target: Target,
    tenant: Tenant = ANY_TENANT,
    reason: Reason = "",
    as_json: Json = False,
) -> None:
    """Leave a canonical field without a mapping; its source goes to custom fields."""
    with open_registry() as pool:
        store = MappingStore(pool, bar_self_approval=registry_settings().bar_self_approval)
        revision = store.remove_mapping(
            tenant=tenant,
            connector=connector,
            entity=entity,
            target=parse_target(target),
            method="manual",
            actor=current_actor(),
            reason=reason,
        )
    _say_revision(f"{connector}/{entity}: {target} has no mapping", revision, as_json=as_json)


app.command()(propose)
app.command()(approve)
app.command()(reject)
app.command()(rollback)


@app.command()
def seed(
    connectors: Annotated[list[str] | None, typer.Option("--connector", help="Only this one; can be repeated.")] = None,
    as_json: Json = False,
) -> None:
    """Import the mappings that AAM brings along; what a person set, approved or removed stays as it is."""
    strangers = sorted(set(connectors or ()) - set(connector_names()))
    if strangers:
        known = ", ".join(connector_names())
        raise typer.BadParameter(f"no seed for {strangers[0]!r}; there are {known}", param_hint="--connector")
    sets = load_seeds(connectors or ())
    with open_registry() as pool:
        revision = MappingStore(pool).import_seed(sets, actor=current_actor())
    names = sorted({seeded.connector for seeded in sets})
    count = sum(len(seeded.mappings) for seeded in sets)
    _say_revision(f"{', '.join(names)}: {count} mappings", revision, as_json=as_json)


app.command("import")(import_files)
app.command("export")(export_files)


def _say_revision(what: str, revision: int, *, as_json: bool) -> None:
    if as_json:
        write_json({"revision": revision})
    else:
        write_line(f"{what}, revision {revision}")
