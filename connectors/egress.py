"""The one way out: every request, redirect, next page, token and OpenAPI document is fetched here.

A host is resolved once, every address it has must be public, and the connection goes to one of these very addresses
(a second look-up could give another: DNS rebinding). TLS and `Host` keep the name. Proxies of the environment are not
used: they would resolve by themselves. Size and time of a response are capped, decoded. Redirects stay on the origin
when a request carries credentials. What to fetch, and with what credentials, is up to the callers.
"""

import asyncio
import socket
import ssl
import zlib
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache
from typing import Any, Final
from urllib.parse import urljoin, urlsplit

import httpcore
import httpx

from connectors.address_rules import AllowedHosts, is_public
from connectors.errors import BadResponse, EgressRefused, VendorUnavailable
from connectors.settings import ConnectorSettings

MAX_REDIRECTS: Final = 5
MAX_BYTES: Final = 64 << 20
_REDIRECTS: Final = frozenset({301, 302, 303, 307, 308})
_PIECE: Final = 1 << 20
_RESOLVER_THREADS: Final = 32
_PORTS: Final = {"https": 443, "http": 80}

Resolve = Callable[[str, int], Sequence[str]]
"""(host, port) → its addresses. Raises OSError."""


@dataclass(frozen=True, slots=True)
class Answer:
    """A whole response. `body` is decoded; header names are lower case; `url` is where it came from at last."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    url: str


def origin_of(url: str) -> str:
    """`https://host:port`, in one spelling. Raises EgressRefused."""
    try:
        parts = urlsplit(url)
        port = parts.port or _PORTS.get(parts.scheme)
    except ValueError:
        raise EgressRefused("the address is no URL") from None
    if not parts.hostname or port is None:
        raise EgressRefused("the address is no http or https URL")
    return f"{parts.scheme}://{parts.hostname}:{port}"


class Egress:
    """Fetches. Close it after use; one for a process is enough, as connections are kept per host."""

    def __init__(
        self,
        settings: ConnectorSettings,
        *,
        resolve: Resolve | None = None,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        self._settings = settings
        self._allowed = AllowedHosts(settings.egress_allow)
        self._network = PinnedNetwork(self._allowed, settings.connect_timeout_seconds, resolve or _look_up)
        self._transport = transport or GuardedTransport(self._network)
        self._timeout = httpx.Timeout(
            settings.read_timeout_seconds, connect=settings.connect_timeout_seconds, pool=None
        ).as_dict()

    async def __aenter__(self) -> "Egress":
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Gives connections and threads back."""
        await self._transport.aclose()
        self._network.close()

    async def fetch(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        content: bytes | None = None,
        max_bytes: int = MAX_BYTES,
        credentials_for: str | None = None,
    ) -> Answer:
        """The response to one request, redirects followed.

        Args:
            max_bytes: most bytes of the decoded body.
            credentials_for: the origin that may see this request; None if it carries no credentials.
        Raises:
            EgressRefused: an address is not public, not https, or of another origin; nothing was sent there.
            VendorUnavailable: no connection, or no whole response in time.
            BadResponse: the body is too large, or its encoding is broken.
        """
        for _ in range(MAX_REDIRECTS + 1):
            self.check(url, credentials_for=credentials_for)
            answer = await self._fetch_one(method, url, headers or {}, content, max_bytes)
            target = answer.headers.get("location")
            if answer.status not in _REDIRECTS or target is None:
                return answer
            url = urljoin(url, target)
            if answer.status == 303 or (answer.status in {301, 302} and method == "POST"):
                method, content = "GET", None
        raise BadResponse(f"more than {MAX_REDIRECTS} redirects")

    def check(self, url: str, *, credentials_for: str | None) -> None:
        """Judges an address by its looks. Raises EgressRefused."""
        origin = origin_of(url)
        if credentials_for is not None and origin != origin_of(credentials_for):
            raise EgressRefused(
                f"the vendor points to another host than {origin_of(credentials_for)}; credentials are not sent there"
            )
        parts = urlsplit(url)
        if parts.username is not None or parts.password is not None:
            raise EgressRefused("the address has a user name or password in it", "credentials belong in secrets")
        if parts.scheme != "https" and not self._is_allowed(parts.hostname, origin):
            raise EgressRefused(f"{origin} is not https", "only hosts of AAM_EGRESS_ALLOW may do without TLS")

    def _is_allowed(self, host: str | None, origin: str) -> bool:
        return (host or "", int(origin.rpartition(":")[2])) in self._allowed

    async def _fetch_one(
        self, method: str, url: str, headers: Mapping[str, str], content: bytes | None, max_bytes: int
    ) -> Answer:
        try:
            request = httpx.Request(
                method,
                url,
                headers={"Accept-Encoding": "gzip", "User-Agent": "aam", **headers},
                content=content,
                extensions={"timeout": self._timeout},
            )
        except (httpx.InvalidURL, ValueError, TypeError):
            raise EgressRefused("the address is no URL") from None
        try:
            async with asyncio.timeout(self._settings.response_timeout_seconds):
                response = await self._transport.handle_async_request(request)
                try:
                    body = await _read_body(response, max_bytes)
                finally:
                    await response.aclose()
        except TimeoutError:
            raise VendorUnavailable(f"no whole response within {self._settings.response_timeout_seconds:g} s") from None
        except (
            httpx.TransportError,
            httpcore.NetworkError,
            httpcore.TimeoutException,
            httpcore.ProtocolError,
        ) as error:
            raise VendorUnavailable(_reason(error)) from error
        names = {name.lower(): value for name, value in response.headers.items()}
        return Answer(response.status_code, names, body, url)


