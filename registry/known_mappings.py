"""What the registry knows for sure about source fields: what people and seeds have mapped or called nothing. From this
the matching learns; what a machine decided alone teaches nobody.
"""

from typing import NamedTuple

from psycopg_pool import ConnectionPool

from registry.pool import Connection, Pool, transaction
from registry.queries import QUERIES


class KnownField(NamedTuple):
    """One source field and what it is; `canonical_field` None: it is nothing of `canonical_entity`."""

    connector: str
    source_entity: str
    path: str
    json_type: str | None
    canonical_entity: str
    canonical_field: str | None


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
    types = {(row[0], row[1], row[2]): row[3] for row in connection.execute(QUERIES["known_types"])}
    arguments = {"tenant": tenant}
    fields = [
        KnownField(connector, entity, path, types.get((connector, entity, path)), *target)
        for connector, entity, path, *target in connection.execute(QUERIES["known_fields"], arguments)
    ]
    mapped = {(known.connector, known.source_entity, known.path) for known in fields}
    nothings = [
        KnownField(connector, entity, path, types.get((connector, entity, path)), canonical_entity, None)
        for connector, entity, path, canonical_entity in connection.execute(QUERIES["known_nothings"], arguments)
        if (connector, entity, path) not in mapped
    ]
    return fields + nothings
