"""Which page comes next: pure functions of the spec, the token that was sent and the response to it.

A token is JSON (text or number), so that a checkpoint can hold it; None is the first page. Nothing here trusts a
vendor: a token that was sent before, a page that came before and pages without an end are errors, and so is a full page
that ends a stream without a sign that it is the last: silently reading the first page only is how paging usually fails.
What a spec leaves open is found by `connectors.paging_detection`.
"""

import re
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from connectors.errors import BadResponse
from connectors.expressions import expression, has_key, is_true
from connectors.page import Page
from connectors.request_parts import PageRequest
from schemas.connector_spec import EntitySpec
from schemas.paging_spec import ODATA_NEXT, Pagination

Token = str | int
URL_KINDS: Final = frozenset({"next_url", "odata", "link_header"})
TOKEN_KINDS: Final = URL_KINDS | {"cursor"}

_LINK: Final = re.compile(r"<([^>]*)>((?:\s*;\s*[^,;\"=]+(?:=(?:\"[^\"]*\"|[^,;\"]*))?)*)")
_NEXT: Final = re.compile(r";\s*rel\s*=\s*(?:\"[^\"]*\bnext\b[^\"]*\"|next\b)", re.IGNORECASE)
_USUAL_SIZES: Final = frozenset({10, 15, 20, 25, 30, 40, 50, 60, 100, 200, 250, 300, 500, 1000, 2000, 5000, 10000})
_EMPTY_PAGES: Final = 1_000
_REMEMBERED: Final = 50_000


@dataclass(frozen=True, slots=True)
class Next:
    """The token of the next page; or None, and whether the response leaves doubt that it was the last."""

    token: Token | None
    doubtful: bool = False


def page_request(paging: Pagination, token: Token | None, place: str) -> PageRequest:
    """What asks for the page of `token`."""
    size = {paging.size_param: paging.page_size} if paging.size_param and paging.page_size else {}
    values: dict[str, Any] = {name: value for name, value in size.items() if name}
    if isinstance(token, str) and (paging.kind in URL_KINDS or "://" in token):
        return PageRequest(url=token)
    if paging.kind in {"offset", "page"}:
        token = first_number(paging) if token is None else token
    if token is not None and paging.cursor_param:
        values[paging.cursor_param] = token
    return PageRequest(values=values, place=place)


def first_number(paging: Pagination) -> int:
    """Offset or number of the first page."""
    return paging.start if paging.start is not None else int(paging.kind == "page")


def next_page(entity: EntitySpec, token: Token | None, page: Page, records: Sequence[Any]) -> Next:
    """What comes after `page`, which `token` asked for and which holds `records`.

    Raises:
        BadResponse: the response says that there is more, but not where.
    """
    paging = entity.pagination
    if paging.kind == "none":
        return Next(None, doubtful=paging.page_size is not None and len(records) >= paging.page_size)
    more = expression(paging.more_path)(page.data) if paging.more_path else None
    if paging.more_path and more is not None and not is_true(more):
        return Next(None)
    if paging.kind in TOKEN_KINDS:
        return _by_token(paging, token, page, records, more=more)
    if paging.kind == "last_record_id":
        return _by_last_record(entity, records, more=more)
    return _by_count(paging, token, page, records, more=more)


def _by_token(paging: Pagination, token: Token | None, page: Page, records: Sequence[Any], *, more: Any) -> Next:
    found = linked(page.headers.get("link", "")) if paging.kind == "link_header" else _token_at(paging, page)
    if found is not None:
        return Next(found)
    if more is not None:
        raise BadResponse(
            f"{paging.more_path} says that there is more, but nothing says where", "check cursor_path in the spec"
        )
    if token is not None or _says_none(paging, page):
        return Next(None)
    return Next(None, doubtful=looks_full(paging, len(records)))


def _token_at(paging: Pagination, page: Page) -> Token | None:
    found = expression(paging.cursor_path or ODATA_NEXT)(page.data)
    if found is None or found == "":
        return None
    if isinstance(found, bool) or not isinstance(found, str | int):
        raise BadResponse(f"what stands at {paging.cursor_path} is no token", "check cursor_path in the spec")
    return found