class PinnedNetwork(httpcore.AsyncNetworkBackend):
    """Resolves, judges and connects, in that order and to the same address."""

    def __init__(self, allowed: AllowedHosts, timeout_seconds: float, resolve: Resolve) -> None:
        self._allowed = allowed
        self._timeout_seconds = timeout_seconds
        self._resolve = resolve
        self._inner = httpcore.AnyIOBackend()
        # Threads of its own: look-ups that hang must not take the event loop's.
        self._threads = ThreadPoolExecutor(_RESOLVER_THREADS, thread_name_prefix="resolve")

    def close(self) -> None:
        """Lets the threads end."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ASYNC109  # httpcore's signature
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        """A connection to an address of `host` that was judged."""
        addresses = await self._judged(host, port)
        error: Exception | None = None
        for address in addresses:
            try:
                return await self._inner.connect_tcp(address, port, timeout, local_address, socket_options)
            except (httpcore.ConnectError, httpcore.ConnectTimeout) as failed:
                error = failed
        raise error or httpcore.ConnectError("the host has no address")

    async def connect_unix_socket(self, *_: Any, **__: Any) -> httpcore.AsyncNetworkStream:
        """Refused."""
        raise EgressRefused("not a host")

    async def sleep(self, seconds: float) -> None:
        """As httpcore wants it."""
        await asyncio.sleep(seconds)

    async def _judged(self, host: str, port: int) -> Sequence[str]:
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(self._timeout_seconds):
                found = await loop.run_in_executor(self._threads, self._resolve, host, port)
        except TimeoutError:
            raise httpcore.ConnectTimeout("looking up the host took too long") from None
        except (OSError, UnicodeError) as failed:
            raise httpcore.ConnectError("the host has no address") from failed
        if (host, port) not in self._allowed and not all(map(is_public, found)):
            raise EgressRefused(
                f"{host} has an address that is not public", "sandbox hosts are allowed by AAM_EGRESS_ALLOW=host:port"
            )
        return found


class GuardedTransport(httpx.AsyncBaseTransport):
    """httpx on a pool whose connections `PinnedNetwork` makes; httpx's own transport lets nobody choose that."""

    def __init__(self, network: PinnedNetwork) -> None:
        self._pool = httpcore.AsyncConnectionPool(
            ssl_context=_tls(),
            max_connections=None,
            max_keepalive_connections=256,
            keepalive_expiry=30.0,
            network_backend=network,
        )

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Sends; raises httpcore's errors and EgressRefused."""
        url = request.url
        sent = httpcore.Request(
            method=request.method,
            url=httpcore.URL(scheme=url.raw_scheme, host=url.raw_host, port=url.port, target=url.raw_path),
            headers=request.headers.raw,
            content=request.stream,
            extensions=request.extensions,
        )
        got = await self._pool.handle_async_request(sent)
        assert not isinstance(got.stream, bytes)
        return httpx.Response(got.status, headers=got.headers, stream=_Stream(got.stream), extensions=got.extensions)

    async def aclose(self) -> None:
        """Closes all connections."""
        await self._pool.aclose()


class _Stream(httpx.AsyncByteStream):
    def __init__(self, inner: Any) -> None:
        self._inner = inner

    async def __aiter__(self) -> AsyncIterator[bytes]:
        async for part in self._inner:
            yield part

    async def aclose(self) -> None:
        await self._inner.aclose()


async def _read_body(response: httpx.Response, max_bytes: int) -> bytes:
    """The decoded body. Only gzip is asked for, and unpacked in pieces, so that a bomb never fills the memory."""
    encoding = response.headers.get("content-encoding", "identity").strip().lower()
    if encoding not in {"identity", "gzip", "x-gzip", ""}:
        raise BadResponse("the response has an encoding that was not asked for")
    unpack = zlib.decompressobj(16 + zlib.MAX_WBITS) if "gzip" in encoding else None
    parts: list[bytes] = []
    size = 0
    async for raw in response.stream:  # type: ignore[union-attr]  # an async transport gives an async stream
        pending = raw
        while pending:
            piece, pending = _unpacked(unpack, pending)
            parts.append(piece)
            size += len(piece)
            if size > max_bytes:
                raise BadResponse(f"the response is larger than {max_bytes} bytes, decoded", "ask for smaller pages")
    if unpack is not None and parts and not unpack.eof:
        raise BadResponse("the response is truncated: its gzip stream has no end")
    return parts[0] if len(parts) == 1 else b"".join(parts)


def _unpacked(unpack: Any, raw: bytes) -> tuple[bytes, bytes]:
    if unpack is None:
        return raw, b""
    try:
        return unpack.decompress(raw, _PIECE), unpack.unconsumed_tail
    except zlib.error:
        raise BadResponse("the response says gzip and is none") from None


@cache
def _tls() -> ssl.SSLContext:
    return ssl.create_default_context()


def _look_up(host: str, port: int) -> list[str]:
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, proto=socket.IPPROTO_TCP)
    return list(dict.fromkeys(str(entry[4][0]) for entry in found))


def _reason(error: Exception) -> str:
    return f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
