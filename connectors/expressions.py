"""JMESPath as functions; plain dotted names, which most are, without its interpreter."""

import re
from collections.abc import Callable
from functools import cache
from typing import Any, Final

import jmespath
from jmespath.exceptions import JMESPathError

from connectors.errors import BadResponse

Expression = Callable[[Any], Any]

_PLAIN: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*(?:\.[A-Za-z_][A-Za-z0-9_]*)*")


@cache
def expression(text: str) -> Expression:
    """The function that `text` writes; it gives None where there is nothing."""
    if text == "@":
        return lambda value: value
    if not _PLAIN.fullmatch(text):
        compiled = jmespath.compile(text)

        def search(value: Any) -> Any:
            try:
                return compiled.search(value)
            except JMESPathError as error:
                reason = str(error).splitlines()[0].partition(",")[0]
                raise BadResponse(f"the response doesn't fit the expression {text}: {reason}") from error

        return search
    first, *rest = text.split(".")
    if not rest:
        return lambda value: value.get(first) if value.__class__ is dict else None

    def read(value: Any) -> Any:
        value = value.get(first) if value.__class__ is dict else None
        for name in rest:
            value = value.get(name) if value.__class__ is dict else None
        return value

    return read


def is_true(value: Any) -> bool:
    """As JMESPath has it: false are null, false, and what is empty; 0 is true."""
    return value is not None and value is not False and value not in ("", [], {})


def has_key(text: str, value: Any) -> bool:
    """Whether the place that `text` names is there, be it with null; only of plain names."""
    names = [name.strip('"') for name in text.split(".")] if _PLAIN.fullmatch(text.replace('"', "")) else []
    for name in names:
        if not isinstance(value, dict) or name not in value:
            return False
        value = value[name]
    return bool(names)
