"""What kind of value a source field has, and what kind a canonical field wants, in few families.

Told by JSON type, format and shapes where they are known; a canonical field's by its kind, else by its name. What
isn't known fits everything equally.
"""

import re
from collections.abc import Sequence
from typing import Final

from mapping.candidates import TargetField
from mapping.concepts import Words

TEXT, NUMBER, BOOLEAN, TIME, LIST, OBJECT = FAMILIES = ("text", "number", "boolean", "time", "list", "object")

_OF_JSON: Final = {
    "string": TEXT,
    "integer": NUMBER,
    "number": NUMBER,
    "boolean": BOOLEAN,
    "array": LIST,
    "object": OBJECT,
}
_TIME_FORMATS: Final = frozenset(
    {"date-time", "date", "time", "datetime", "timestamp", "epoch-seconds", "epoch-millis", "unix-time"}
)
_TIME_SHAPE: Final = re.compile(r"9{4}-99-99([Ta ]99:99.*)?|99[/.]99[/.]9{2,4}( .*)?")
# how likely a field of a kind is of each family, in the order of FAMILIES
_OF_KIND: Final = {
    "string": (0.80, 0.08, 0.02, 0.02, 0.03, 0.05),
    "long": (0.10, 0.86, 0.01, 0.01, 0.01, 0.01),
    "double": (0.15, 0.81, 0.01, 0.01, 0.01, 0.01),
    "decimal": (0.25, 0.70, 0.01, 0.01, 0.01, 0.02),
    "boolean": (0.08, 0.04, 0.85, 0.01, 0.01, 0.01),
    "timestamp": (0.55, 0.15, 0.01, 0.27, 0.01, 0.01),
    "date": (0.55, 0.10, 0.01, 0.32, 0.01, 0.01),
    "list": (0.40, 0.10, 0.01, 0.01, 0.38, 0.10),
}
_UNKNOWN_KIND: Final = (0.68, 0.13, 0.09, 0.04, 0.03, 0.03)
# format of values → words of the fields that have such values; a person's login may be an address, too, but seldom is
_TELLING: Final = {
    "email": frozenset({"email", "mail"}),
    "currency": frozenset({"currency"}),
    "uri": frozenset({"url", "link", "website", "web", "homepage", "domain", "avatar", "image", "photo", "picture"}),
}
_TOLD, _UNTOLD = 0.8, 0.02
_TIME_WORDS: Final = frozenset({"date", "time", "at", "on", "timestamp", "created", "updated", "modified", "deadline"})
_NUMBER_WORDS: Final = frozenset(
    {"amount", "count", "total", "price", "quantity", "number", "size", "balance", "cost", "rate", "percent", "weight"}
    | {"height", "width", "length", "duration", "score", "probability", "revenue", "discount", "tax", "subtotal"}
    | {"latitude", "longitude", "hour", "minute", "second", "day", "year", "age", "maximum", "minimum", "average"}
)
_FLAG_WORDS: Final = frozenset(
    {"enabled", "active", "deleted", "archived", "private", "public", "verified", "won", "locked", "disabled"}
    | {"has", "can", "allow", "allowed", "requires", "taxable", "confidential", "suspended", "draft", "shared"}
)


def family_of(json_type: str | None, told_format: str | None = None, shapes: Sequence[str] = ()) -> str | None:
    """The family of a source field's values; None if nothing tells. The type may carry its format: `string:date`."""
    base, _, told = (json_type or "").partition(":")
    if told in _TIME_FORMATS or told_format in _TIME_FORMATS:
        return TIME
    if base in ("", "string") and shapes and all(_TIME_SHAPE.fullmatch(shape) for shape in shapes):
        return TIME
    return _OF_JSON.get(base)


def wanted_families(target: TargetField, words: Words, path: str) -> Sequence[float]:
    """How likely a field that is `target` has values of each of FAMILIES; sums to 1."""
    if target.is_list and "[]" not in target.name:
        return _OF_KIND["list"]
    if target.kind is not None:
        return _OF_KIND.get(target.kind, _UNKNOWN_KIND)
    if looks_like_flag(path, words):
        return _OF_KIND["boolean"]
    if looks_like_time(words):
        return _OF_KIND["timestamp"]
    if words and words[-1] in _NUMBER_WORDS:
        return _OF_KIND["decimal"]
    return _UNKNOWN_KIND


def told_by_format(told_format: str | None, words: Words) -> float | None:
    """How likely a canonical field of these words has values of a format that says what they are, as addresses of
    persons or of pages do; None if the format says no such thing."""
    telling = _TELLING.get(told_format or "")
    if telling is None:
        return None
    return _TOLD if telling.intersection(words) else _UNTOLD


def looks_like_time(words: Words) -> bool:
    """Whether a name of these words is that of a moment."""
    return bool(words) and (words[-1] in _TIME_WORDS or words[0] in {"date", "time"})


def looks_like_flag(path: str, words: Words) -> bool:
    """Whether a field of this name is a yes or no."""
    last = path.replace("[]", "").rpartition(".")[2]
    return bool(re.match(r"_?(is|has|can|allow|accepts?|requires?)([A-Z_]|$)", last)) or (
        bool(words) and words[-1] in _FLAG_WORDS
    )


def looks_like_id(words: Words) -> bool:
    """Whether a name of these words is that of an identifier."""
    return bool(words) and words[-1] == "id"


def looks_like_url(words: Words) -> bool:
    """Whether a name of these words is that of an address on the web."""
    return "url" in words or "link" in words
