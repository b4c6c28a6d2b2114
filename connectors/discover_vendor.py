"""Looks at a connection's vendor itself: lists the fields of entities that have a list, and samples a page of each.

One entity's failure is a problem of that entity; what needs somebody's action ends the whole. What a page or a list
says is read by `discover_samples` and `discover_fields`.
"""

import asyncio
from collections.abc import Iterable
from typing import Final

from connectors.discover_fields import fields_of_entries, with_sampled
from connectors.discover_samples import Samples
from connectors.discovery import DiscoveredEntity, Discovery, FoundOperation
from connectors.errors import ActionRequired
from connectors.sync import EntitySync
from connectors.vendor import Vendor
from schemas.failures import AamError
from schemas.messages import SourceField, SourceSchema

SAMPLED_RECORDS: Final = 50


async def discover_vendor(vendor: Vendor, names: Iterable[str] | None = None) -> Discovery:
    """The entities of a connection's spec as they are now; `names`: only these.

    Raises:
        ActionRequired: credentials, rights or settings.
    """
    results = await discover_each(vendor, vendor.spec.entities if names is None else names)
    return Discovery(
        title=vendor.spec.title or vendor.spec.name,
        entities=tuple(
            found for found in results.values() if isinstance(found, DiscoveredEntity) and found.schema.fields
        ),
        problems=tuple(_problem(name, found) for name, found in results.items() if _is_problem(found)),
    )


async def discover_each(vendor: Vendor, names: Iterable[str]) -> dict[str, DiscoveredEntity | AamError]:
    """name → the entity, without fields where the vendor has no records and lists none; or why it can't be told.

    Raises:
        ActionRequired: as above; no other entity is then worth telling.
    """
    wanted = list(names)
    results = dict(zip(wanted, await asyncio.gather(*(_attempt(vendor, name) for name in wanted)), strict=True))
    for found in results.values():
        if isinstance(found, ActionRequired):
            raise found
    return results


async def _attempt(vendor: Vendor, name: str) -> DiscoveredEntity | AamError:
    try:
        return await discover_entity(vendor, name)
    except AamError as error:
        return error


def _is_problem(found: DiscoveredEntity | AamError) -> bool:
    return isinstance(found, AamError) or not found.schema.fields


def _problem(name: str, found: DiscoveredEntity | AamError) -> str:
    if not isinstance(found, AamError):
        return f"{name}: the vendor has no records, and lists no fields"
    fix = getattr(found, "fix", "")
    return f"{name}: {found}" + (f" ({fix})" if fix else "")


async def discover_entity(vendor: Vendor, name: str) -> DiscoveredEntity:
    """One entity, by its list of fields where it has one, and by one page of records. Raises AamErrors."""
    entity = vendor.spec.entities[name]
    listed: list[SourceField] = []
    if entity.fields_endpoint is not None:
        listed = fields_of_entries(await vendor.fields(name, entity, entity.fields_endpoint), entity.fields_endpoint)
    records, _, _, _ = await EntitySync(vendor, name, {}, full=True).first_page()
    samples = Samples()
    for record in records[:SAMPLED_RECORDS]:
        samples.take(record)
    fields = with_sampled(listed, samples.fields())
    return DiscoveredEntity(
        name=name,
        schema=SourceSchema(fields=tuple(fields), primary_key=entity.primary_key),
        origin="producer" if listed else "sample",
        operations=(FoundOperation(entity.method, entity.endpoint, "list", entity.records_path),),
        primary_key_reason="the spec says so",
        description=entity.description,
        is_cut=samples.cut,
        profiles=samples.profiles(),
        shapes=samples.shapes(),
        samples=samples.records,
    )
