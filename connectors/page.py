"""One response as paging, error rules and the reader of records see it: decoded once, exactly, and only when needed."""

import re
from collections.abc import Mapping
from functools import cached_property
from typing import Any, Final

import orjson

from connectors.egress import Answer
from connectors.errors import BadResponse
from mapping.decode_json import decode
from schemas.failures import InvalidRecord

# A number outside a string that a double or 64 bits may not hold.
_LONG_NUMBER: Final = re.compile(rb"[:,\[\s]-?(?:[0-9][0-9.]{15,}|[0-9][0-9.]*[eE])")
_MARKUP: Final = re.compile(rb"\s*(?:\xef\xbb\xbf)?\s*<(?:!doctype|html|\?xml|[a-z])", re.IGNORECASE)


class Unreadable(BadResponse):
    """The body is no JSON; another try may give one."""


class Page:
    """A response. `data` raises BadResponse where the body is no JSON."""

    def __init__(self, answer: Answer) -> None:
        self.status = answer.status
        self.headers: Mapping[str, str] = answer.headers
        self.body = answer.body
        self.url = answer.url

    @cached_property
    def data(self) -> Any:
        """The decoded body; None if it is empty."""
        return decode_body(self.body)

    @cached_property
    def is_json(self) -> bool:
        """Whether `data` can be had."""
        try:
            return self.data is not None
        except BadResponse:
            return False

    def text(self, most_bytes: int) -> str:
        """The beginning of the body."""
        return self.body[:most_bytes].decode(errors="replace")


def decode_body(body: bytes) -> Any:
    """Any JSON value, as exactly as `mapping.decode_json` reads objects.

    Raises:
        BadResponse: HTML, truncated or otherwise no JSON; duplicate keys.
    """
    if not body.strip():
        return None
    try:
        data = orjson.loads(body)
        same = orjson.dumps(data)
    except orjson.JSONDecodeError as error:
        if "infinity" not in str(error):
            raise Unreadable(*_why(body, error)) from error
        return _exactly(body)
    except TypeError as error:
        raise BadResponse("the response is JSON nested deeper than 254 levels") from error
    if same != body and (body.count(b":") != same.count(b":") or b"\\u003" in body or _LONG_NUMBER.search(body)):
        return _exactly(body)
    return data


def _exactly(body: bytes) -> Any:
    try:
        return decode(b'{"":' + body + b"}")[""]
    except InvalidRecord as error:
        raise BadResponse(f"the response is {error}") from error


def _why(body: bytes, error: orjson.JSONDecodeError) -> tuple[str, str]:
    if _MARKUP.match(body):
        return (
            "the response is HTML or XML instead of JSON",
            "check the base URL, and whether a login page is in the way",
        )
    if error.pos >= len(body.rstrip()) - 1 or "unexpected end" in error.msg or "EOF" in error.msg:
        return "the response is truncated JSON", "ask for smaller pages, or try again"
    return f"the response is no JSON: {error.msg} at byte {error.pos}", "check the endpoint"
