"""The guard on outgoing requests, trap by trap. Servers here are sockets of this test; names are resolved by hand."""

import asyncio
import gzip
import zlib
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager

import pytest

from connectors.address_rules import AllowedHosts, is_public
from connectors.egress import Egress, origin_of
from connectors.errors import BadResponse, EgressRefused, VendorUnavailable
from connectors.settings import ConnectorSettings

Handler = Callable[[bytes], bytes]


@asynccontextmanager
async def server(answer: Handler) -> AsyncIterator[tuple[int, list[bytes]]]:
    """(port, requests as they came) of a server that answers each request's head and closes."""
    seen: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        seen.append(head)
        writer.write(answer(head))
        await writer.drain()
        writer.close()

    listening = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with listening:
        yield listening.sockets[0].getsockname()[1], seen


def response(body: bytes = b"{}", *headers: str, status: str = "200 OK") -> bytes:
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", "Connection: close", *headers]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


def local(*_: object) -> Sequence[str]:
    return ["127.0.0.1"]


def egress(*allow: str, resolve: Callable[[str, int], Sequence[str]] | None = None, **given: float) -> Egress:
    return Egress(ConnectorSettings(egress_allow=allow, **given), resolve=resolve)  # type: ignore[arg-type]


def run(work: Awaitable[None]) -> None:
    async def whole() -> None:
        await work

    asyncio.run(whole())


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1", "10.1.2.3", "172.16.0.1", "192.168.1.1", "169.254.169.254", "100.100.100.200", "0.0.0.0",
        "224.0.0.1", "255.255.255.255", "::1", "::", "fe80::1", "fe80::1%eth0", "fc00::1", "fec0::1", "ff02::1",
        "::ffff:169.254.169.254", "::ffff:10.0.0.1", "64:ff9b::a9fe:a9fe", "64:ff9b:1::1", "2002:a9fe:a9fe::1",
        "2001:0:4136:e378:8000:63bf:3fff:fdd2", "::169.254.169.254", "240.0.0.1", "localhost", "",
    ],
)  # fmt: skip
def test_an_address_that_is_not_public(address: str) -> None:
    assert not is_public(address)


@pytest.mark.parametrize("address", ["1.1.1.1", "2606:4700::1111", "::ffff:8.8.8.8", "64:ff9b::808:808"])
def test_a_public_address(address: str) -> None:
    assert is_public(address)


def test_what_is_allowed_is_host_and_port() -> None:
    allowed = AllowedHosts(["127.0.0.1:8200", "Sandbox:*", "[::1]:80"])
    assert ("127.0.0.1", 8200) in allowed
    assert ("127.0.0.1", 8201) not in allowed
    assert ("sandbox", 1) in allowed
    assert ("::1", 80) in allowed
    assert ("x.sandbox", 1) not in allowed


@pytest.mark.parametrize("host", ["2852039166", "0xa9fea9fe", "0251.0376.0251.0376", "127.1", "localhost", "[::1]"])
def test_other_spellings_of_private_addresses_are_judged_after_resolving(host: str) -> None:
    async def work() -> None:
        async with egress() as out:
            with pytest.raises(EgressRefused, match=r"not public|no URL"):  # httpx reads no octal
                await out.fetch("GET", f"https://{host}:1/")

    run(work())


def test_one_private_address_among_public_ones_is_enough_to_refuse() -> None:
    async def work() -> None:
        async with egress(resolve=lambda *_: ["1.1.1.1", "10.0.0.1"]) as out:
            with pytest.raises(EgressRefused, match="not public"):
                await out.fetch("GET", "https://two.example/")

    run(work())


def test_a_name_is_resolved_once_so_that_rebinding_changes_nothing() -> None:
    asked: list[object] = []

    def rebinding(host: str, port: int) -> Sequence[str]:
        asked.append(host)
        return ["127.0.0.1"] if len(asked) == 1 else ["10.0.0.1"]

    async def work() -> None:
        async with server(lambda _: response(b"one")) as (port, seen):
            async with egress(f"vendor.example:{port}", resolve=rebinding) as out:
                answer = await out.fetch("GET", f"http://vendor.example:{port}/x")
            assert answer.body == b"one"
            assert b"Host: vendor.example" in seen[0]
            assert asked == ["vendor.example"]

    run(work())


def test_without_tls_only_allowed_hosts() -> None:
    async def work() -> None:
        async with egress(resolve=lambda *_: ["1.1.1.1"]) as out:
            with pytest.raises(EgressRefused, match="not https"):
                await out.fetch("GET", "http://vendor.example/")

    run(work())


@pytest.mark.parametrize(
    "url", ["file:///etc/passwd", "ftp://x/", "https://", "https://x:port/", "//x", "", "gopher://x"]
)
def test_what_is_no_web_address_is_refused(url: str) -> None:
    async def work() -> None:
        async with egress() as out:
            with pytest.raises(EgressRefused):
                await out.fetch("GET", url)

    run(work())


def test_a_user_in_the_address_is_refused() -> None:
    async def work() -> None:
        async with egress() as out:
            with pytest.raises(EgressRefused, match="user name"):
                await out.fetch("GET", "https://vendor.example@10.0.0.1/")

    run(work())


