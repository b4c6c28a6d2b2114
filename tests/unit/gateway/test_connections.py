"""Running syncs in numbers; nothing that a connection was given; an answer also without Postgres."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

import pytest
from fastapi.testclient import TestClient

from gateway import connections
from gateway.app import create_app
from gateway.settings import GatewaySettings
from registry.connections import StoredConnection
from registry.errors import InvalidDecision, RegistryUnavailable

RUNNING = StoredConnection(
    "acme",
    "zd-eu",
    "zendesk",
    settings={"subdomain": "acme-eu"},
    secrets={"token": "env:ZD_TOKEN"},
    base_url="https://proxy.example/zd",
    is_syncing=True,
    progress={"ticket": {"records": 1200, "total": 5000}, "user": {"records": 40, "total": None}},
    records=91_200,
    last_sync_at=datetime(2026, 11, 24, tzinfo=UTC),
)
WAITING = StoredConnection(
    "globex",
    "crm",
    "hubspot",
    status="action_required",
    reason="HubSpot no longer accepts the credentials",
    fix="enter them again",
    problems={"deal": {"reason": "HTTP 500", "fix": "", "at": "2026-11-24T10:00:00+00:00"}},
)


class FakeConnections:
    def __init__(self, _pool: object) -> None: ...

    def find(self, tenant: str | None = None) -> list[StoredConnection]:
        return [stored for stored in (RUNNING, WAITING) if tenant in (None, stored.tenant)]

    def get(self, tenant: str, identity: str) -> StoredConnection:
        for stored in self.find(tenant):
            if stored.id == identity:
                return stored
        raise InvalidDecision(f"tenant {tenant} has no connection {identity}")


class Postgres:
    """Says how often it was opened and closed; away while `error` is there."""

    def __init__(self) -> None:
        self.error: Exception | None = None
        self.opened = self.closed = 0

    @contextmanager
    def open(self) -> Iterator[Any]:
        if self.error:
            raise self.error
        self.opened += 1
        yield object()
        self.closed += 1


@pytest.fixture
def postgres() -> Postgres:
    return Postgres()


@pytest.fixture
def get(monkeypatch: pytest.MonkeyPatch, postgres: Postgres) -> Iterator[Callable[..., Any]]:
    monkeypatch.setattr(connections, "Connections", FakeConnections)
    with TestClient(create_app(GatewaySettings(), postgres.open)) as client:
        yield client.get
    assert postgres.opened == postgres.closed


def test_a_running_sync_in_numbers_and_none_of_its_settings(get: Callable[..., Any]) -> None:
    answer = get("/connections/acme/zd-eu")
    assert answer.status_code == 200
    state = answer.json()
    assert state["is_syncing"] is True
    assert state["progress"] == {
        "ticket": {"records": 1200, "total": 5000},
        "user": {"records": 40, "total": None},
    }
    assert state["records"] == 91_200
    assert not {"settings", "secrets", "base_url"} & state.keys()
    assert not any(given in answer.text for given in ("ZD_TOKEN", "acme-eu", "proxy.example"))


def test_all_and_a_tenants(get: Callable[..., Any], postgres: Postgres) -> None:
    assert [state["id"] for state in get("/connections").json()] == ["zd-eu", "crm"]
    (state,) = get("/connections", params={"tenant": "globex"}).json()
    assert (state["status"], state["fix"], state["progress"]) == ("action_required", "enter them again", None)
    assert state["problems"]["deal"]["reason"] == "HTTP 500"
    assert postgres.opened == 1


def test_one_that_is_not_there(get: Callable[..., Any]) -> None:
    answer = get("/connections/acme/other")
    assert (answer.status_code, "no connection other" in answer.json()["detail"]) == (404, True)


def test_without_postgres_schemas_are_served_and_later_connections_too(
    get: Callable[..., Any], postgres: Postgres
) -> None:
    postgres.error = RegistryUnavailable("no connection to the Postgres of DATABASE_URL")
    answer = get("/connections")
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "5")
    assert get("/subjects").status_code == 200
    postgres.error = None
    assert get("/connections").status_code == 200
