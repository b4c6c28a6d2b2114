"""What a response asks for: the spec's rules first, then what HTTP's status codes mean to everybody.

Only decides (`Reaction`); `connectors.vendor` does it. Vendors' own words are shortened and made one line.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, Final, Literal

from connectors.expressions import expression, is_true
from connectors.page import Page
from schemas.connector_spec import Action, Condition, ErrorRule

_THROTTLED: Final = frozenset({429})
_RETRIED: Final = frozenset({408, 409, 425, 500, 502, 503, 504})
_MEANINGS: Final[dict[int, tuple[Action, str]]] = {
    401: ("refresh_token", "the credentials are refused: enter them again"),
    403: ("stop", "the credentials lack a right: grant it, or leave this entity out"),
    404: ("fail", "check the endpoint, and the settings in it"),
}
_TEXT_BYTES: Final = 65_536
_WORDS: Final = 300
_SECRETS: Final = re.compile(r"[A-Za-z0-9_\-.~+/=]{24,}")


@dataclass(frozen=True, slots=True)
class Reaction:
    """What to do, and why."""

    action: Action | Literal["use"]
    reason: str = ""
    fix: str = ""


USE: Final = Reaction("use")


def react(page: Page, rules: Sequence[ErrorRule]) -> Reaction:
    """The reaction to a response."""
    for rule in rules:
        if _fits(page, rule.when):
            words = _vendor_words(page, rule.message_path)
            reason = f"the vendor answered {page.status}{': ' + words if words else ''}"
            return Reaction(rule.action, reason, rule.message or "")
    return USE if 200 <= page.status < 300 else _by_status(page)


def _by_status(page: Page) -> Reaction:
    status = page.status
    words = _vendor_words(page, None)
    reason = f"the vendor answered {status}{': ' + words if words else ''}"
    if status in _THROTTLED or (status in {403, 503} and "retry-after" in page.headers):
        return Reaction("rate_limited", reason)
    if status in _RETRIED or status >= 500:
        return Reaction("retry", reason)
    action, fix = _MEANINGS.get(status, ("fail", "check the endpoint and the parameters in the spec"))
    return Reaction(action, reason, fix)


def _fits(page: Page, when: Condition) -> bool:
    if when.status is not None and not _has_status(page.status, when.status):
        return False
    for name, value in when.header.items():
        found = page.headers.get(name.lower())
        if found is None or value not in {"*", found}:
            return False
    if when.text is not None and not _pattern(when.text).search(page.text(_TEXT_BYTES)):
        return False
    return when.body is None or (page.is_json and is_true(expression(when.body)(page.data)))


def _has_status(status: int, wanted: Any) -> bool:
    options = wanted if isinstance(wanted, tuple) else (wanted,)
    return any(status == option or f"{status // 100}xx" == option for option in options)


def _vendor_words(page: Page, path: str | None) -> str:
    """The vendor's message, if there is one: no more than a line, nothing that could be a key."""
    if not page.is_json:
        return ""
    paths = [path] if path else ["error.message", "message", "errors[0].message", "[0].message", "error", "detail"]
    found = next((text for text in (expression(p)(page.data) for p in paths) if isinstance(text, str) and text), "")
    line = " ".join("".join(char if char.isprintable() else " " for char in found).split())
    return _SECRETS.sub("…", line)[:_WORDS]


@cache
def _pattern(text: str) -> "re.Pattern[str]":
    return re.compile(text)
