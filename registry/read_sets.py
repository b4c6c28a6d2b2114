"""Reads mapping sets as they are inside a transaction; which transaction, and what for, is its caller's choice."""

from collections import defaultdict
from collections.abc import Collection
from typing import Any

from mapping.mapping_set import MappingSet
from registry.edits import Key, mapping_of
from registry.pool import Connection
from registry.queries import QUERIES


def read_sets(connection: Connection, keys: Collection[Key] | None = None) -> list[MappingSet]:
    """The sets of `keys`, or all, in order of key; mappings in order of target. Keys not heard of give nothing."""
    epoch, _ = read_revision(connection)
    which = "all" if keys is None else "some"
    arguments = None if keys is None else _columns(keys)
    mappings: dict[Key, list[Any]] = defaultdict(list)
    for row in connection.execute(QUERIES[f"{which}_active_mappings"], arguments):
        mappings[row[:3]].append(mapping_of(row[3:]))
    return [
        MappingSet(
            tenant=tenant,
            connector=connector,
            entity=entity,
            epoch=epoch,
            revision=revision,
            primary_key=tuple(primary_key),
            ignored=tuple(ignored),
            mappings=tuple(mappings[tenant, connector, entity]),
        )
        for tenant, connector, entity, primary_key, ignored, revision in connection.execute(
            QUERIES[f"{which}_sources"], arguments
        )
    ]


def read_revision(connection: Connection) -> tuple[int, int]:
    """(epoch, revision) of the registry."""
    row = connection.execute(QUERIES["get_revision"]).fetchone()
    assert row is not None
    return row[0], row[1]


def _columns(keys: Collection[Key]) -> dict[str, list[str]]:
    return {
        "tenants": [key[0] for key in keys],
        "connectors": [key[1] for key in keys],
        "entities": [key[2] for key in keys],
    }
