"""A Faust service that talks to vendors: with Postgres and the egress guard open, for as long as the worker lives.

Postgres and Kafka may come and go: it then begins again. What is done with them is the subclass's matter.
"""

import asyncio
import logging
from abc import abstractmethod
from typing import Final

from confluent_kafka import KafkaException
from mode import Service

from agents.registry_access import OpenPool
from agents.vendor_tools import VendorTools
from connectors.egress import Egress
from connectors.limits import LimitBook
from connectors.settings import ConnectorSettings
from registry.connections import Connections
from registry.pool import Pool
from registry.secrets import Secrets, SecretSettings
from schemas.failures import AamError
from topics.settings import KafkaSettings

log = logging.getLogger(__name__)

RETRY_SECONDS: Final = 5.0


class VendorService(Service):
    """`serve` is to return, or to raise, soon after `should_stop`; `doing` names it in the log."""

    doing: str

    def __init__(
        self,
        kafka: KafkaSettings,
        open_pool: OpenPool,
        settings: ConnectorSettings,
        secrets: SecretSettings,
        book: LimitBook,
    ) -> None:
        super().__init__()
        self._kafka = kafka
        self._open_pool = open_pool
        self._settings = settings
        self._secret_settings = secrets
        self._book = book

    @abstractmethod
    async def serve(self, tools: VendorTools) -> None:
        """The work."""

    @Service.task
    async def _work(self) -> None:
        while not self.should_stop:
            try:
                await self._opened()
            except (AamError, KafkaException) as error:
                log.warning("%s: %s; trying again", self.doing, error)
            except Exception:
                log.exception("%s: a bug; trying again", self.doing)
            await self.sleep(RETRY_SECONDS)

    async def _opened(self) -> None:
        opening = self._open_pool()
        pool = await asyncio.to_thread(opening.__enter__)
        try:
            async with Egress(self._settings) as egress:
                await self.serve(self._tools(pool, egress))
        finally:
            await asyncio.to_thread(opening.__exit__, None, None, None)

    def _tools(self, pool: Pool, egress: Egress) -> VendorTools:
        return VendorTools(
            names=self._kafka.names,
            connections=Connections(pool),
            secrets=Secrets(pool, self._secret_settings),
            egress=egress,
            book=self._book,
            settings=self._settings,
        )
