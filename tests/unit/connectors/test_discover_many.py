"""Many connections at once: each has its outcome, and none waits for another."""

import asyncio
from typing import Any

import httpx
import pytest

from connectors.discover_many import Outcome, Target, discover_many
from connectors.egress import Egress
from connectors.limits import LimitBook
from connectors.settings import ConnectorSettings
from connectors.vendor import Access
from schemas.spec_problems import spec_of


class Vendors:
    """`v0`… in memory: v1 refuses credentials, v2 never answers; the rest give records. Counts who is asked at once."""

    def __init__(self) -> None:
        self.now = 0
        self.most = 0

    async def __call__(self, request: httpx.Request) -> httpx.Response:
        number = int(request.url.host.split(".")[0].removeprefix("v"))
        self.now += 1
        self.most = max(self.most, self.now)
        await asyncio.sleep(60 if number == 2 else 0)
        self.now -= 1
        if number == 1:
            return httpx.Response(401)
        return httpx.Response(200, json=[{"id": 1, f"field_{number}": "x"}])


def target(number: int, credentials: Any) -> Target:
    spec = {
        "name": f"v{number}",
        "api_base_url": f"https://v{number}.example.com",
        "auth_type": "bearer",
        "entities": {"item": {"endpoint": "/items", "pagination": "none"}},
    }
    return Target(spec_of(spec), Access("t", f"v{number}", credentials))


async def outcomes(count: int, vendors: Vendors, credentials: Any, **given: Any) -> list[Outcome]:
    settings = ConnectorSettings(retry_attempts=1)
    async with Egress(settings, transport=httpx.MockTransport(vendors)) as egress:
        targets = (target(number, credentials) for number in range(count))
        return [found async for found in discover_many(targets, egress, LimitBook(), settings, **given)]


def test_each_has_an_outcome_and_none_waits_for_another(fake: Any) -> None:
    vendors = Vendors()
    found = asyncio.run(outcomes(40, vendors, fake.credentials, at_once=8, patience_seconds=0.3))
    assert len(found) == 40
    by_name = {outcome.target.spec.name: outcome for outcome in found}
    assert {name for name, outcome in by_name.items() if outcome.error} == {"v1", "v2"}
    assert "not done within" in str(by_name["v2"].error)
    last = by_name["v39"].discovery
    assert last is not None
    assert [field.path for field in last.entities[0].schema.fields] == ["field_39", "id"]
    assert 2 <= vendors.most <= 8


def test_a_reader_that_stops_ends_all(fake: Any) -> None:
    async def first_only() -> int:
        settings = ConnectorSettings()
        async with Egress(settings, transport=httpx.MockTransport(Vendors())) as egress:
            stream = discover_many((target(n, fake.credentials) for n in (0, 2)), egress, LimitBook(), settings)
            await anext(stream)
            await stream.aclose()  # type: ignore[attr-defined]  # an async generator
        return len(asyncio.all_tasks())

    assert asyncio.run(first_only()) == 1


def test_nothing_to_do(fake: Any) -> None:
    assert asyncio.run(outcomes(0, Vendors(), fake.credentials)) == []


@pytest.mark.parametrize("at_once", [1, 64])
def test_any_number_at_once(fake: Any, at_once: int) -> None:
    found = asyncio.run(outcomes(1, Vendors(), fake.credentials, at_once=at_once))
    assert [outcome.error for outcome in found] == [None]
