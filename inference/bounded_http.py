"""HTTP for model endpoints that ends an answer which is too long, in bytes or in seconds, wherever it comes from.

A client library reads a body whole before it looks at it, and its time limits are per read: an endpoint that sends a
hundred megabytes, or one byte a second, would hold a worker.
"""

import time
from collections.abc import AsyncIterator, Iterator

import httpx2

from inference.errors import AnswerTooLong


class _Bound:
    def __init__(self, limit_bytes: int, limit_seconds: float) -> None:
        self._limit_bytes = limit_bytes
        self._end = time.monotonic() + limit_seconds
        self._limit_seconds = limit_seconds
        self._seen = 0

    def check(self, chunk: bytes) -> bytes:
        self._seen += len(chunk)
        if self._seen > self._limit_bytes:
            raise AnswerTooLong(f"the model endpoint's answer has more than {self._limit_bytes:,} bytes")
        if time.monotonic() > self._end:
            raise AnswerTooLong(f"the model endpoint's answer took more than {self._limit_seconds:g} s")
        return chunk


class _AsyncStream(httpx2.AsyncByteStream):
    def __init__(self, stream: httpx2.AsyncByteStream, bound: _Bound) -> None:
        self._stream, self._bound = stream, bound

    async def __aiter__(self) -> AsyncIterator[bytes]:
        async for chunk in self._stream:
            yield self._bound.check(chunk)

    async def aclose(self) -> None:
        await self._stream.aclose()


class _SyncStream(httpx2.SyncByteStream):
    def __init__(self, stream: httpx2.SyncByteStream, bound: _Bound) -> None:
        self._stream, self._bound = stream, bound

    def __iter__(self) -> Iterator[bytes]:
        for chunk in self._stream:
            yield self._bound.check(chunk)

    def close(self) -> None:
        self._stream.close()


class AsyncBoundedTransport(httpx2.AsyncHTTPTransport):
    """Answers of at most `limit_bytes`, as sent, within `limit_seconds` of their first byte; else AnswerTooLong."""

    def __init__(self, *, limit_bytes: int, limit_seconds: float) -> None:
        super().__init__()
        self._limits = (limit_bytes, limit_seconds)

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        request.headers["accept-encoding"] = "identity"  # what is counted is what is read
        response = await super().handle_async_request(request)
        assert isinstance(response.stream, httpx2.AsyncByteStream)
        response.stream = _AsyncStream(response.stream, _Bound(*self._limits))
        return response


class BoundedTransport(httpx2.HTTPTransport):
    """The same for a client that blocks."""

    def __init__(self, *, limit_bytes: int, limit_seconds: float) -> None:
        super().__init__()
        self._limits = (limit_bytes, limit_seconds)

    def handle_request(self, request: httpx2.Request) -> httpx2.Response:
        request.headers["accept-encoding"] = "identity"
        response = super().handle_request(request)
        assert isinstance(response.stream, httpx2.SyncByteStream)
        response.stream = _SyncStream(response.stream, _Bound(*self._limits))
        return response
