"""The statements of `queries.sql`, by name. Values reach them as parameters, never as text."""

import re
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Final

_NAME: Final = re.compile(r"^-- (?P<name>[a-z_]+) --$", re.MULTILINE)
_COMMENT: Final = re.compile(r"^\s*--.*\n?", re.MULTILINE)


def parse(text: str) -> dict[str, bytes]:
    """Name → statement, without comments. KeyError if a name occurs twice."""
    _, *parts = _NAME.split(text)
    statements: dict[str, bytes] = {}
    for name, body in zip(parts[::2], parts[1::2], strict=True):
        if name in statements:
            raise KeyError(f"two statements are called {name}")
        statements[name] = _COMMENT.sub("", body).strip().encode()
    return statements


QUERIES: Final[Mapping[str, bytes]] = MappingProxyType(
    parse((Path(__file__).parent / "queries.sql").read_text(encoding="utf-8"))
)
