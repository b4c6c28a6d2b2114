"""Discovers many connections at once, in one process: a slow or dead vendor holds up nobody but itself.

What is looked at in each is up to `discover_vendor`; egress and limits are shared.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Iterable, Sequence
from dataclasses import dataclass

from connectors.discover_vendor import discover_vendor
from connectors.discovery import Discovery
from connectors.egress import Egress
from connectors.errors import VendorUnavailable
from connectors.limits import LimitBook
from connectors.settings import ConnectorSettings
from connectors.vendor import Access, Vendor
from schemas.connector_spec import ConnectorSpec
from schemas.failures import AamError

AT_ONCE = 64
PATIENCE_SECONDS = 120.0


@dataclass(frozen=True)
class Target:
    """A connection to look at; `entities` None: all of its spec."""

    spec: ConnectorSpec
    access: Access
    entities: Sequence[str] | None = None


@dataclass(frozen=True)
class Outcome:
    """What a target is like, or why that can't be told; one of the two is there."""

    target: Target
    discovery: Discovery | None
    error: AamError | None
    seconds: float


async def discover_many(
    targets: Iterable[Target],
    egress: Egress,
    book: LimitBook,
    settings: ConnectorSettings,
    *,
    at_once: int = AT_ONCE,
    patience_seconds: float = PATIENCE_SECONDS,
) -> AsyncIterator[Outcome]:
    """An outcome for each target, as they come.

    Args:
        at_once: targets that are looked at at the same time; `targets` is read as far as needed.
        patience_seconds: longest time for one target.
    """
    waiting = iter(targets)
    running: set[asyncio.Task[Outcome]] = set()

    def fill() -> None:
        while len(running) < at_once and (target := next(waiting, None)) is not None:
            running.add(asyncio.create_task(_look_at(target, egress, book, settings, patience_seconds)))

    try:
        fill()
        while running:
            done, _ = await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
            running -= done
            fill()
            for task in done:
                yield task.result()
    finally:
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)


async def _look_at(
    target: Target, egress: Egress, book: LimitBook, settings: ConnectorSettings, patience_seconds: float
) -> Outcome:
    started = time.monotonic()
    try:
        async with asyncio.timeout(patience_seconds):
            vendor = Vendor(target.spec, target.access, egress, book, settings)
            found = await discover_vendor(vendor, target.entities)
    except TimeoutError:
        error: AamError = VendorUnavailable(f"not done within {patience_seconds:g} s")
    except AamError as failed:
        error = failed
    else:
        return Outcome(target, found, None, time.monotonic() - started)
    return Outcome(target, None, error, time.monotonic() - started)
