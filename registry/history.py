"""What held at any revision: the sets that events of the past were made with, exactly.

An event names one revision: that of the newer of the two sets it was mapped by. Neither changed between that and the
moment the worker learned of them, so both are told by it.
"""

from collections.abc import Collection
from datetime import datetime

from mapping.mapping_set import ANY_TENANT, MappingSet, compose
from registry import errors
from registry.edits import Declaration, Key, Target, Version, mapping_of
from registry.pool import AnyPool, Connection, transaction
from registry.queries import QUERIES
from registry.read_sets import experiment_of, key_columns, read_revision


class History:
    """Reads the past. All methods raise RegistryUnavailable (retry), RegistryMisconfigured, and InvalidDecision for a
    revision that isn't reached yet or was lost in a restore.
    """

    def __init__(self, pool: AnyPool) -> None:
        self._pool = pool

    def composed_set(self, revision: int, tenant: str, connector: str, entity: str) -> MappingSet | None:
        """What mapped the tenant's records at `revision` (`*`: of any tenant without a set of its own); None: nothing.

        The set's own revision is that of its latest change until then, which is what its events bear.
        """
        with transaction(self._pool) as connection:
            require_known(connection, revision)
            base = set_at(connection, revision, (ANY_TENANT, connector, entity))
            if tenant == ANY_TENANT:
                return compose(base, None)
            return compose(base, set_at(connection, revision, (tenant, connector, entity)))

    def revision(self) -> int:
        """The registry's revision."""
        with transaction(self._pool) as connection:
            return read_revision(connection)[1]

    def revision_at(self, moment: datetime) -> int:
        """The registry's revision at `moment`."""
        with transaction(self._pool) as connection:
            return revision_at(connection, moment)


def require_known(connection: Connection, revision: int) -> None:
    """Raises InvalidDecision for a revision of which nothing is known."""
    _, current = read_revision(connection)
    if not 0 <= revision <= current:
        raise errors.InvalidDecision(f"there is no revision {revision} yet; the registry is at {current}")
    lost = connection.execute(QUERIES["find_lost_revision"], {"revision": revision}).fetchone()
    if lost is not None:
        raise errors.InvalidDecision(
            f"revision {revision} was lost when the database was restored: {lost[0] + 1} to {lost[1]} are not known"
        )


def revision_at(connection: Connection, moment: datetime) -> int:
    """The registry's revision at `moment`; 0 before its first."""
    row = connection.execute(QUERIES["revision_at"], {"moment": moment}).fetchone()
    assert row is not None
    return int(row[0])


def set_at(connection: Connection, revision: int, key: Key) -> MappingSet | None:
    """The set of exactly this key as it was at `revision`; None if it wasn't heard of."""
    arguments = {**key_columns([key]), "revision": revision}
    row = connection.execute(QUERIES["declarations_at"], arguments).fetchone()
    if row is None or row[3] is None:
        return None
    tried = connection.execute(QUERIES["experiment_at"], arguments).fetchall()
    found = connection.execute(QUERIES["versions_at"], arguments).fetchall()
    return MappingSet(
        tenant=key[0],
        connector=key[1],
        entity=key[2],
        epoch=row[6],
        revision=row[3],
        primary_key=tuple(row[4] or ()),
        ignored=tuple(row[5] or ()),
        mappings=tuple(mapping_of(columns[3:9]) for columns in found if columns[8] != "removed"),
        experiment=experiment_of(tried) if tried else None,
    )


def holding_at(connection: Connection, revision: int, keys: Collection[Key]) -> dict[Key, dict[Target, Version]]:
    """key → target → the version that held at `revision`, removals left out."""
    held: dict[Key, dict[Target, Version]] = {key: {} for key in keys}
    arguments = {**key_columns(keys), "revision": revision}
    for tenant, connector, entity, *row, method, number in connection.execute(QUERIES["versions_at"], arguments):
        if row[-1] != "removed":
            mapping = mapping_of(row)
            held[tenant, connector, entity][mapping.target] = Version(mapping, number, row[-1], False, method)
    return held


def declarations_at(connection: Connection, revision: int, keys: Collection[Key]) -> dict[Key, Declaration]:
    """key → what was declared of the set at `revision`; empty lists if nothing was."""
    arguments = {**key_columns(keys), "revision": revision}
    found = {
        (row[0], row[1], row[2]): Declaration(tuple(row[4] or ()), tuple(row[5] or ()))
        for row in connection.execute(QUERIES["declarations_at"], arguments)
    }
    return {key: found.get(key, Declaration()) for key in keys}
