"""What each of Postgres's errors asks for."""

import psycopg
import psycopg_pool
import pytest
from psycopg import errors as pg

from registry import errors
from schemas.failures import AamError, FailureKind


@pytest.mark.parametrize(
    ("raised", "kind"),
    [
        (psycopg.OperationalError("server closed the connection"), FailureKind.TRANSIENT),
        (psycopg.InterfaceError("the connection is closed"), FailureKind.TRANSIENT),
        (psycopg_pool.PoolTimeout("no connection"), FailureKind.TRANSIENT),
        (psycopg_pool.TooManyRequests("queue full"), FailureKind.TRANSIENT),
        (pg.LockNotAvailable("lock timeout"), FailureKind.TRANSIENT),
        (pg.SerializationFailure("again"), FailureKind.TRANSIENT),
        (pg.DeadlockDetected("again"), FailureKind.TRANSIENT),
        (pg.QueryCanceled("statement timeout"), FailureKind.TRANSIENT),
        (pg.AdminShutdown("terminating"), FailureKind.TRANSIENT),
        (pg.InvalidPassword("no"), FailureKind.MISCONFIGURED),
        (pg.InsufficientPrivilege("no"), FailureKind.MISCONFIGURED),
        (pg.UndefinedTable("no such table"), FailureKind.MISCONFIGURED),
        (pg.UntranslatableCharacter("\\u0000"), FailureKind.INVALID_RECORD),
        (pg.UniqueViolation("twice"), FailureKind.BUG),
        (pg.SyntaxError("at or near"), FailureKind.BUG),
    ],
)
def test_an_error_of_postgres_is_translated_with_its_cause(raised: psycopg.Error, kind: FailureKind) -> None:
    with pytest.raises(AamError) as caught, errors.translated():
        raise raised
    assert caught.value.kind is kind
    assert caught.value.__cause__ is raised


def test_other_errors_pass() -> None:
    with pytest.raises(ZeroDivisionError), errors.translated():
        raise ZeroDivisionError
