"""A request as a vendor sees it, read by `Place`s."""

import re
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any
from urllib.parse import parse_qsl

import orjson

from sandbox.vendor import Place


class Unreadable(Exception):
    """The request's body is no JSON."""


@dataclass(slots=True)
class Asked:
    """One request: `path` without the vendor's prefix, `base` the URL that stands for the vendor's own."""

    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    content: bytes
    base: str
    raw_query: str = ""
    params: dict[str, str] = field(default_factory=dict)
    _body: Any = None

    @property
    def body(self) -> Any:
        """The body's JSON, or its form's fields; {} if there is none. Raises Unreadable."""
        if self._body is None:
            self._body = self._parsed()
        return self._body

    def _parsed(self) -> Any:
        if not self.content:
            return {}
        if "form" in self.headers.get("content-type", ""):
            return dict(parse_qsl(self.content.decode(errors="replace"), keep_blank_values=True))
        try:
            return orjson.loads(self.content)
        except orjson.JSONDecodeError as error:
            raise Unreadable("the request body is no JSON") from error

    def read(self, place: Place) -> Any:
        """What stands at `place`, or None."""
        kind, _, name = place.in_.partition(":")
        if kind == "query":
            value: Any = self.query.get(name)
        elif kind == "header":
            value = self.headers.get(name)
        elif kind == "path":
            value = self.params.get(name)
        else:
            value = _inside(self.body, name)
        if value is None or place.match is None:
            return value
        found = _compiled(place.match).search(str(value))
        return found.group(1) if found else None

    def read_first(self, places: tuple[Place, ...]) -> Any:
        """What stands at the first of `places` that has something."""
        return next((value for place in places if (value := self.read(place)) is not None), None)


def _inside(value: Any, path: str) -> Any:
    for step in path.split("."):
        if isinstance(value, list) and step.isdigit():
            value = value[int(step)] if int(step) < len(value) else None
        else:
            value = value.get(step) if isinstance(value, dict) else None
    return value


@lru_cache(maxsize=1000)
def _compiled(pattern: str) -> re.Pattern[str]:
    return re.compile(pattern)


@lru_cache(maxsize=100_000)
def path_pattern(template: str) -> re.Pattern[str]:
    """The regular expression of a path whose `{names}` take one step each."""
    pieces = re.split(r"\{(\w+)\}", template)
    return re.compile(
        "".join(f"(?P<{piece}>[^/]+?)" if odd % 2 else re.escape(piece) for odd, piece in enumerate(pieces)) + "/?"
    )
