"""How commands show versions of mappings: a row of a table for people, an object for programs."""

import json
from collections.abc import Iterable
from typing import Any

from cli.console import say, write_json, write_table
from mapping.mapping_set import Mapping
from registry.mapping_store import StoredMapping

COLUMNS = ("id", "tenant", "source", "from", "to", "transform", "confidence", "method", "status", "version")


def show_versions(found: Iterable[StoredMapping], *, as_json: bool, none: str) -> None:
    """Writes them; says `none` to people if there are none."""
    versions = list(found)
    if as_json:
        for version in versions:
            write_json(version_json(version))
    elif versions:
        write_table(COLUMNS, [_row(version) for version in versions])
    else:
        say(none)


def version_json(version: StoredMapping) -> dict[str, Any]:
    """One version, whole."""
    tenant, connector, entity = version.key
    return {
        "id": version.id,
        "tenant": tenant,
        "connector": connector,
        "entity": entity,
        **version.mapping.model_dump(mode="json"),
        "status": version.status,
        "method": version.method,
        "created_by": version.created_by,
        "created_at": version.created_at.isoformat(),
        "approved_by": version.approved_by,
        "approved_at": version.approved_at.isoformat() if version.approved_at else None,
        "version": version.version,
        "revision": version.revision,
        "is_active": version.is_active,
        "active_from": version.active_from,
        "confirmed_from": version.confirmed_from,
        "active_until": version.active_until,
        "restores": version.restores,
        "experiment": version.experiment_id,
    }


def paths_of(mapping: Mapping) -> str:
    """What a mapping reads."""
    return " or ".join([mapping.source_field or "", *mapping.fallbacks])


def transform_of(mapping: Mapping) -> str:
    """Its transform, on one line."""
    transform = mapping.transform
    params = ", ".join(f"{name}={json.dumps(value, ensure_ascii=False)}" for name, value in transform.params.items())
    details = ", ".join(filter(None, [*transform.inputs, params if len(params) <= 40 else "…"]))
    return f"{transform.op}({details})" if details else transform.op


def _row(version: StoredMapping) -> tuple[object, ...]:
    tenant, connector, entity = version.key
    return (
        version.id,
        tenant,
        f"{connector}/{entity}",
        paths_of(version.mapping),
        ".".join(version.mapping.target),
        transform_of(version.mapping),
        f"{version.mapping.confidence:.2f}",
        version.method,
        version.status,
        version.version,
    )
