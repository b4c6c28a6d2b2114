"""What can go wrong in the registry, in our words; psycopg's own errors don't leave this package.

AamError
├── TransientError
│   └── RegistryUnavailable
├── Misconfigured
│   └── RegistryMisconfigured
├── InvalidRecord
│   ├── InvalidMapping
│   └── InvalidDecision
└── Bug
    └── RegistryBug
"""

from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
import psycopg_pool
from psycopg import errors as pg

from schemas.failures import Bug, InvalidRecord, Misconfigured, TransientError


class RegistryUnavailable(TransientError):
    """Postgres did not answer in time, is restarting, or asked for another try; retryable."""


class RegistryMisconfigured(Misconfigured):
    """The address, the role's rights, the extension or the migrations of the database are not what AAM needs."""


class InvalidMapping(InvalidRecord):
    """What was to be stored is no mapping that a worker could use; nothing was stored."""


class InvalidDecision(InvalidRecord):
    """What was decided can't be done as things stand, or not by this person; nothing was changed."""


class RegistryBug(Bug):
    """Postgres refused a statement of ours."""


_MISCONFIGURED = (
    pg.InvalidAuthorizationSpecification,
    pg.InvalidPassword,
    pg.InvalidCatalogName,
    pg.InsufficientPrivilege,
)
_NOT_MIGRATED = (pg.UndefinedTable, pg.UndefinedColumn, pg.UndefinedFunction, pg.InvalidSchemaName)
_RETRYABLE = (
    psycopg_pool.PoolTimeout,
    psycopg_pool.TooManyRequests,
    psycopg_pool.PoolClosed,
    psycopg.InterfaceError,
    psycopg.OperationalError,  # connections, shutdown, lock and statement timeouts, serialization, full disk
    pg.IdleInTransactionSessionTimeout,
)


@contextmanager
def translated() -> Iterator[None]:
    """Errors of psycopg inside the block leave it as one of ours. Values that Postgres quotes are not repeated."""
    try:
        yield
    except _MISCONFIGURED as error:
        raise RegistryMisconfigured(f"Postgres refuses DATABASE_URL: {_reason(error)}") from error
    except _NOT_MIGRATED as error:
        raise RegistryMisconfigured(f"the registry is not migrated ({_reason(error)}): run `aam migrate`") from error
    except _RETRYABLE as error:
        raise RegistryUnavailable(f"Postgres did not answer: {_reason(error)}") from error
    except psycopg.DataError as error:
        raise InvalidMapping(f"Postgres cannot store this: {_reason(error)}") from error
    except psycopg.Error as error:
        raise RegistryBug(f"Postgres refused a statement: {_reason(error)}") from error


def _reason(error: psycopg.Error) -> str:
    message = error.diag.message_primary or str(error).partition("\n")[0]
    return f"{type(error).__name__}: {message}"
