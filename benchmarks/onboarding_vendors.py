"""The vendors that are onboarded: discovered over HTTP from a sandbox, and the truth about their fields."""

import asyncio
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

import httpx

from connectors.discover_many import Target, discover_many
from connectors.discovery import schema_change
from connectors.egress import Egress
from connectors.limits import LimitBook
from connectors.settings import ConnectorSettings
from connectors.vendor import Access
from sandbox.admin import CREDENTIALS
from sandbox.generated_vendors import generate_vendor
from schemas.messages import SchemaChange
from schemas.spec_problems import parse_spec

TENANTS: Final = 10
AT_ONCE: Final = 32


@dataclass(frozen=True)
class Truth:
    """What is right for one vendor: its only entity, what that is, and path → canonical field, None for none."""

    connector: str
    tenant: str
    entity: str
    canonical_entity: str
    fields: Mapping[str, str | None]


class Known:
    """The sandbox's credentials."""

    def names(self) -> set[str]:
        return set(CREDENTIALS)

    def get(self, name: str) -> str:
        return CREDENTIALS[name]

    async def keep(self, name: str, value: str) -> None:
        """Nothing is renewed in so short a time."""


def truth_of(number: int) -> Truth:
    """The truth about vendor `number`, from 1."""
    made = generate_vendor(number)
    (entity,) = made.entities
    assert entity.canonical_entity is not None
    fields = {field.path: field.canonical_field for field in entity.fields}
    return Truth(made.name, f"tenant-{number % TENANTS}", entity.name, entity.canonical_entity, fields)


def discover(url: str, vendors: Iterable[Truth]) -> list[SchemaChange]:
    """What each vendor's own documents and records say of its fields, asked over HTTP at the sandbox's `url`."""
    return asyncio.run(_discover(url, list(vendors)))


async def _discover(url: str, vendors: list[Truth]) -> list[SchemaChange]:
    by_name = {vendor.connector: vendor for vendor in vendors}
    settings = ConnectorSettings.model_validate({"egress_allow": ("127.0.0.1:*",)})
    async with httpx.AsyncClient(trust_env=False, timeout=60) as client:
        texts = [(await client.get(f"{url}/_sandbox/specs/{name}")).text for name in by_name]
    targets = [
        Target(spec, Access(by_name[spec.name].tenant, spec.name, Known(), {}, f"{url}/{spec.name}"))
        for spec in map(parse_spec, texts)
    ]
    changes = []
    async with Egress(settings) as egress:
        async for outcome in discover_many(targets, egress, LimitBook(), settings, at_once=AT_ONCE):
            if outcome.discovery is None:
                raise RuntimeError(f"{outcome.target.spec.name}: {outcome.error}")
            vendor = by_name[outcome.target.spec.name]
            changes += [
                schema_change(
                    entity,
                    tenant=vendor.tenant,
                    connector=vendor.connector,
                    connection=vendor.connector,
                    observed_at=datetime.now(UTC),
                )
                for entity in outcome.discovery.entities
            ]
    return changes