def _says_none(paging: Pagination, page: Page) -> bool:
    """Whether the place of the token is there, empty: an end that is meant."""
    if paging.kind == "link_header":
        return bool(page.headers.get("link"))
    return has_key(paging.cursor_path or ODATA_NEXT, page.data)


def _by_last_record(entity: EntitySpec, records: Sequence[Any], *, more: Any) -> Next:
    paging = entity.pagination
    if not records:
        return Next(None)
    if more is None and paging.page_size and len(records) < paging.page_size and not looks_full(paging, len(records)):
        return Next(None)
    last = expression(paging.record_path or entity.primary_key[0])(records[-1])
    if isinstance(last, bool) or not isinstance(last, str | int):
        raise BadResponse("the page's last record has no id to go on from", "check record_path in the spec")
    return Next(last)


def _by_count(paging: Pagination, token: Token | None, page: Page, records: Sequence[Any], *, more: Any) -> Next:
    at = token if isinstance(token, int) else first_number(paging)
    if not records or (more is None and _is_last(paging, page, len(records), at)):
        return Next(None)
    return Next(at + (len(records) if paging.kind == "offset" else 1))


def _is_last(paging: Pagination, page: Page, count: int, at: int) -> bool:
    """By the total that the response tells, else because fewer came than were asked for."""
    before = at - first_number(paging)
    pages = expression(paging.pages_path)(page.data) if paging.pages_path else None
    if isinstance(pages, int) and paging.kind == "page":
        return before + 1 >= pages
    total = expression(paging.total_path)(page.data) if paging.total_path else None
    if isinstance(total, int) and paging.kind == "offset":
        return before + count >= total
    if isinstance(total, int) and paging.page_size and count == paging.page_size:
        return (before + 1) * paging.page_size >= total
    # A server that gives fewer than were asked for would seem to end at its first page: a usual number isn't believed.
    return paging.page_size is not None and not looks_full(paging, count)


def looks_full(paging: Pagination, count: int) -> bool:
    """Whether a page of `count` records may have been cut off."""
    if paging.page_size is not None and count >= paging.page_size:
        return True
    return count in _USUAL_SIZES


def linked(header: str) -> str | None:
    """The URL with rel="next" in a Link header (RFC 8288)."""
    return next((url for url, parameters in _LINK.findall(header) if _NEXT.search(parameters)), None)


class PageGuard:
    """Sees that one stream of pages comes to an end: no token twice, no page twice, not too many."""

    def __init__(self, paging: Pagination) -> None:
        self._paging = paging
        self._tokens: set[int] = set()
        self._bodies: set[int] = set()
        self._order: deque[int] = deque()
        self._pages = 0
        self._empty = 0

    def check(self, page: Page, records: Sequence[Any], token: Token | None) -> None:
        """Notes `page` and the `token` it gave. Raises BadResponse."""
        self._pages += 1
        if token is not None and self._pages >= self._paging.max_pages:
            raise BadResponse(
                f"more than {self._paging.max_pages} pages", "raise max_pages, or check how the API ends its pages"
            )
        self._empty = 0 if records else self._empty + 1
        if token is not None and self._empty >= _EMPTY_PAGES:
            raise BadResponse(f"{_EMPTY_PAGES} empty pages in a row, each with a next token", "check more_path")
        if records and self._came_before(hash(page.body)):
            raise BadResponse(
                "a page came twice: the vendor doesn't heed the paging parameters", "check cursor_param in the spec"
            )
        if token is not None:
            mark = hash(token)
            if mark in self._tokens:
                raise BadResponse("a next token came twice: the pages would never end", "check cursor_path in the spec")
            self._tokens.add(mark)

    def _came_before(self, mark: int) -> bool:
        if mark in self._bodies:
            return True
        self._bodies.add(mark)
        self._order.append(mark)
        if len(self._order) > _REMEMBERED:
            self._bodies.discard(self._order.popleft())
        return False
