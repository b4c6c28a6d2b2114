"""Reads mapping sets as they are inside a transaction; which transaction, and what for, is its caller's choice."""

from collections import defaultdict
from collections.abc import Collection, Sequence
from typing import Any

from mapping.mapping_set import Experiment, MappingSet
from registry.edits import Key, mapping_of
from registry.pool import Connection
from registry.queries import QUERIES


def read_sets(connection: Connection, keys: Collection[Key] | None = None) -> list[MappingSet]:
    """The sets of `keys`, or all, in order of key; mappings in order of target. Keys not heard of give nothing."""
    epoch, _ = read_revision(connection)
    which = "all" if keys is None else "some"
    arguments = None if keys is None else key_columns(keys)
    mappings: dict[Key, list[Any]] = defaultdict(list)
    for row in connection.execute(QUERIES[f"{which}_active_mappings"], arguments):
        mappings[row[:3]].append(mapping_of(row[3:]))
    experiments = _running_experiments(connection)
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
            experiment=experiments.get((tenant, connector, entity)),
        )
        for tenant, connector, entity, primary_key, ignored, revision in connection.execute(
            QUERIES[f"{which}_sources"], arguments
        )
    ]


def _running_experiments(connection: Connection) -> dict[Key, Experiment]:
    found: dict[Key, list[Any]] = defaultdict(list)
    for row in connection.execute(QUERIES["running_experiments"]):
        found[row[:3]].append(row[3:])
    return {key: experiment_of(rows) for key, rows in found.items()}


def experiment_of(rows: Sequence[Sequence[Any]]) -> Experiment:
    """(id, percent, salt, *mapping) of each of its alternatives, as an experiment."""
    identity, percent, salt, *_ = rows[0]
    return Experiment(id=identity, percent=percent, salt=salt, mappings=tuple(mapping_of(row[3:]) for row in rows))


def read_revision(connection: Connection) -> tuple[int, int]:
    """(epoch, revision) of the registry."""
    row = connection.execute(QUERIES["get_revision"]).fetchone()
    assert row is not None
    return row[0], row[1]


def key_columns(keys: Collection[Key]) -> dict[str, list[str]]:
    """`keys` as the parameters of a statement that reads some sets."""
    return {
        "tenants": [key[0] for key in keys],
        "connectors": [key[1] for key in keys],
        "entities": [key[2] for key in keys],
    }
