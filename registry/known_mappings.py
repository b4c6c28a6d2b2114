"""What the registry knows for sure about source fields: what people and seeds have mapped or called nothing. From this
the matching learns; what a machine decided alone teaches nobody.
"""

from typing import NamedTuple

from psycopg_pool import ConnectionPool

from registry.pool import Connection, Pool, transaction
from registry.queries import QUERIES


class KnownField(NamedTuple):
    """One source field and what it is; `canonical_field` None: it is nothing of `canonical_entity`. `seeded`: of a
    source that came with AAM."""

    connector: str
    source_entity: str
    path: str
    json_type: str | None
    canonical_entity: str
    canonical_field: str | None
    seeded: bool = False


def known_mappings(registry: Pool | Connection, *, tenant: str | None = None) -> list[KnownField]:
    """All known fields of the connectors, and those of `tenant`'s own sets; no other tenant's.

    `json_type` is the one JSON type that the field was last seen with; None if it is not known or has several.
    """
    if isinstance(registry, ConnectionPool):
        with transaction(registry) as connection:
            return _read(connection, tenant)
    return _read(registry, tenant)


def _read(connection: Connection, tenant: str | None) -> list[KnownField]:
    # Types are no secret between tenants of one connector's field; who has the field is not told.
    types = {row[:3]: row[3] for row in connection.execute(QUERIES["known_types"])}
    arguments = {"tenant": tenant}
    fields = [
        KnownField(row[0], row[1], row[2], types.get(row[:3]), row[3], row[4], row[5])
        for row in connection.execute(QUERIES["known_fields"], arguments)
    ]
    mapped = {known[:3] for known in fields}
    seeded = {known[:2] for known in fields if known.seeded}
    nothings = [
        KnownField(row[0], row[1], row[2], types.get(row[:3]), row[3], None, row[:2] in seeded)
        for row in connection.execute(QUERIES["known_nothings"], arguments)
        if row[:3] not in mapped
    ]
    return fields + nothings
