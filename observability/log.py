"""Logging of every process: one plain line a message on stderr, UTC, level from the caller's settings.

Messages name topics, keys and counts, never a record's values.
"""

import logging
import re
import time
from collections.abc import Callable
from typing import Final

FORMAT: Final = "%(asctime)s.%(msecs)03dZ %(levelname)s %(name)s: %(message)s"
DATE_FORMAT: Final = "%Y-%m-%dT%H:%M:%S"

NUMBERS: Final = re.compile(r"\d+")
SECONDS: Final = 10.0
KINDS: Final = 1_000  # kept at most

# Faust and its base announce every service that starts; that is noise below WARNING.
CHATTY: Final = ("faust", "mode", "aiohttp.access", "asyncio")


class SingleLine(logging.Formatter):
    """Keeps a message on one line: newlines, also those of a traceback, become ` | `."""

    converter = staticmethod(time.gmtime)

    def format(self, record: logging.LogRecord) -> str:
        return super().format(record).replace("\n", " | ")


class OneOfMany(logging.Filter):
    """Of warnings that differ in their numbers alone, one in `SECONDS`, with how many were left out: a broker that is
    away would fill the log with refused connections.
    """

    def __init__(self, *, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__()
        self._clock = clock
        self._shown: dict[tuple[str, str], tuple[float, int]] = {}  # -> when, and how many since

    def filter(self, record: logging.LogRecord) -> bool:
        if record.levelno != logging.WARNING:
            return True
        kind, now = (record.name, NUMBERS.sub("", record.getMessage())), self._clock()
        shown, hidden = self._shown.get(kind, (-SECONDS, 0))
        if now - shown < SECONDS:
            self._shown[kind] = shown, hidden + 1
            return False
        if len(self._shown) >= KINDS:
            self._shown.clear()
        self._shown[kind] = now, 0
        if hidden:
            record.msg, record.args = f"{record.getMessage()} ({hidden} alike were left out)", ()
        return True


def set_up(level: str = "INFO") -> None:
    """Send the root logger's lines to stderr; replaces earlier handlers, so it may be called again."""
    handler = logging.StreamHandler()
    handler.setFormatter(SingleLine(FORMAT, DATE_FORMAT))
    handler.addFilter(OneOfMany())
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)
    for name in CHATTY:
        logging.getLogger(name).setLevel(max(logging.WARNING, logging.getLevelName(level.upper())))
