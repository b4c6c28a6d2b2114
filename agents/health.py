"""The worker's HTTP side: `/health/live`, `/health/ready`, `/metrics`. No secrets, no record's content."""

import logging
from collections.abc import Callable
from typing import Any

from aiohttp import web
from mode import Service
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from schemas.failures import Misconfigured

log = logging.getLogger(__name__)


class HealthServer(Service):
    """Serves on `host`:`port`; port 0 takes a free one, which `url` then tells.

    `is_live` and `is_ready` give None while all is well, else what is wrong or still awaited.
    """

    def __init__(
        self,
        *,
        host: str,
        port: int,
        is_live: Callable[[], str | None],
        is_ready: Callable[[], str | None],
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self._host = host
        self._port = port
        self._is_live = is_live
        self._is_ready = is_ready
        self.url = ""

    async def on_start(self) -> None:
        application = web.Application()
        application.router.add_get("/health/live", self._live)
        application.router.add_get("/health/ready", self._ready)
        application.router.add_get("/metrics", self._metrics)
        self._runner = web.AppRunner(application, access_log=None)
        await self._runner.setup()
        try:
            await web.TCPSite(self._runner, self._host, self._port).start()
        except OSError as error:
            raise Misconfigured(f"AAM_WORKER_PORT: {self._host}:{self._port} can't be had: {error.strerror}") from error
        self.url = "http://{}:{}".format(*self._runner.addresses[0][:2])
        log.info("health and metrics at %s", self.url)

    async def on_stop(self) -> None:
        await self._runner.cleanup()

    async def _live(self, _request: web.Request) -> web.Response:
        return _answer(self._is_live())

    async def _ready(self, _request: web.Request) -> web.Response:
        return _answer(self._is_live() or self._is_ready())

    async def _metrics(self, _request: web.Request) -> web.Response:
        return web.Response(body=generate_latest(), headers={"Content-Type": CONTENT_TYPE_LATEST})


def _answer(trouble: str | None) -> web.Response:
    return web.json_response({"ok": trouble is None, "reason": trouble}, status=200 if trouble is None else 503)
