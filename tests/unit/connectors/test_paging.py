"""Every kind of paging reads every record of any listing once, and no vendor's mischief goes unnoticed."""

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from connectors.egress import Answer
from connectors.errors import BadResponse
from connectors.page import Page
from connectors.paging import PageGuard, Token, linked, next_page, page_request
from connectors.paging_detection import detect
from schemas.connector_spec import EntitySpec
from schemas.paging_spec import Pagination

KINDS: dict[str, dict[str, Any]] = {
    "cursor": {"cursor_param": "after", "cursor_path": "paging.next"},
    "cursor_more": {"kind": "cursor", "cursor_param": "after", "cursor_path": "paging.next", "more_path": "more"},
    "offset": {"cursor_param": "offset"},
    "offset_total": {"kind": "offset", "cursor_param": "offset", "total_path": "total"},
    "page": {"cursor_param": "page"},
    "page_from_0": {"kind": "page", "cursor_param": "page", "start": 0},
    "page_total": {"kind": "page", "cursor_param": "page", "total_path": "total"},
    "page_count": {"kind": "page", "cursor_param": "page", "pages_path": "pages"},
    "page_more": {"kind": "page", "cursor_param": "page", "more_path": "more"},
    "last_record_id": {"cursor_param": "starting_after", "more_path": "more"},
    "last_record_id_bare": {"kind": "last_record_id", "cursor_param": "starting_after"},
    "next_url": {"cursor_path": "links.next"},
    "odata": {},
    "link_header": {},
}


def paging_of(name: str, size: int) -> Pagination:
    given = {"kind": name, "size_param": "limit", "page_size": size, **KINDS[name]}
    return Pagination.model_validate_json(json.dumps(given))


def page_of(data: Any, headers: dict[str, str] | None = None) -> Page:
    return Page(Answer(200, headers or {}, json.dumps(data).encode(), "https://x/"))


