"""Pulls from vendors: claims connections whose time has come and syncs several at once, each for itself.

A worker that dies leaves its claims to end by themselves; another then goes on from the last checkpoints. How one
connection is synced is up to `agents.connection_sync`.
"""

import asyncio
import logging
from typing import Final

from agents.connection_sync import ConnectionSync, Tools
from agents.vendor_service import VendorService
from agents.vendor_tools import VendorTools
from observability import metrics
from registry.connections import Claim
from schemas.failures import AamError
from topics.clients import make_producer

log = logging.getLogger(__name__)

LOOK_SECONDS: Final = 1.0
AT_ONCE: Final = 64


class ConnectionSyncs(VendorService):
    """Syncs what is due for as long as the worker lives."""

    doing = "sync"

    def __post_init__(self) -> None:
        self._running: set[asyncio.Task[None]] = set()

    async def on_stop(self) -> None:
        await self._end_all()

    async def serve(self, tools: VendorTools) -> None:
        """Claims what is due and syncs it, many at once."""
        try:
            await self._claim_and_run(Tools(**vars(tools), producer=make_producer(self._kafka)))
        finally:
            await self._end_all()

    async def _claim_and_run(self, tools: Tools) -> None:
        while not self.should_stop:
            free = AT_ONCE - len(self._running)
            claims = await asyncio.to_thread(tools.connections.claim_due, limit=free) if free else []
            for claim in claims:
                task = asyncio.create_task(self._one(tools, claim))
                self._running.add(task)
                task.add_done_callback(self._running.discard)
            metrics.SYNCS_RUNNING.set(len(self._running))
            tools.producer.poll(0)
            await self.sleep(LOOK_SECONDS)

    async def _one(self, tools: Tools, claim: Claim) -> None:
        try:
            result = await ConnectionSync(tools, claim).run()
        except AamError as error:
            metrics.SYNC_PROBLEMS.labels(error.kind).inc()
            log.warning("sync of %s/%s: %s", claim.tenant, claim.id, error)
        except Exception:
            metrics.SYNC_PROBLEMS.labels("bug").inc()
            log.exception("sync of %s/%s: a bug", claim.tenant, claim.id)
        else:
            log.info("sync of %s/%s: %s records", claim.tenant, claim.id, sum(result.records.values()))

    async def _end_all(self) -> None:
        for task in list(self._running):
            task.cancel()
        await asyncio.gather(*self._running, return_exceptions=True)
