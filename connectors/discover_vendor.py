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
    wanted = list(vendor.spec.entities if names is None else names)
    results = await asyncio.gather(*(_discover(vendor, name) for name in wanted))
    return Discovery(
        title=vendor.spec.title or vendor.spec.name,
        entities=tuple(found for found in results if isinstance(found, DiscoveredEntity)),
        problems=tuple(found for found in results if isinstance(found, str)),
    )


async def _discover(vendor: Vendor, name: str) -> DiscoveredEntity | str:
    """The entity, or why it can't be told."""
    try:
        found = await discover_entity(vendor, name)
    except ActionRequired:
        raise
    except AamError as error:
        fix = getattr(error, "fix", "")
        return f"{name}: {error}" + (f" ({fix})" if fix else "")
    return found if found.schema.fields else f"{name}: the vendor has no records, and lists no fields"


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
