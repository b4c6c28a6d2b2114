"""Completes a spec's paging from a first response, and says why it chose so.

Only what the spec leaves open is chosen. Where a response that looks like a full page shows nothing that leads on, that
is an error: guessing "no paging" would lose all records but the first page.
"""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from connectors.api_words import WORDS, bare
from connectors.errors import BadResponse
from connectors.expressions import expression, has_key
from connectors.page import Page
from connectors.paging import linked, looks_full
from schemas.paging_spec import ODATA_NEXT, Pagination, PagingKind

# Where vendors put the token of the next page, and the parameter that takes it.
TOKENS: Final[Mapping[str, str]] = {
    "response_metadata.next_cursor": "cursor",
    "meta.after_cursor": "page[after]",
    "after_cursor": "cursor",
    "paging.next.after": "after",
    "pages.next.starting_after": "starting_after",
    "additional_data.next_cursor": "cursor",
    "additional_data.pagination.next_start": "start",
    "meta.next_cursor": "cursor",
    "meta.cursors.next": "cursor",
    "pagination.next_cursor": "cursor",
    "paging.cursors.after": "after",
    "cursor.next": "cursor",
    "next_cursor": "cursor",
    "nextCursor": "cursor",
    "endCursor": "after",
    "page_info.end_cursor": "after",
    "pageInfo.endCursor": "after",
    "next_page_token": "page_token",
    "nextPageToken": "pageToken",
    "NextToken": "NextToken",
    "nextToken": "nextToken",
    "next_token": "next_token",
    "next_page_id": "page_id",
    "offset": "offset",
    "cursor": "cursor",
}
URLS: Final = (
    "links.next.href", "links.next", "_links.next.href", "_links.next", "paging.next.link", "paging.next",
    "pagination.next_url", "pages.next", "meta.next", "nextRecordsUrl", "next_page_url", "next_url", "nextLink",
    "next_page", "next.href", "next",
)  # fmt: skip
MORE: Final = ("has_more", "hasMore", "meta.has_more", "pagination.has_more", "more")
TOTALS: Final = ("total", "total_count", "totalCount", "rowCount", "meta.total", "pagination.total", "paging.total")
PAGES: Final = (
    "total_pages",
    "totalPages",
    "pages.total_pages",
    "meta.total_pages",
    "pagination.total_pages",
    "last_page",
)
NUMBERS: Final = ("page", "pages.page", "meta.page", "pagination.page", "current_page", "meta.current_page")
OFFSETS: Final = ("offset", "start", "meta.offset", "pagination.offset", "paging.offset", "skip")

_DEPTH: Final = 2
_PLAIN: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_NOT_NEXT: Final = ("prev", "before", "first", "last", "self", "current")
_NEXT_TOKENS: Final = tuple(
    word for word in WORDS["next_cursors"] if word not in ("next", "cursor", "marker", "startingafter")
)


@dataclass(frozen=True, slots=True)
class Detected:
    """The paging in full, and what it was seen by."""

    paging: Pagination
    reason: str


def is_complete(paging: Pagination) -> bool:
    """Whether the spec says all that paging needs."""
    if paging.kind == "auto":
        return False
    if paging.kind == "cursor":
        return paging.cursor_path is not None and paging.cursor_param is not None
    if paging.kind == "next_url":
        return paging.cursor_path is not None
    return paging.kind in {"none", "link_header", "odata"} or paging.cursor_param is not None


def detect(paging: Pagination, page: Page, records: Sequence[Any]) -> Detected:
    """`paging` completed by what `page` shows.

    Raises:
        BadResponse: the page looks full, and nothing in it leads to a next one.
    """
    for found, reason in _signs(paging, page, records):
        if paging.kind in {"auto", found.kind}:
            chosen = {name: value for name, value in found.model_dump().items() if value is not None}
            given = paging.model_dump(exclude={"kind"}, exclude_defaults=True)
            return Detected(Pagination.model_validate(_by_alias(chosen | given)), reason)
    if looks_full(paging, len(records)) and not _says_last(page):
        kind = "paging" if paging.kind == "auto" else f"{paging.kind} paging"
        raise BadResponse(
            f"{len(records)} records look like a full page, and the response shows no {kind} that leads on",
            "declare `pagination` in the spec, kind none if there is only one page",
        )
    return Detected(Pagination(kind="none"), f"one page: {len(records)} records and nothing that leads on")


