"""Reading a server's log: its last lines, and what is added."""

import time
from collections.abc import Iterator
from pathlib import Path

POLL_SECONDS = 0.5


def last_lines(log: Path, count: int) -> list[str]:
    """The last `count` lines; none if there is no log yet."""
    if not log.exists():
        return []
    return log.read_text(errors="replace").splitlines()[-count:]


def follow(log: Path) -> Iterator[str]:
    """Lines added from now on, for ever; goes over to the new file when a new run begins one."""
    position = log.stat().st_size if log.exists() else 0
    rest = ""
    while True:
        size = log.stat().st_size if log.exists() else 0
        if size < position:
            position, rest = 0, ""
        if size > position:
            with log.open("rb") as handle:
                handle.seek(position)
                text = rest + handle.read(size - position).decode(errors="replace")
            position = size
            *lines, rest = text.split("\n")
            yield from lines
        else:
            time.sleep(POLL_SECONDS)
