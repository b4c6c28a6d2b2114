"""`aam mappings show|history|diff`: what holds, what held at a revision, and what changed between two."""

from collections.abc import Iterable
from typing import Annotated, Any

import typer

from cli.console import say, write_json, write_line, write_table
from cli.mapping_options import Connector, Entity, Json, OnlyTarget, Tenant, parse_target
from cli.mapping_tables import paths_of, transform_of, version_json
from cli.services import open_registry
from mapping.mapping_set import ANY_TENANT, Mapping, MappingSet
from registry.audit import AuditFilter, AuditTrail, Recorded
from registry.history import History
from registry.mapping_store import MappingStore, StoredMapping


def show(
    connector: Connector,
    entity: Entity,
    tenant: Tenant = ANY_TENANT,
    revision: Annotated[
        int | None, typer.Option("--revision", min=0, help="As at this one, e.g. an event's; default: now.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object.")] = False,
) -> None:
    """Show the set that maps a tenant's records: the connector's mappings under the tenant's own."""
    with open_registry() as pool:
        history = History(pool)
        at = history.revision() if revision is None else revision
        found = history.composed_set(at, tenant, connector, entity)
    if as_json:
        write_json(None if found is None else found.model_dump(mode="json"))
    elif found is None:
        say(f"Nothing maps {connector}/{entity} at revision {at}.")
    else:
        _show_set(found)


def history(
    connector: Connector,
    entity: Entity,
    tenant: Tenant = ANY_TENANT,
    target: OnlyTarget = None,
    as_json: Json = False,
) -> None:
    """Show every version of a set's mappings: when it held, who made and approved it, and why."""
    wanted = parse_target(target) if target is not None else None
    with open_registry() as pool:
        stored = MappingStore(pool).list_mappings(tenant=tenant, connector=connector, entity=entity, history=True)
        trail = AuditFilter(tenant=tenant, connector=connector, entity=entity, target=wanted)
        reasons = _reasons(AuditTrail(pool).read(trail))
    versions = [version for version in stored if wanted in (None, version.mapping.target)]
    if as_json:
        for version in versions:
            write_json({**version_json(version), "reason": reasons.get((*version.mapping.target, version.version), "")})
        return
    columns = ("to", "version", "id", "held", "from", "transform", "status", "by", "approved by", "why")
    rows = [_past_row(version, reasons.get((*version.mapping.target, version.version), "")) for version in versions]
    write_table(columns, rows)


def diff(
    connector: Connector,
    entity: Entity,
    old: Annotated[int, typer.Option("--old", min=0, help="Revision to compare with.")],
    new: Annotated[int | None, typer.Option("--new", min=0, help="Revision to compare; default: now.")] = None,
    tenant: Tenant = ANY_TENANT,
    as_json: Json = False,
) -> None:
    """Show what a set's mappings were at one revision and are at another."""
    with open_registry() as pool:
        history = History(pool)
        later = history.revision() if new is None else new
        before, after = (_by_target(history.composed_set(at, tenant, connector, entity)) for at in (old, later))
    changes = [
        (target, before.get(target), after.get(target))
        for target in sorted({*before, *after})
        if before.get(target) != after.get(target)
    ]
    if as_json:
        for target, was, now in changes:
            write_json({"to": ".".join(target), "old": _dumped(was), "new": _dumped(now)})
        return
    for target, was, now in changes:
        for sign, mapping in (("-", was), ("+", now)):
            if mapping is not None:
                write_line(f"{sign} {'.'.join(target)} ← {paths_of(mapping)} {transform_of(mapping)} {mapping.status}")
    if not changes:
        say(f"Revisions {old} and {later} map {connector}/{entity} alike.")


def _reasons(trail: Iterable[Recorded]) -> dict[tuple[str | None, str | None, int | None], str]:
    """(canonical entity, field, version) → why it was proposed, approved, tried and so on, in that order."""
    told: dict[tuple[str | None, str | None, int | None], dict[str, None]] = {}
    for entry in trail:
        if entry.reason:
            told.setdefault((entry.canonical_entity, entry.canonical_field, entry.version), {})[entry.reason] = None
    return {version: "; ".join(reasons) for version, reasons in told.items()}


def _show_set(found: MappingSet) -> None:
    write_line(f"{found.connector}/{found.entity} for {found.tenant}, revision {found.revision}")
    write_line(f"primary key: {', '.join(found.primary_key) or 'none'}; ignored paths: {len(found.ignored)}")
    columns = ("to", "from", "transform", "confidence", "status", "arm")
    if found.experiment is None:
        write_table(columns[:-1], [_cells(mapping) for mapping in found.mappings])
        return
    write_line(f"experiment {found.experiment.id}: {found.experiment.percent:g} % of the records to arm B")
    tried = {mapping.target for mapping in found.experiment.mappings}
    rows = [(*_cells(mapping), "A" if mapping.target in tried else "A and B") for mapping in found.mappings]
    rows += [(*_cells(mapping), "B") for mapping in found.experiment.mappings]
    write_table(columns, sorted(rows))


def _cells(mapping: Mapping) -> tuple[str, str, str, str, str]:
    return (
        ".".join(mapping.target),
        paths_of(mapping),
        transform_of(mapping),
        f"{mapping.confidence:.2f}",
        mapping.status,
    )


def _past_row(version: StoredMapping, reason: str) -> tuple[object, ...]:
    held = "never"
    if version.active_from is not None:
        until = "" if version.active_until is None else str(version.active_until - 1)
        held = f"{version.active_from}–{until}"
    return (
        ".".join(version.mapping.target),
        version.version,
        version.id,
        held,
        paths_of(version.mapping),
        transform_of(version.mapping),
        version.status if version.restores is None else f"{version.status} (as version {version.restores})",
        version.created_by,
        version.approved_by or "",
        reason,
    )


def _by_target(found: MappingSet | None) -> dict[tuple[str, str], Mapping]:
    return {mapping.target: mapping for mapping in found.mappings} if found is not None else {}


def _dumped(mapping: Mapping | None) -> dict[str, Any] | None:
    return None if mapping is None else mapping.model_dump(mode="json")
