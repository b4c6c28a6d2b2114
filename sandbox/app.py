"""The sandbox as an ASGI application: the first step of a path names the vendor, `/_sandbox` commands it.

`http://127.0.0.1:8900/stripe` stands for `https://api.stripe.com`: behind it come the vendor's own paths.
"""

import random
import tempfile
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from functools import cache, lru_cache
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

import orjson

from sandbox import admin
from sandbox.asked import Asked
from sandbox.control import Control, Fault
from sandbox.limits import Limits
from sandbox.listing import Reply
from sandbox.made_vendors import MadeVendors
from sandbox.played_vendor import PlayedVendor
from sandbox.settings import SandboxSettings
from sandbox.vendor import Vendor, load_vendor, vendor_names
from sandbox.vendor_documents import openapi_document, playing

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

_MOST_CONTENT = 1 << 20
_GENERATED_AT_ONCE = 200


class SandboxApp:
    """All vendors of one process."""

    def __init__(self, settings: SandboxSettings) -> None:
        self.settings = settings
        self.control = Control(settings.control or Path(tempfile.mkdtemp(prefix="aam-sandbox-")) / "commands.json")
        self._limits = Limits(enforced=settings.limits, processes=settings.processes)
        self._vendors: dict[str, PlayedVendor] = {}
        self.generated = MadeVendors(settings)
        self._play_generated = lru_cache(maxsize=_GENERATED_AT_ONCE)(self._generated)
        self._struck: dict[tuple[int, Fault], int] = {}
        self._chance = random.Random(settings.seed)  # noqa: S311  # when a fault strikes is no secret

    async def __call__(self, scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            return await _lifespan(receive, send)
        if scope["type"] != "http":
            return None
        asked, name = _asked(scope, await _content(receive))
        if name == "_sandbox":
            return await _send(send, admin.answer(self, asked))
        vendor = self.vendor(name)
        if vendor is None:
            return await _send(send, Reply(404, b'{"error": "the sandbox plays no such vendor"}'))
        return await _send(send, await vendor.answer(asked, self.control.commands(), self._strikes))

    def vendor(self, name: str) -> PlayedVendor | None:
        """The vendor of that name, made when first asked for; None if there is none."""
        if name in self._vendors:
            return self._vendors[name]
        if name not in vendor_names():
            return self._play_generated(name)
        self._vendors[name] = self._played(load_vendor(name))
        return self._vendors[name]

    def names(self) -> list[str]:
        """All vendors that it plays."""
        return [*vendor_names(), *self.generated.names()]

    def _generated(self, name: str) -> PlayedVendor | None:
        made = self.generated.get(name)
        if made is None:
            return None
        document = cache(lambda: orjson.dumps(openapi_document(made, self.settings.seed)))
        return self._played(playing(made), {"/openapi.json": document})

    def _played(self, vendor: Vendor, documents: Mapping[str, Callable[[], bytes]] | None = None) -> PlayedVendor:
        return PlayedVendor(vendor, self.settings.records, self.settings.seed, self._limits, documents)

    def _strikes(self, fault: Fault) -> bool:
        key = (self.control.commands().revision if fault.times is None else 0, fault)
        struck = self._struck.get(key, 0)
        if (fault.times is not None and struck >= fault.times) or self._chance.random() >= fault.share:
            return False
        self._struck[key] = struck + 1
        return True


def _asked(scope: MutableMapping[str, Any], content: bytes) -> tuple[Asked, str]:
    headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
    _, name, *rest = scope["path"].split("/", 2)
    raw_query = scope["query_string"].decode("latin-1")
    base = f"{scope['scheme']}://{headers.get('host', 'sandbox')}/{name}"
    query = dict(parse_qsl(raw_query, keep_blank_values=True))
    return Asked(scope["method"], "/" + "/".join(rest), query, headers, content, base, raw_query), name


async def _content(receive: Receive) -> bytes:
    content = b""
    while True:
        message = await receive()
        content += bytes(message.get("body", b""))
        if not message.get("more_body") or len(content) > _MOST_CONTENT:
            return content


async def _send(send: Send, reply: Reply) -> None:
    headers = {"content-length": str(len(reply.body)), "content-type": "application/json"}
    headers |= {name.lower(): value for name, value in reply.headers.items()}
    pairs = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in headers.items()]
    await send({"type": "http.response.start", "status": reply.status, "headers": pairs})
    await send({"type": "http.response.body", "body": reply.body})


async def _lifespan(receive: Receive, send: Send) -> None:
    while True:
        message = await receive()
        await send({"type": f"{message['type']}.complete"})
        if message["type"] == "lifespan.shutdown":
            return