def _signs(paging: Pagination, page: Page, records: Sequence[Any]) -> Iterator[tuple[Pagination, str]]:
    if linked(page.headers.get("link", "")):
        yield _paging("link_header"), 'the header Link has rel="next"'
    data = page.data
    if not isinstance(data, dict):
        return
    if expression(ODATA_NEXT)(data):
        yield _paging("odata"), "the response has @odata.nextLink"
    more = _more(data)
    yield from _urls(data, more)
    yield from _tokens(data, more)
    yield from _by_name(data, more)
    if more and records and isinstance(records[-1], dict) and isinstance(records[-1].get("id"), str | int):
        yield _paging("last_record_id", cursor_param="starting_after", more_path=more), f"{more}, and records have ids"
    yield from _counts(data)


def _more(data: Any) -> str | None:
    return next((path for path in MORE if isinstance(expression(path)(data), bool)), None)


def _urls(data: Any, more: str | None) -> Iterator[tuple[Pagination, str]]:
    for path in URLS:
        found = expression(path)(data)
        if isinstance(found, str) and _is_url(found):
            yield _paging("next_url", cursor_path=path, more_path=more), f"{path} has a URL"


def _tokens(data: Any, more: str | None) -> Iterator[tuple[Pagination, str]]:
    for path, param in TOKENS.items():
        found = expression(path)(data)
        if isinstance(found, str) and found and "://" not in found and path not in OFFSETS:
            yield _paging("cursor", cursor_path=path, cursor_param=param, more_path=more), f"{path} has a token"
        elif isinstance(found, int) and "next" in path:
            yield _paging("cursor", cursor_path=path, cursor_param=param, more_path=more), f"{path} has a number"
        elif more and isinstance(found, str) and found and path in {"offset", "cursor"}:
            yield _paging("cursor", cursor_path=path, cursor_param=param, more_path=more), f"{path} has a token"


def _by_name(data: Any, more: str | None) -> Iterator[tuple[Pagination, str]]:
    """URLs and tokens at places that are no usual ones, but are called like one: `next_page.offset`, `meta.nextKey`."""
    # URLs first: they leave no parameter to be guessed.
    for steps, value in sorted(_texts(data, ()), key=lambda found: not _is_url(found[1])):
        name = bare("".join(steps))
        if not value or any(word in name for word in _NOT_NEXT):
            continue
        path = ".".join(step if _PLAIN.fullmatch(step) else json.dumps(step) for step in steps)
        if _is_url(value):
            if name.endswith((*WORDS["next_urls"], *WORDS["plain_next"])):
                yield _paging("next_url", cursor_path=path, more_path=more), f"{path} has a URL"
        elif name.endswith(_NEXT_TOKENS):
            param = re.sub(r"^next[_-]?(?=.)", "", steps[-1], flags=re.IGNORECASE)
            param = param[:1].lower() + param[1:] if steps[-1][:1].islower() else param
            yield _paging("cursor", cursor_path=path, cursor_param=param, more_path=more), f"{path} has a token"


def _is_url(text: str) -> bool:
    return text.startswith("/") or "://" in text


def _texts(data: Any, above: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], str]]:
    """The texts around the records, by their place; lists and what is in them are left out."""
    for name, value in data.items():
        if isinstance(value, str):
            yield (*above, name), value
        elif isinstance(value, dict) and len(above) < _DEPTH:
            yield from _texts(value, (*above, name))


def _counts(data: Any) -> Iterator[tuple[Pagination, str]]:
    total = next((path for path in TOTALS if _is_number(expression(path)(data))), None)
    pages = next((path for path in PAGES if _is_number(expression(path)(data))), None)
    number = next((path for path in NUMBERS if _is_number(expression(path)(data))), None)
    offset = next((path for path in OFFSETS if _is_number(expression(path)(data))), None)
    if pages or (number and total):
        start = expression(number)(data) if number else 1
        paging = _paging("page", cursor_param="page", total_path=total, pages_path=pages, start=int(start))
        yield paging, f"the response counts pages: {pages or number}"
    if total and (offset or not number):
        param = offset.rpartition(".")[2] if offset else "offset"
        yield _paging("offset", cursor_param=param, total_path=total), f"the response tells a total: {total}"


def _is_number(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _paging(kind: PagingKind, **given: Any) -> Pagination:
    return Pagination(kind=kind, **given)


def _by_alias(values: dict[str, Any]) -> dict[str, Any]:
    return {("in" if name == "in_" else name): value for name, value in values.items()}


def _says_last(page: Page) -> bool:
    """Whether a usual place for a token is there and empty, or a usual sign of more says no."""
    if not isinstance(page.data, dict):
        return False
    empty = (path for path in (*TOKENS, *URLS, ODATA_NEXT) if has_key(path, page.data))
    return any(expression(path)(page.data) in (None, "") for path in empty) or any(
        expression(path)(page.data) is False for path in MORE
    )
