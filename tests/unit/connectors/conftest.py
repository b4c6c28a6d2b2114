"""A vendor in memory: a function from request to response behind the real guard, and a clock that doesn't wait."""

import asyncio
from collections.abc import Callable, Coroutine, Mapping
from typing import Any, TypeVar

import httpx
import pytest

from connectors.egress import Egress
from connectors.limits import LimitBook
from connectors.settings import ConnectorSettings
from connectors.vendor import Access, Vendor
from schemas.spec_problems import spec_of

T = TypeVar("T")
Handler = Callable[[httpx.Request], httpx.Response]


class FakeClock:
    """Time that passes only while somebody sleeps."""

    def __init__(self) -> None:
        self.at = 1_700_000_000.0
        self.slept: list[float] = []

    def now(self) -> float:
        return self.at

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.at += seconds
        await asyncio.sleep(0)


class GivenCredentials:
    """Secrets in the clear; keeps what it is told to keep."""

    def __init__(self, values: Mapping[str, str]) -> None:
        self.values = dict(values)
        self.kept: list[tuple[str, str]] = []

    def names(self) -> set[str]:
        return set(self.values)

    def get(self, name: str) -> str:
        return self.values[name]

    async def keep(self, name: str, value: str) -> None:
        self.kept.append((name, value))
        self.values[name] = value


class FakeVendor:
    """Builds a Vendor for a spec of one entity `item`, answered by `handler`."""

    def __init__(self) -> None:
        self.clock = FakeClock()
        self.credentials = GivenCredentials({"token": "t0ken"})
        self.seen: list[httpx.Request] = []

    def vendor(
        self,
        handler: Handler,
        *,
        entity: Mapping[str, Any] | None = None,
        settings: Mapping[str, Any] | None = None,
        limits: Mapping[str, Any] | None = None,
        base_url: str | None = None,
        **spec: Any,
    ) -> Vendor:
        def answer(request: httpx.Request) -> httpx.Response:
            self.seen.append(request)
            return handler(request)

        whole = {
            "name": "acme",
            "api_base_url": "https://api.acme.example/v1",
            "auth_type": "bearer",
            "entities": {"item": {"endpoint": "/items", **(entity or {})}},
            **spec,
        }
        knobs = ConnectorSettings(egress_allow=("127.0.0.1:*",), **(limits or {}))
        egress = Egress(knobs, transport=httpx.MockTransport(answer))
        access = Access("t1", "acme-1", self.credentials, settings or {}, base_url)
        return Vendor(spec_of(whole), access, egress, LimitBook(self.clock), knobs)


@pytest.fixture
def fake() -> FakeVendor:
    return FakeVendor()


@pytest.fixture
def run() -> Callable[[Coroutine[Any, Any, T]], T]:
    return asyncio.run
