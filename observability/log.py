"""Logging of every process: one plain line a message on stderr, UTC, level from the caller's settings.

Messages name topics, keys and counts, never a record's values.
"""

import logging
import time
from typing import Final

FORMAT: Final = "%(asctime)s.%(msecs)03dZ %(levelname)s %(name)s: %(message)s"
DATE_FORMAT: Final = "%Y-%m-%dT%H:%M:%S"

# Faust and its base announce every service that starts; that is noise below WARNING.
CHATTY: Final = ("faust", "mode", "aiohttp.access", "asyncio")


class SingleLine(logging.Formatter):
    """Keeps a message on one line: newlines, also those of a traceback, become ` | `."""

    converter = staticmethod(time.gmtime)

    def format(self, record: logging.LogRecord) -> str:
        return super().format(record).replace("\n", " | ")


def set_up(level: str = "INFO") -> None:
    """Send the root logger's lines to stderr; replaces earlier handlers, so it may be called again."""
    handler = logging.StreamHandler()
    handler.setFormatter(SingleLine(FORMAT, DATE_FORMAT))
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)
    for name in CHATTY:
        logging.getLogger(name).setLevel(max(logging.WARNING, logging.getLevelName(level.upper())))
