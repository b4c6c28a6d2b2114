"""What a fault makes of an answer: another one in its place, or a broken one."""

import zlib
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Final

from sandbox.control import Fault
from sandbox.listing import Reply

_MISSING_BYTES: Final = 1000
_SIGN_IN: Final = b"<!doctype html><title>Sign in</title><p>We'll be back soon."


def instead(
    faults: Mapping[str, Fault], limited: Callable[[float], Reply], failed: Callable[[], Reply]
) -> Reply | None:
    """The answer that comes instead of the vendor's, if a fault wants one.

    Args:
        limited: the vendor's 429 that asks to wait so many seconds.
        failed: the vendor's own error.
    """
    made: dict[str, Callable[[Fault], Reply]] = {
        "limit": lambda fault: limited(fault.seconds),
        "status": lambda fault: Reply(fault.status, failed().body, failed().headers),
        "error_200": lambda _fault: Reply(200, failed().body),
        "html": lambda _fault: Reply(200, _SIGN_IN, {"Content-Type": "text/html"}),
        "bomb": lambda fault: Reply(200, _bomb(fault.megabytes), {"Content-Encoding": "gzip"}),
        "huge": lambda fault: Reply(200, b'{"data": ["' + b"x" * (fault.megabytes << 20) + b'"]}'),
    }
    return next((make(faults[kind]) for kind, make in made.items() if kind in faults), None)


def spoil(reply: Reply, faults: Mapping[str, Fault]) -> None:
    """Breaks an answer: its JSON ends in the middle, or the connection does."""
    if "malformed" in faults:
        reply.body = reply.body[: len(reply.body) // 2]
    if "truncated" in faults:
        reply.headers["Content-Length"] = str(len(reply.body) + _MISSING_BYTES)


@lru_cache(maxsize=4)
def _bomb(megabytes: int) -> bytes:
    packer = zlib.compressobj(9, zlib.DEFLATED, 31)
    return b"".join([*(packer.compress(b" " * (1 << 20)) for _ in range(megabytes)), packer.flush()])
