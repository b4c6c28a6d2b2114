"""Connections to the registry: a checked, bounded pool, and transactions at a stated isolation level.

Times and sizes are settings; errors leave as `registry.errors`.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import IntEnum
from typing import Any, Final

import psycopg
import psycopg_pool
from psycopg import IsolationLevel
from psycopg.rows import TupleRow

from registry import errors
from registry.settings import RegistrySettings

Connection = psycopg.Connection[TupleRow]
Pool = psycopg_pool.ConnectionPool[Connection]

TENANT_ROLE: Final = "aam_tenant"
_REFUSALS: Final = ("authentication failed", "does not exist", "no pg_hba.conf entry", "not permitted")


class AdvisoryLock(IntEnum):
    """Keys of Postgres advisory locks; one database has one space of them, so they are listed in one place."""

    MIGRATE = 0x41_41_4D_01
    REVISION = 0x41_41_4D_02
    PUBLISHER = 0x41_41_4D_03
    SOURCE_SCHEMA = 0x41_41_4D_04


@dataclass(frozen=True)
class TenantPool:
    """Connections of `pool` for the eyes of one tenant: every transaction takes on a role that can write nothing, and
    to which Postgres itself shows only this tenant's rows and those for all (`isolate_tenants` in the migrations).
    """

    pool: Pool
    tenant: str

    def __post_init__(self) -> None:
        if self.tenant in ("", "*"):
            raise errors.InvalidDecision(f"{self.tenant!r} is no tenant")


AnyPool = Pool | TenantPool


@contextmanager
def open_pool(settings: RegistrySettings) -> Iterator[Pool]:
    """A pool whose first connection has been made; closed with the block.

    Raises:
        RegistryMisconfigured: no `DATABASE_URL`, or Postgres refuses it.
        RegistryUnavailable: no answer within `pool_timeout_seconds`.
    """
    if settings.database_url is None:
        raise errors.RegistryMisconfigured("DATABASE_URL is not set")
    conninfo = settings.database_url.get_secret_value()
    # The pool itself would report a wrong password as a timeout.
    connect(conninfo, **_connection_options(settings)).close()
    pool = psycopg_pool.ConnectionPool(
        conninfo,
        connection_class=Connection,
        min_size=settings.pool_min_connections,
        max_size=max(settings.pool_max_connections, settings.pool_min_connections),
        max_waiting=settings.pool_max_waiting,
        timeout=settings.pool_timeout_seconds,
        reconnect_timeout=settings.pool_timeout_seconds,
        kwargs=_connection_options(settings),
        configure=lambda connection: _limit(connection, settings),
        check=psycopg_pool.ConnectionPool.check_connection,
        open=False,
        name="registry",
    )
    with errors.translated():
        pool.open()
    try:
        yield pool
    finally:
        pool.close()


@contextmanager
def transaction(pool: AnyPool, isolation: IsolationLevel = IsolationLevel.READ_COMMITTED) -> Iterator[Connection]:
    """One transaction at `isolation`, whatever the server's default is; committed unless the block raises."""
    source = pool.pool if isinstance(pool, TenantPool) else pool
    with errors.translated(), source.connection() as connection:
        connection.execute(f"SET TRANSACTION ISOLATION LEVEL {isolation.name.replace('_', ' ')}".encode())
        if isinstance(pool, TenantPool):
            # the role first: a superuser is bound by no policy
            connection.execute(f"SET LOCAL ROLE {TENANT_ROLE}".encode())
            connection.execute("SELECT set_config('aam.tenant', %s, true)", (pool.tenant,))
        yield connection


def dedicated_connection(pool: Pool) -> Connection:
    """A connection of its own, in autocommit, for what belongs to a session: LISTEN and session locks."""
    options = pool.kwargs if isinstance(pool.kwargs, dict) else {}
    return connect(str(pool.conninfo), **{**options, "autocommit": True})


def connect(conninfo: str, **options: Any) -> Connection:
    """A connection outside of any pool. Texts that could quote the address, and with it a password, are dropped."""
    try:
        return Connection.connect(conninfo, **options)
    except psycopg.OperationalError as error:
        # A refused connection carries no SQLSTATE: what the server said is only in the text.
        if "FATAL" in str(error) and any(sign in str(error) for sign in _REFUSALS):
            raise errors.RegistryMisconfigured(
                "Postgres refuses the user, the password or the database of DATABASE_URL"
            ) from error
        raise errors.RegistryUnavailable("no connection to the Postgres of DATABASE_URL") from error
    except psycopg.ProgrammingError as error:
        raise errors.RegistryMisconfigured("DATABASE_URL is not a Postgres address") from error


def _connection_options(settings: RegistrySettings) -> dict[str, Any]:
    return {
        "application_name": "aam",
        "connect_timeout": settings.connect_timeout_seconds,
        # A peer that vanished without a word is noticed within about 20 s.
        "keepalives_idle": 10,
        "keepalives_interval": 5,
        "keepalives_count": 2,
        "tcp_user_timeout": 20_000,
    }


def _limit(connection: Connection, settings: RegistrySettings) -> None:
    # SET rather than the start-up parameter `options`: DATABASE_URL may have options of its own.
    limits = {
        "statement_timeout": settings.query_timeout_seconds,
        "idle_in_transaction_session_timeout": settings.query_timeout_seconds,
        "lock_timeout": settings.lock_timeout_seconds,
    }
    for name, seconds in limits.items():
        connection.execute("SELECT set_config(%s, %s, false)", (name, f"{round(seconds * 1000)}ms"))
    connection.commit()
