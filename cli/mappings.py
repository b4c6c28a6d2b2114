"""`aam mappings`: set, remove, list and seed them. What a valid mapping is, `mapping.plan` decides."""

import json
from typing import Annotated, Any

import typer
from pydantic import ValidationError

from cli.actor import current_actor
from cli.console import say, write_json, write_line, write_table
from cli.mapping_files import export_files, import_files
from cli.services import open_registry
from mapping.mapping_set import ANY_TENANT, Mapping
from registry.edits import Declaration, SetEdit
from registry.errors import InvalidMapping
from registry.mapping_store import MappingStore, StoredMapping
from registry.seeds import connector_names, load_seeds

app = typer.Typer(no_args_is_help=True, help="Set, remove, list and seed mappings.")

Connector = Annotated[str, typer.Option("--connector", help="Source system, e.g. stripe.")]
Entity = Annotated[str, typer.Option("--entity", help="Its kind of record, e.g. customer.")]
Tenant = Annotated[str, typer.Option("--tenant", help="One tenant's own mapping; * for all.")]
Target = Annotated[str, typer.Option("--to", help="Canonical entity and field, e.g. customer.display_name.")]
Json = Annotated[bool, typer.Option("--json", help="JSON, a line each.")]


@app.command("set")
def set_mapping(
    connector: Connector,
    entity: Entity,
    target: Target,
    source: Annotated[str | None, typer.Option("--from", help="Source path; none for a constant.")] = None,
    tenant: Tenant = ANY_TENANT,
    op: Annotated[str, typer.Option("--op", help="Transform, e.g. epoch_seconds.")] = "copy",
    params: Annotated[
        list[str] | None, typer.Option("--param", metavar="NAME=VALUE", help="Constant of the transform; JSON or text.")
    ] = None,
    inputs: Annotated[list[str] | None, typer.Option("--input", help="Further source path of the transform.")] = None,
    fallbacks: Annotated[
        list[str] | None, typer.Option("--fallback", help="Source path to read where --from has nothing.")
    ] = None,
    confidence: Annotated[float, typer.Option("--confidence", min=0, max=1)] = 1.0,
    primary_key: Annotated[
        list[str] | None,
        typer.Option("--primary-key", help="Source path that identifies a record; repeat if composite."),
    ] = None,
) -> None:
    """Make a source path the one that a canonical field is read from; replaces what was."""
    canonical_entity, canonical_field = _target(target)
    mapping = _mapping(
        canonical_entity=canonical_entity,
        canonical_field=canonical_field,
        source_field=source,
        fallbacks=fallbacks or (),
        transform={"op": op, "inputs": inputs or (), "params": _params(params or [])},
        confidence=confidence,
    )
    with open_registry() as pool:
        store = MappingStore(pool)
        declaration = None
        if primary_key:
            known = store.load_set(tenant, connector, entity)
            declaration = Declaration(tuple(primary_key), known.ignored if known else ())
        edit = SetEdit((tenant, connector, entity), mappings=(mapping,), declaration=declaration)
        revision = store.apply([edit], method="manual", actor=current_actor())
    write_line(f"{connector}/{entity}: {target} ← {source or 'constant'}, revision {revision}")


@app.command()
def remove(connector: Connector, entity: Entity, target: Target, tenant: Tenant = ANY_TENANT) -> None:
    """Leave a canonical field without a mapping; its source goes to custom fields."""
    with open_registry() as pool:
        revision = MappingStore(pool).remove_mapping(
            tenant=tenant,
            connector=connector,
            entity=entity,
            target=_target(target),
            method="manual",
            actor=current_actor(),
        )
    write_line(f"{connector}/{entity}: {target} has no mapping, revision {revision}")


@app.command("list")
def list_mappings(
    connector: Annotated[str | None, typer.Option("--connector", help="Only this source system.")] = None,
    entity: Annotated[str | None, typer.Option("--entity", help="Only this kind of record.")] = None,
    tenant: Annotated[str | None, typer.Option("--tenant", help="Only this tenant's own; * for those of all.")] = None,
    history: Annotated[bool, typer.Option("--history", help="Also versions that no longer hold.")] = False,
    as_json: Json = False,
) -> None:
    """Show the mappings in force."""
    with open_registry() as pool:
        found = MappingStore(pool).list_mappings(tenant=tenant, connector=connector, entity=entity, history=history)
    if as_json:
        for stored in found:
            write_json(_as_json(stored))
        return
    if not found:
        say("No mappings. `aam mappings seed` imports those of the connectors that AAM knows.")
        return
    columns = ("tenant", "source", "from", "to", "transform", "confidence", "method", "status", "version")
    write_table(columns, [_row(stored) for stored in found])


@app.command()
def seed(
    connectors: Annotated[list[str] | None, typer.Option("--connector", help="Only this one; can be repeated.")] = None,
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
    write_line(f"{', '.join(names)}: {sum(len(s.mappings) for s in sets)} mappings, revision {revision}")


app.command("import")(import_files)
app.command("export")(export_files)


def _target(text: str) -> tuple[str, str]:
    entity, dot, field = text.partition(".")
    if not (entity and dot and field):
        raise typer.BadParameter(f"{text!r} is not ENTITY.FIELD", param_hint="--to")
    return entity, field


def _params(pairs: list[str]) -> dict[str, Any]:
    """`k=v` pairs; a value that is JSON is what it says (numbers, objects), any other is text."""
    params: dict[str, Any] = {}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not (name and equals):
            raise typer.BadParameter(f"{pair!r} is not NAME=VALUE", param_hint="--param")
        try:
            params[name] = json.loads(value)
        except ValueError:
            params[name] = value
    return params


def _mapping(**fields: Any) -> Mapping:
    try:
        return Mapping.model_validate(fields)
    except ValidationError as error:
        first = error.errors()[0]
        raise InvalidMapping(f"{'.'.join(map(str, first['loc']))}: {first['msg']}") from error


def _row(stored: StoredMapping) -> tuple[object, ...]:
    tenant, connector, entity = stored.key
    mapping = stored.mapping
    paths = [mapping.source_field or "", *mapping.fallbacks]
    return (
        tenant,
        f"{connector}/{entity}",
        " or ".join(paths),
        f"{mapping.canonical_entity}.{mapping.canonical_field}",
        _transform(mapping),
        f"{mapping.confidence:.2f}",
        stored.method,
        stored.status if stored.is_active or stored.status == "removed" else "replaced",
        stored.version,
    )


def _transform(mapping: Mapping) -> str:
    transform = mapping.transform
    params = ", ".join(f"{name}={json.dumps(value, ensure_ascii=False)}" for name, value in transform.params.items())
    details = ", ".join(filter(None, [*transform.inputs, params if len(params) <= 40 else "…"]))
    return f"{transform.op}({details})" if details else transform.op


def _as_json(stored: StoredMapping) -> dict[str, Any]:
    tenant, connector, entity = stored.key
    return {
        "tenant": tenant,
        "connector": connector,
        "entity": entity,
        **stored.mapping.model_dump(mode="json"),
        "status": stored.status,
        "method": stored.method,
        "created_by": stored.created_by,
        "approved_by": stored.approved_by,
        "approved_at": stored.approved_at.isoformat() if stored.approved_at else None,
        "version": stored.version,
        "revision": stored.revision,
        "is_active": stored.is_active,
        "created_at": stored.created_at.isoformat(),
    }
