"""Reads what sets are before a decision: what holds, what is proposed, what is on trial.

In the caller's transaction, which holds the lock of the revision, so nobody else changes it meanwhile.
"""

from collections import defaultdict
from collections.abc import Collection
from typing import Any

from registry.edits import Declaration, Key, Proposal, SetState, Target, Version, mapping_of
from registry.pool import Connection
from registry.queries import QUERIES
from registry.read_sets import key_columns


def read_states(connection: Connection, keys: Collection[Key]) -> dict[Key, SetState]:
    """key → its state, for each of `keys`; a set not heard of is an empty state without a declaration."""
    columns = key_columns(keys)
    holding: dict[Key, dict[Target, Version]] = defaultdict(dict)
    for tenant, connector, entity, *row, method, person, number in connection.execute(
        QUERIES["holding_versions"], columns
    ):
        mapping = mapping_of(row)
        personal = person or method == "manual"
        holding[tenant, connector, entity][mapping.target] = Version(mapping, number, row[-1], personal, method)
    highest: dict[Key, dict[Target, int]] = defaultdict(dict)
    for tenant, connector, entity, *target, number in connection.execute(QUERIES["highest_versions"], columns):
        highest[tenant, connector, entity][target[0], target[1]] = number
    proposals, on_trial = _undecided(connection, columns)
    declared: dict[Key, tuple[Declaration, Any]] = {
        (tenant, connector, entity): (Declaration(tuple(primary_key), tuple(ignored)), method)
        for tenant, connector, entity, primary_key, ignored, method in connection.execute(
            QUERIES["declarations"], columns
        )
    }
    return {
        key: SetState(
            holding=holding.get(key, {}),
            highest=highest.get(key, {}),
            proposals=tuple(proposals.get(key, ())),
            on_trial=frozenset(on_trial.get(key, ())),
            declaration=declared[key][0] if key in declared else None,
            declared_by=declared[key][1] if key in declared else None,
        )
        for key in keys
    }


def _undecided(
    connection: Connection, columns: dict[str, list[str]]
) -> tuple[dict[Key, list[Proposal]], dict[Key, list[Target]]]:
    proposals: dict[Key, list[Proposal]] = defaultdict(list)
    on_trial: dict[Key, list[Target]] = defaultdict(list)
    rows = connection.execute(QUERIES["undecided_versions"], columns)
    for tenant, connector, entity, *row, identity, number, created_by in rows:
        key, mapping = (tenant, connector, entity), mapping_of(row)
        if row[-1] == "trial":
            on_trial[key].append(mapping.target)
        else:
            proposals[key].append(Proposal(identity, mapping.target, number, mapping, created_by))
    return proposals, on_trial
