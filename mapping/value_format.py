"""Guesses what one value is written as: an email address, an ISO time, seconds since 1970. A guess, never a check.

Names are those of JSON Schema where it has one (`date-time`, `email`, `uri`, `uuid`), else ours: `epoch-seconds`,
`epoch-millis`, `currency`, `alpha-2`, `locale`, `phone`, `number`, `boolean`.
"""

import re
from typing import Any, Final

from iso4217 import Currency

# 1990 to 2100: where times of business records lie, and few other numbers of ten or thirteen digits do.
_SECONDS: Final = range(631_152_000, 4_102_444_800)
_MILLIS: Final = range(631_152_000_000, 4_102_444_800_000)
_CURRENCIES: Final = frozenset(currency.code for currency in Currency)
_BOOLEAN_WORDS: Final = frozenset({"true", "false", "yes", "no"})
_LONGEST: Final = 320  # characters of an email address, RFC 5321

# The first that matches counts; one expression, for it is asked of every value of a sample.
_NAMES_AND_PATTERNS: Final = (
    ("date-time", r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d(?::\d\d(?:\.\d{1,9})?)?(?: ?(?:Z|[+-]\d\d:?\d\d))?"),
    ("date", r"\d{4}-\d\d-\d\d"),
    ("email", r"[^@\s,;]+@[^@\s,;]+\.[^@\s.,;]+"),
    ("uri", r"https?://\S+"),
    ("uuid", r"[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}"),
    ("ipv4", r"(?:\d{1,3}\.){3}\d{1,3}"),
    ("number", r"[+-]?\d{1,18}(?:\.\d{1,18})?"),
    ("phone", r"\+?\(?\d[\d ().\-]{5,17}\d"),
    ("locale", r"[a-z]{2}[-_][A-Z]{2}"),
    ("alpha-2", r"[A-Z]{2}"),
)
_NAMES: Final = tuple(name for name, _ in _NAMES_AND_PATTERNS)
_PATTERN: Final = re.compile("|".join(f"({pattern})" for _, pattern in _NAMES_AND_PATTERNS))


def value_format(value: Any) -> str | None:
    """The format of a JSON scalar; None if it has none that is known."""
    if isinstance(value, str):
        return _text_format(value)
    if isinstance(value, int) and not isinstance(value, bool):
        return _time_format(value)
    return None


def _text_format(text: str) -> str | None:
    if not text or len(text) > _LONGEST:
        return None
    found = _PATTERN.fullmatch(text)
    if found is not None:
        name = _NAMES[(found.lastindex or 1) - 1]
        return (text.isdecimal() and _time_format(int(text))) or name if name == "number" else name
    if len(text) == 3 and text.upper() in _CURRENCIES:
        return "currency"
    return "boolean" if text.lower() in _BOOLEAN_WORDS else None


def _time_format(number: int) -> str | None:
    if number in _SECONDS:
        return "epoch-seconds"
    return "epoch-millis" if number in _MILLIS else None
