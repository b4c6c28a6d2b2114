"""Keeps the shapes in which source entities were seen: one version per change of shape, and what it added.

What a change means is decided by `mapping`; here only the fingerprint decides whether there is one.
"""

from dataclasses import dataclass

from psycopg.types.json import Jsonb

from registry.pool import AdvisoryLock, Pool, transaction
from registry.queries import QUERIES
from schemas.messages import SchemaChange, SourceSchema


@dataclass(frozen=True)
class Observation:
    """What an observed schema is. `added`: paths that the version before it hadn't, in order; of the first all."""

    version: int
    added: tuple[str, ...]


class SourceSchemas:
    """Versions of source schemas, per (tenant, connector, entity, connection).

    All methods raise RegistryUnavailable (retry) and RegistryMisconfigured.
    """

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    def observe(self, change: SchemaChange) -> Observation:
        """Stores what was seen as a new version, if it differs from the latest.

        A schema seen again adds nothing, and one seen before the latest was changes nothing. The same message again
        (same `observed_at`) gets the same answer, so a reader that crashed after this call loses no added path.
        """
        source = {
            "tenant": change.tenant,
            "connector": change.connector,
            "entity": change.entity,
            "connection": change.connection,
        }
        schema = change.source_schema()
        with transaction(self._pool) as connection:
            # Two observers of one new shape must not both write it.
            lock = {"lock": AdvisoryLock.SOURCE_SCHEMA, "identity": "\n".join(source.values())}
            connection.execute(QUERIES["lock_source_schema"], lock)
            rows = connection.execute(QUERIES["latest_source_schemas"], source).fetchall()
            seen = {"observed_at": change.observed_at, "fingerprint": schema.fingerprint}
            if not rows or (rows[0][1] != schema.fingerprint and change.observed_at >= rows[0][3]):
                version = rows[0][0] + 1 if rows else 1
                row = {**source, **seen, "version": version, "schema": Jsonb(schema.model_dump(mode="json"))}
                connection.execute(QUERIES["insert_source_schema"], row)
                return Observation(version, _added(schema, rows[0][4] if rows else None))
            version, fingerprint, first_seen, last_seen, _ = rows[0]
            if fingerprint != schema.fingerprint:
                return Observation(version, ())
            if change.observed_at > last_seen:
                connection.execute(QUERIES["see_source_schema"], {**source, **seen, "version": version})
            again = change.observed_at == first_seen
            return Observation(version, _added(schema, rows[1][4] if len(rows) > 1 else None) if again else ())

    def latest(self, *, tenant: str, connector: str, entity: str, connection: str) -> SourceSchema | None:
        """The schema last seen; None if none was."""
        source = {"tenant": tenant, "connector": connector, "entity": entity, "connection": connection}
        with transaction(self._pool) as session:
            row = session.execute(QUERIES["latest_source_schemas"], source).fetchone()
            return SourceSchema.model_validate(row[4]) if row else None


def _added(schema: SourceSchema, former: object) -> tuple[str, ...]:
    known = {field.path for field in SourceSchema.model_validate(former).fields} if former is not None else set()
    return tuple(field.path for field in schema.fields if field.path not in known)