class Server:
    """Plays all kinds at once: what a request doesn't ask for does no harm. Gives at most `cap` records a page."""

    def __init__(self, count: int, size: int, cap: int) -> None:
        self.records = [{"id": f"r{number}"} for number in range(count)]
        self.size = min(size, cap)

    def answer(self, paging: Pagination, token: Token | None) -> tuple[Page, list[dict[str, str]]]:
        request = page_request(paging, token, "query")
        at = self._start(paging, request.url, request.values)
        some = self.records[at : at + self.size]
        end = at + len(some)
        more = end < len(self.records)
        data: dict[str, Any] = {"data": some, "more": more, "total": len(self.records)}
        data["pages"] = -(-len(self.records) // self.size)
        data["paging"] = {"next": f"c{end}"} if more else {}
        data["links"] = {"next": f"https://x/?at={end}" if more else None}
        if more:
            data["@odata.nextLink"] = f"https://x/?at={end}"
        headers = {"link": f'<https://x/?at=0>; rel="first", <https://x/?at={end}>; rel="next"'} if more else {}
        return page_of(data, headers), some

    def _start(self, paging: Pagination, url: str | None, values: Any) -> int:
        if url is not None:
            return int(url.rpartition("=")[2])
        value = values.get(paging.cursor_param)
        if value is None:
            return 0
        if paging.kind == "page":
            return (int(value) - (1 if paging.start is None else paging.start)) * self.size
        if paging.kind == "last_record_id":
            return int(value[1:]) + 1
        return int(value[1:]) if paging.kind == "cursor" else int(value)


def read_all(paging: Pagination, server: Server) -> list[dict[str, str]]:
    entity, guard = EntitySpec(endpoint="/x", pagination=paging), PageGuard(paging)
    found: list[dict[str, str]] = []
    token: Token | None = None
    while True:
        page, records = server.answer(paging, token)
        following = next_page(entity, token, page, records)
        guard.check(page, records, following.token)
        found += records
        if following.token is None:
            return found
        token = json.loads(json.dumps(following.token))  # as a checkpoint keeps it


@settings(max_examples=60, deadline=None)
@given(name=st.sampled_from(sorted(KINDS)), count=st.integers(0, 60), size=st.integers(1, 20))
def test_every_record_once_and_in_order(name: str, count: int, size: int) -> None:
    server = Server(count, size, cap=size)
    assert read_all(paging_of(name, size), server) == server.records


TOLD = [name for name in KINDS if name not in {"offset", "page", "page_from_0", "page_total", "last_record_id_bare"}]


@settings(max_examples=60, deadline=None)
@given(name=st.sampled_from(TOLD), count=st.integers(0, 60), size=st.integers(2, 20))
def test_a_server_that_gives_less_than_was_asked_for_loses_nothing(name: str, count: int, size: int) -> None:
    server = Server(count, size, cap=size - 1)
    assert read_all(paging_of(name, size), server) == server.records


@pytest.mark.parametrize("name", ["offset", "last_record_id_bare"])
def test_nor_does_a_usual_cap_without_a_total(name: str) -> None:
    server = Server(350, 1000, cap=100)
    assert read_all(paging_of(name, 1000), server) == server.records


@pytest.mark.parametrize("name", ["cursor", "next_url", "link_header", "odata"])
def test_a_full_first_page_without_a_next_token_is_doubtful(name: str) -> None:
    paging = paging_of(name, 2)
    entity = EntitySpec(endpoint="/x", pagination=paging)
    records = [{"id": 1}, {"id": 2}]
    assert next_page(entity, None, page_of({"data": records}), records).doubtful
    assert not next_page(entity, None, page_of({"data": records[:1]}), records[:1]).doubtful
    assert not next_page(entity, "c2", page_of({"data": records}), records).doubtful


def test_an_empty_token_says_that_a_full_page_is_the_last() -> None:
    paging = paging_of("cursor", 2)
    entity = EntitySpec(endpoint="/x", pagination=paging)
    for empty in (None, ""):
        found = next_page(entity, None, page_of({"paging": {"next": empty}}), [{"id": 1}, {"id": 2}])
        assert (found.token, found.doubtful) == (None, False)


def test_more_without_a_token_is_an_error() -> None:
    entity = EntitySpec(endpoint="/x", pagination=paging_of("cursor_more", 2))
    with pytest.raises(BadResponse, match="nothing says where"):
        next_page(entity, None, page_of({"more": True}), [{"id": 1}])


def test_a_token_that_is_an_object_is_an_error() -> None:
    entity = EntitySpec(endpoint="/x", pagination=paging_of("cursor", 2))
    with pytest.raises(BadResponse, match="no token"):
        next_page(entity, None, page_of({"paging": {"next": {"a": 1}}}), [{"id": 1}])


def test_a_page_that_comes_twice_is_noticed() -> None:
    paging = paging_of("offset", 1)
    guard = PageGuard(paging)
    guard.check(page_of({"data": [1]}), [1], 1)
    guard.check(page_of({"data": [2]}), [2], 2)
    with pytest.raises(BadResponse, match="a page came twice"):
        guard.check(page_of({"data": [1]}), [1], 3)


def test_tokens_in_a_circle_are_noticed() -> None:
    guard = PageGuard(paging_of("cursor", 1))
    guard.check(page_of([1]), [1], "a")
    guard.check(page_of([2]), [2], "b")
    with pytest.raises(BadResponse, match="came twice"):
        guard.check(page_of([3]), [3], "a")


def test_tokens_without_an_end_are_noticed() -> None:
    guard = PageGuard(paging_of("cursor", 1))
    for number in range(999):
        guard.check(page_of({"n": number}), [], f"t{number}")
    with pytest.raises(BadResponse, match="empty pages"):
        guard.check(page_of({}), [], "t999")
    few = PageGuard(paging_of("cursor", 1).model_copy(update={"max_pages": 3}))
    few.check(page_of([1]), [1], "a")
    few.check(page_of([2]), [2], "b")
    with pytest.raises(BadResponse, match="more than 3 pages"):
        few.check(page_of([3]), [3], "c")


@pytest.mark.parametrize(
    ("header", "url"),
    [
        ('<https://x/?p=2>; rel="next", <https://x/?p=9>; rel="last"', "https://x/?p=2"),
        ("<https://x/?p=1>; rel=prev, <https://x/?a=1,2>; rel=next", "https://x/?a=1,2"),
        ('<https://x/2>; title="a, b"; rel="next"', "https://x/2"),
        ('<https://x/2>; rel="prefetch next"', "https://x/2"),
        ('<https://x/1>; rel="nextish"', None),
        ("", None),
    ],
)
def test_link_headers(header: str, url: str | None) -> None:
    assert linked(header) == url


RECORDS = [{"id": f"r{number}"} for number in range(100)]


PAGES: dict[str, tuple[Any, str]] = {
    "stripe": ({"data": RECORDS, "has_more": True, "url": "/v1/x"}, "last_record_id None starting_after"),
    "slack": (
        {"members": RECORDS, "response_metadata": {"next_cursor": "dXNl"}},
        "cursor response_metadata.next_cursor cursor",
    ),
    "hubspot": (
        {"results": RECORDS, "paging": {"next": {"after": "100", "link": "https://api/x?after=100"}}},
        "next_url paging.next.link None",
    ),
    "salesforce": (
        {"totalSize": 5000, "nextRecordsUrl": "/services/data/v60.0/query/01g-2000", "records": RECORDS},
        "next_url nextRecordsUrl None",
    ),
    "zendesk list": (
        {"tickets": RECORDS, "meta": {"has_more": True, "after_cursor": "xxx"}, "links": {"next": "https://z/x"}},
        "next_url links.next None",
    ),
    "zendesk export": (
        {"tickets": RECORDS, "after_url": "https://z/x?cursor=1", "after_cursor": "MTU=", "end_of_stream": False},
        "cursor after_cursor cursor",
    ),
    "pipedrive v2": (
        {"data": RECORDS, "additional_data": {"next_cursor": "eyJ"}},
        "cursor additional_data.next_cursor cursor",
    ),
    "pipedrive v1": (
        {"data": RECORDS, "additional_data": {"pagination": {"start": 0, "limit": 100, "next_start": 100}}},
        "cursor additional_data.pagination.next_start start",
    ),
    "dynamics": ({"value": RECORDS, "@odata.nextLink": "https://d/x?$skiptoken=1"}, "odata None None"),
    "intercom": (
        {
            "data": RECORDS,
            "total_count": 500,
            "pages": {"type": "pages", "page": 1, "total_pages": 5, "next": {"page": 2, "starting_after": "WzE"}},
        },
        "cursor pages.next.starting_after starting_after",
    ),
    "ga4": ({"rows": RECORDS, "rowCount": 5000}, "offset None offset"),
    "cloudwatch": ({"Metrics": RECORDS, "NextToken": "abc"}, "cursor NextToken NextToken"),
    "asana": (
        {"data": RECORDS, "next_page": {"offset": "eyJ0", "path": "/x?offset=eyJ0", "uri": "https://a/x?offset=eyJ0"}},
        "next_url next_page.uri None",
    ),
    "kubernetes": (
        {"items": RECORDS, "metadata": {"resourceVersion": "10", "continue": "eyJ2"}},
        "cursor metadata.continue continue",
    ),
    "a place of its own": (
        {"rows": RECORDS, "x-paging": {"previousPageToken": "a", "nextPageToken": "b"}},
        'cursor "x-paging".nextPageToken pageToken',
    ),
    "page numbers": ({"items": RECORDS, "page": 1, "total_pages": 9}, "page None page"),
}


@pytest.mark.parametrize("vendor", PAGES)
def test_paging_is_detected(vendor: str) -> None:
    data, expected = PAGES[vendor]
    found = detect(Pagination(kind="auto", page_size=100), page_of(data), RECORDS)
    assert f"{found.paging.kind} {found.paging.cursor_path} {found.paging.cursor_param}" == expected
    assert found.paging.page_size == 100
    assert found.reason


def test_what_the_spec_knows_of_paging_is_kept_where_the_rest_is_detected() -> None:
    data = {"data": RECORDS, "next_page": {"offset": "eyJ0"}}
    known = Pagination(kind="auto", cursor_param="offset", size_param="limit", page_size=100)
    found = detect(known, page_of(data), RECORDS).paging
    assert (found.kind, found.cursor_path, found.cursor_param, found.size_param) == (
        "cursor", "next_page.offset", "offset", "limit",
    )  # fmt: skip


def test_texts_that_lead_back_are_no_next_page() -> None:
    data = {"data": RECORDS, "links": {"previous_next": "https://a/x"}, "firstPageToken": "a"}
    with pytest.raises(BadResponse, match="full page"):
        detect(Pagination(kind="auto"), page_of(data), RECORDS)


def test_a_link_header_is_detected() -> None:
    page = page_of(RECORDS, {"link": '<https://api/x?page=2>; rel="next"'})
    assert detect(Pagination(kind="auto"), page, RECORDS).paging.kind == "link_header"


def test_a_full_page_that_leads_nowhere_is_no_detection() -> None:
    with pytest.raises(BadResponse, match="100 records look like a full page"):
        detect(Pagination(kind="auto"), page_of({"data": RECORDS}), RECORDS)
    few = detect(Pagination(kind="auto"), page_of({"data": RECORDS[:7]}), RECORDS[:7])
    assert few.paging.kind == "none"
    said = detect(Pagination(kind="auto"), page_of({"data": RECORDS, "next_cursor": None}), RECORDS)
    assert said.paging.kind == "none"


def test_a_kind_that_the_spec_names_is_only_completed() -> None:
    data = {"results": RECORDS, "paging": {"next": {"after": "100", "link": "https://api/x?after=100"}}}
    found = detect(Pagination(kind="cursor"), page_of(data), RECORDS)
    assert (found.paging.kind, found.paging.cursor_path, found.paging.cursor_param) == (
        "cursor",
        "paging.next.after",
        "after",
    )