@pytest.mark.parametrize(
    "target", ["http://169.254.169.254/latest/", "https://[::1]/", "http://10.0.0.1/", "//127.0.0.2/"]
)
def test_a_redirect_to_a_private_address_is_refused(target: str) -> None:
    async def work() -> None:
        redirect = response(b"", f"Location: {target}", status="302 Found")
        async with server(lambda _: redirect) as (port, _), egress(f"127.0.0.1:{port}") as out:
            with pytest.raises(EgressRefused):
                await out.fetch("GET", f"http://127.0.0.1:{port}/")

    run(work())


def test_credentials_are_not_taken_to_another_origin() -> None:
    async def work() -> None:
        async with server(lambda _: response()) as (other, seen):

            def answer(_: bytes) -> bytes:
                return response(b"", f"Location: http://127.0.0.1:{other}/", status="307 Temporary Redirect")

            async with server(answer) as (port, _), egress("127.0.0.1:*") as out:
                base = f"http://127.0.0.1:{port}"
                with pytest.raises(EgressRefused, match="another host"):
                    await out.fetch("GET", f"{base}/", headers={"X-Api-Key": "s3cret"}, credentials_for=base)
                with pytest.raises(EgressRefused, match="another host"):
                    await out.fetch("GET", f"http://127.0.0.1:{other}/", credentials_for=base)
            assert seen == []

    run(work())


def test_a_redirect_on_the_same_origin_is_followed() -> None:
    def answer(head: bytes) -> bytes:
        if head.startswith(b"GET /b"):
            return response(b"there")
        return response(b"", "Location: /b", status="301 Moved")

    async def work() -> None:
        async with server(answer) as (port, seen), egress("127.0.0.1:*") as out:
            base = f"http://127.0.0.1:{port}"
            found = await out.fetch("GET", f"{base}/a", headers={"X-Api-Key": "s3cret"}, credentials_for=base)
            assert (found.body, found.url) == (b"there", f"{base}/b")
            assert b"s3cret" in seen[1]

    run(work())


def test_redirects_have_an_end() -> None:
    async def work() -> None:
        async with server(lambda _: response(b"", "Location: /", status="302 Found")) as (port, seen):
            async with egress("127.0.0.1:*") as out:
                with pytest.raises(BadResponse, match="redirects"):
                    await out.fetch("GET", f"http://127.0.0.1:{port}/")
            assert len(seen) == 6

    run(work())


def test_proxies_of_the_environment_are_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")

    async def work() -> None:
        async with server(lambda _: response(b"direct")) as (port, _), egress("127.0.0.1:*") as out:
            assert (await out.fetch("GET", f"http://127.0.0.1:{port}/")).body == b"direct"

    run(work())


def test_gzip_is_unpacked() -> None:
    async def work() -> None:
        packed = response(gzip.compress(b'{"a": 1}' * 1000), "Content-Encoding: gzip")
        async with server(lambda _: packed) as (port, _), egress("127.0.0.1:*") as out:
            assert (await out.fetch("GET", f"http://127.0.0.1:{port}/")).body == b'{"a": 1}' * 1000

    run(work())


@pytest.mark.parametrize(
    ("body", "headers", "said"),
    [
        (gzip.compress(bytes(50_000_000)), ["Content-Encoding: gzip"], "larger than 1000000"),
        (bytes(2_000_000), [], "larger than 1000000"),
        (gzip.compress(b"x" * 1000)[:-9], ["Content-Encoding: gzip"], "truncated"),
        (b"not gzip", ["Content-Encoding: gzip"], "says gzip"),
        (zlib.compress(b"{}"), ["Content-Encoding: zstd"], "not asked for"),
    ],
    ids=["bomb", "large", "truncated", "no gzip", "zstd"],
)
def test_a_body_that_is_too_much_or_broken(body: bytes, headers: list[str], said: str) -> None:
    async def work() -> None:
        async with server(lambda _: response(body, *headers)) as (port, _), egress("127.0.0.1:*") as out:
            with pytest.raises(BadResponse, match=said):
                await out.fetch("GET", f"http://127.0.0.1:{port}/", max_bytes=1_000_000)

    run(work())


def test_a_body_shorter_than_it_says_is_no_response() -> None:
    def answer(_: bytes) -> bytes:
        return b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{}"

    async def work() -> None:
        async with server(answer) as (port, _), egress("127.0.0.1:*") as out:
            with pytest.raises(VendorUnavailable):
                await out.fetch("GET", f"http://127.0.0.1:{port}/")

    run(work())


def test_a_response_that_drips_is_cut_off() -> None:
    async def work() -> None:
        async def drip(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n")
            while not writer.is_closing():
                writer.write(b" ")
                await asyncio.sleep(0.02)

        listening = await asyncio.start_server(drip, "127.0.0.1", 0)
        port = listening.sockets[0].getsockname()[1]
        async with egress("127.0.0.1:*", response_timeout_seconds=0.2) as out:
            with pytest.raises(VendorUnavailable, match=r"within 0\.2 s"):
                await out.fetch("GET", f"http://127.0.0.1:{port}/")
        listening.close()

    run(work())


def test_nobody_there() -> None:
    async def work() -> None:
        async with egress("127.0.0.1:*") as out:
            with pytest.raises(VendorUnavailable):
                await out.fetch("GET", "http://127.0.0.1:1/")

    run(work())


def test_an_origin_has_one_spelling() -> None:
    assert origin_of("https://API.example/x?y") == origin_of("https://api.example:443") == "https://api.example:443"
