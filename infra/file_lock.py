"""A lock between processes that dies with its holder, so that no crash leaves one behind."""

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def file_lock(path: Path) -> Iterator[None]:
    """Hold the lock of `path`, waiting for whoever holds it. The file stays: removing it would let two in."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)  # released by the system when the handle closes, also by kill -9
        yield
