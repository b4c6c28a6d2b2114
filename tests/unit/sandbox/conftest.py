"""The sandbox in memory, and a connection to one of its vendors through the generic connector."""

import asyncio
import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import httpx
import pytest

from connectors.egress import Egress
from connectors.limits import LimitBook
from connectors.settings import ConnectorSettings
from connectors.source_record import SourceRecord
from connectors.sync import Batch, EntityEnd, sync
from connectors.sync_state import Position, StateKey, States
from connectors.vendor import Access, Vendor
from registry.seeds import load_spec
from sandbox.admin import CREDENTIALS
from sandbox.app import SandboxApp
from sandbox.settings import SandboxSettings
from schemas.connector_spec import ConnectorSpec

HOST = "http://sandbox.test"
SETTINGS: dict[str, dict[str, Any]] = {
    "aws_cloudwatch": {"region": "eu-central-1", "start_date": "2025-12-01"},
    "dynamics365": {"host": "acme.crm4.dynamics.com", "tenant_id": "t1"},
    "github": {"org": "example"},
    "google_analytics": {"property_id": "1234"},
    "pipedrive": {"company": "acme"},
    "zendesk": {"subdomain": "acme"},
}


class RealClock:
    """Real time, but nobody waits: what is asked of a limit is seen in the vendor's answers."""

    def now(self) -> float:
        return time.time()

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(0)


class SandboxCredentials:
    """What the sandbox says that it accepts, and what it gave instead."""

    def __init__(self) -> None:
        self._values = dict(CREDENTIALS)

    def names(self) -> set[str]:
        return set(self._values)

    def get(self, name: str) -> str:
        return self._values[name]

    async def keep(self, name: str, value: str) -> None:
        self._values[name] = value


class SyncedEntity:
    """What one sync of one entity gave."""

    def __init__(self) -> None:
        self.records: list[SourceRecord] = []
        self.positions: dict[StateKey, Position] = {}
        self.error: Exception | None = None


def connected(
    app: SandboxApp, connector: str, *, spec: ConnectorSpec | None = None, **settings: Any
) -> tuple[Vendor, Egress]:
    """A connection to `connector` whose vendor is `app`; by another `spec` than ours, if one is given."""
    own = ConnectorSettings(egress_allow=("sandbox.test:*",), **settings)
    egress = Egress(own, transport=httpx.ASGITransport(app))
    access = Access("acme", connector, SandboxCredentials(), SETTINGS.get(connector, {}), f"{HOST}/{connector}")
    return Vendor(spec or load_spec(connector), access, egress, LimitBook(RealClock()), own), egress


def full_sync(
    app: SandboxApp, connector: str, names: Iterable[str], states: States | None = None, **settings: Any
) -> Mapping[str, SyncedEntity]:
    """A sync of the entities of `names`, of everything or from `states`."""

    async def run() -> dict[str, SyncedEntity]:
        vendor, egress = connected(app, connector, **settings)
        found = {name: SyncedEntity() for name in names}
        async with egress:
            async for item in sync(vendor, names, states or {}):
                if isinstance(item, Batch):
                    found[item.entity].records.extend(item.records)
                    found[item.entity].positions |= item.positions
                elif isinstance(item, EntityEnd):
                    found[item.entity].error = item.error
        return found

    return asyncio.run(run())


@pytest.fixture
def sandbox(tmp_path: Any) -> Callable[..., SandboxApp]:
    def make(**settings: Any) -> SandboxApp:
        return SandboxApp(SandboxSettings(**{"records": 20, "control": tmp_path / "commands.json"} | settings))

    return make


@pytest.fixture
def sync_all() -> Callable[..., Mapping[str, SyncedEntity]]:
    return full_sync


class Client:
    """Asks a sandbox as any HTTP client would."""

    def __init__(self, app: SandboxApp, token: str = CREDENTIALS["token"]) -> None:
        self._app = app
        self.headers = {"Authorization": f"Bearer {token}"}

    def ask(self, method: str, path: str, **given: Any) -> httpx.Response:
        async def run() -> httpx.Response:
            transport = httpx.ASGITransport(self._app)
            async with httpx.AsyncClient(transport=transport, base_url=HOST, headers=self.headers) as client:
                return await client.request(method, path, **given)

        return asyncio.run(run())

    def get(self, path: str, **given: Any) -> httpx.Response:
        return self.ask("GET", path, **given)

    def post(self, path: str, **given: Any) -> httpx.Response:
        return self.ask("POST", path, **given)


@pytest.fixture
def client() -> Callable[..., Client]:
    return Client


@pytest.fixture
def credentials() -> SandboxCredentials:
    return SandboxCredentials()
