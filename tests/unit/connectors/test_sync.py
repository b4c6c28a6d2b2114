"""Syncs against a vendor in memory: everything arrives, resumes where it was, and bad answers give no records."""

import asyncio
import gzip
import json
import re
from collections.abc import Callable, Iterable
from typing import Any

import httpx
import pytest

from connectors.errors import ActionRequired, BadResponse, VendorUnavailable
from connectors.source_record import SourceRecord
from connectors.sync import Batch, EntityEnd, sync
from connectors.sync_state import States
from connectors.vendor import Vendor

CURSOR = {"kind": "cursor", "cursor_param": "after", "cursor_path": "next", "size_param": "limit", "page_size": 2}


def reply(data: Any, status: int = 200, **headers: str) -> httpx.Response:
    return httpx.Response(status, json=data, headers=headers)


class Store:
    """What a consumer of a sync keeps: records, and positions once their records are delivered."""

    def __init__(self) -> None:
        self.records: list[SourceRecord] = []
        self.states: States = {}
        self.ends: dict[str, EntityEnd] = {}

    async def take(
        self, vendor: Vendor, names: Iterable[str] = ("item",), *, most: int = 10**9, full: bool = False
    ) -> None:
        """Runs a sync, killed after `most` batches."""
        stream = sync(vendor, names, dict(self.states), full=full)
        async for item in stream:
            if isinstance(item, EntityEnd):
                self.ends[item.entity] = item
                continue
            assert isinstance(item, Batch)
            self.records += item.records
            self.states |= {key: position.model_copy(deep=True) for key, position in item.positions.items()}
            most -= 1
            if most == 0:
                break
        await stream.aclose()  # type: ignore[attr-defined]  # a generator

    def ids(self) -> list[Any]:
        return [json.loads(record.value)["id"] for record in self.records if record.value]

    def error(self, entity: str = "item") -> BaseException:
        error = self.ends[entity].error
        assert error is not None
        return error


def paged(records: list[dict[str, Any]], size: int = 2) -> Callable[[httpx.Request], httpx.Response]:
    """Cursor paging over `records`, with `since` on their field `updated`."""

    def answer(request: httpx.Request) -> httpx.Response:
        params = request.url.params
        wanted = [record for record in records if record.get("updated", 0) >= int(params.get("since", 0))]
        at = int(params.get("after", 0))
        end = at + min(size, int(params.get("limit", size)))
        return reply({"data": wanted[at:end]} | ({"next": str(end)} if end < len(wanted) else {}))

    return answer


def items(count: int) -> list[dict[str, Any]]:
    return [{"id": number, "updated": 1_600_000_000 + number} for number in range(count)]


def test_all_pages_of_an_entity(fake: Any, run: Any) -> None:
    store, vendor = Store(), fake.vendor(paged(items(5)), entity={"pagination": CURSOR})
    run(store.take(vendor))
    assert store.ids() == [0, 1, 2, 3, 4]
    assert store.ends["item"].error is None
    assert [request.headers["authorization"] for request in fake.seen] == ["Bearer t0ken"] * 3
    assert fake.seen[1].url == "https://api.acme.example/v1/items?limit=2&after=2"


@pytest.mark.parametrize("killed_after", [1, 2, 3, 4])
def test_a_killed_sync_goes_on_and_loses_nothing(fake: Any, run: Any, killed_after: int) -> None:
    store, vendor = Store(), fake.vendor(paged(items(9)), entity={"pagination": CURSOR})
    run(store.take(vendor, most=killed_after))
    assert len(store.ids()) == 2 * killed_after
    run(store.take(vendor))
    assert store.ids() == list(range(9))


INCREMENTAL = {"field": "updated", "param": "since", "format": "epoch_seconds", "lookback_seconds": 1}


def test_an_incremental_sync_asks_for_what_changed(fake: Any, run: Any) -> None:
    records = items(5)
    store, vendor = Store(), fake.vendor(paged(records), entity={"pagination": CURSOR, "incremental": INCREMENTAL})
    run(store.take(vendor))
    records += [{"id": 5, "updated": 1_600_000_100}]
    fake.seen.clear()
    run(store.take(vendor))
    assert store.ids() == [0, 1, 2, 3, 4, 3, 4, 5]
    assert fake.seen[0].url.params["since"] == str(1_600_000_004 - 1)
    run(store.take(vendor, full=True))
    assert len(store.ids()) == 8 + 6


def test_a_killed_incremental_sync_keeps_its_start(fake: Any, run: Any) -> None:
    store = Store()
    vendor = fake.vendor(paged(list(reversed(items(6)))), entity={"pagination": CURSOR, "incremental": INCREMENTAL})
    run(store.take(vendor, most=1))  # the newest came first: the watermark must not have moved
    assert store.states["item", ""].watermark is None
    run(store.take(vendor))
    assert store.ids() == [5, 4, 3, 2, 1, 0]


def test_a_record_from_the_future_hides_nothing(fake: Any, run: Any) -> None:
    records = [{"id": 0, "updated": int(fake.clock.now()) + 10**8}]
    store, vendor = Store(), fake.vendor(paged(records), entity={"pagination": CURSOR, "incremental": INCREMENTAL})
    run(store.take(vendor))
    assert store.states["item", ""].watermark == int(fake.clock.now()) * 1_000_000


def test_windows_cover_the_whole_span(fake: Any, run: Any) -> None:
    asked: list[tuple[str, str]] = []

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append((request.url.params["from"], request.url.params["to"]))
        return reply({"data": []})

    incremental = {
        "field": "updated", "param": "from", "until_param": "to", "format": "date",
        "start": "2023-11-01", "window_seconds": 86_400 * 7,
    }  # fmt: skip
    store, vendor = Store(), fake.vendor(answer, entity={"pagination": "none", "incremental": incremental})
    run(store.take(vendor))
    assert asked == [("2023-11-01", "2023-11-08"), ("2023-11-08", "2023-11-15")]


def test_the_client_filters_where_the_vendor_does_not(fake: Any, run: Any) -> None:
    records = list(reversed(items(8)))
    incremental = {"mode": "client", "field": "updated", "format": "epoch_seconds", "order": "descending"}
    store, vendor = Store(), fake.vendor(paged(records), entity={"pagination": CURSOR, "incremental": incremental})
    run(store.take(vendor))
    records.insert(0, {"id": 8, "updated": 1_600_000_050})
    fake.seen.clear()
    run(store.take(vendor))
    assert store.ids()[8:] == [8, 7]
    assert len(fake.seen) == 2  # the second page was older throughout


def test_a_cursor_is_kept_for_the_next_sync(fake: Any, run: Any) -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        at = int(request.url.params.get("cursor", "0"))
        records = [{"id": at}] if at < 2 else []
        return reply({"data": records, "after": str(min(at + 1, 2)), "end": at >= 1})

    paging = {"kind": "cursor", "cursor_param": "cursor", "cursor_path": "after", "more_path": "!end"}
    store, vendor = Store(), fake.vendor(answer, entity={"pagination": paging, "incremental": {"mode": "cursor"}})
    run(store.take(vendor))
    assert store.ids() == [0, 1]
    fake.seen.clear()
    run(store.take(vendor))
    assert fake.seen[0].url.params["cursor"] == "2"


def test_a_token_that_has_ended_begins_the_listing_again(fake: Any, run: Any) -> None:
    inner = paged(items(4))
    expired = False

    def answer(request: httpx.Request) -> httpx.Response:
        return reply({"error": "cursor expired"}, 400) if expired and "after" in request.url.params else inner(request)

    store, vendor = Store(), fake.vendor(answer, entity={"pagination": CURSOR})
    run(store.take(vendor, most=1))
    expired = True
    run(store.take(vendor))
    assert store.ids() == [0, 1, 0, 1]
    assert isinstance(store.error(), BadResponse)  # the new listing's own second page failed too


def parents(request: httpx.Request) -> httpx.Response:
    if request.url.path == "/v1/channels":
        return reply({"data": [{"id": "a", "in": True}, {"id": "b", "in": False}, {"id": "c/d", "in": True}]})
    channel = request.url.raw_path.decode().split("?")[0].split("/")[3]
    return reply({"data": [{"id": f"{channel}-{number}"} for number in range(2)]})


CHILD = {
    "endpoint": "/channels/{channel}/messages",
    "pagination": "none",
    "parent": {"entity": "channel", "key": "id", "param": "channel", "when": "in"},
    "add": {"channel": "{channel}"},
    "primary_key": ["channel", "id"],
}
FAMILY = {"entities": {"channel": {"endpoint": "/channels", "pagination": "none"}, "message": CHILD}}


def test_children_are_read_per_parent(fake: Any, run: Any) -> None:
    store, vendor = Store(), fake.vendor(parents, **FAMILY)
    run(store.take(vendor, ["message"]))
    assert store.ids() == ["a-0", "a-1", "c%2Fd-0", "c%2Fd-1"]
    assert json.loads(store.records[2].value or b"")["channel"] == "c/d"


@pytest.mark.parametrize("killed_after", [1, 2, 3])
def test_a_killed_sync_goes_on_with_the_next_parent(fake: Any, run: Any, killed_after: int) -> None:
    store, vendor = Store(), fake.vendor(parents, **FAMILY)
    run(store.take(vendor, ["message"], most=killed_after))
    run(store.take(vendor, ["message"]))
    assert store.ids() == ["a-0", "a-1", "c%2Fd-0", "c%2Fd-1"]
    run(store.take(vendor, ["message"]))
    assert len(store.ids()) == 8  # a new run reads all of them again


def test_each_parent_has_a_watermark_of_its_own(fake: Any, run: Any) -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        if request.url.path == "/v1/channels":
            return parents(request)
        late = "/a/" in request.url.path
        return reply({"data": [{"id": 1, "updated": 1_690_000_000 if late else 1_600_000_000}]})

    child = CHILD | {"incremental": INCREMENTAL}
    store = Store()
    vendor = fake.vendor(answer, entities={"channel": FAMILY["entities"]["channel"], "message": child})
    run(store.take(vendor, ["message"]))
    fake.seen.clear()
    run(store.take(vendor, ["message"]))
    since = [request.url.params["since"] for request in fake.seen if "messages" in request.url.path]
    assert since == [str(1_690_000_000 - 1), str(1_600_000_000 - 1)]


def test_a_parent_that_fails_does_not_keep_others_from_being_read(fake: Any, run: Any) -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        return reply({}, 404) if "/a/" in request.url.path else parents(request)

    store, vendor = Store(), fake.vendor(answer, **FAMILY)
    run(store.take(vendor, ["message"]))
    assert store.ids() == ["c%2Fd-0", "c%2Fd-1"]
    assert "1 parents failed" in str(store.error("message"))


def test_deletes_in_the_listing_and_from_a_listing_of_their_own(fake: Any, run: Any) -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        if request.url.path == "/v1/events":
            return reply({"data": [{"id": "e1", "type": "item.deleted", "object": {"id": 7}}]})
        return reply({"data": [{"id": 1}, {"id": 2, "archived": True}]})

    entities = {
        "item": {"endpoint": "/items", "pagination": "none", "deletes": {"when": "archived"}},
        "item_gone": {
            "endpoint": "/events",
            "pagination": "none",
            "deletes": {"of": "item", "when": "type == 'item.deleted'", "id": "object.id"},
        },
    }
    store, vendor = Store(), fake.vendor(answer, entities=entities)
    run(store.take(vendor, ["item", "item_gone"]))
    found = {(record.entity, record.op, record.record_id, record.value) for record in store.records}
    assert found == {
        ("item", "upsert", None, b'{"id":1}'),
        ("item", "delete", None, b'{"id":2,"archived":true}'),
        ("item", "delete", "7", None),
    }


def test_rows_under_headers_become_records(fake: Any, run: Any) -> None:
    data = {
        "dimensionHeaders": [{"name": "date"}], "metricHeaders": [{"name": "users"}],
        "rows": [{"dimensionValues": [{"value": "20240101"}], "metricValues": [{"value": "3"}]}],
    }  # fmt: skip
    entity = {
        "method": "POST", "body": {"limit": 10}, "endpoint": "/p/{property}:runReport", "primary_key": ["date"],
        "zip": {
            "columns": "[dimensionHeaders[].name, metricHeaders[].name][]", "rows": "rows",
            "values": "[dimensionValues[].value, metricValues[].value][]",
        },
        "pagination": {"kind": "offset", "cursor_param": "offset", "size_param": "limit", "page_size": 10},
    }  # fmt: skip
    config = {"property": {"description": "Property id."}}
    store = Store()
    vendor = fake.vendor(lambda _: reply(data), entity=entity, config=config, settings={"property": "1/2"})
    run(store.take(vendor))
    assert [json.loads(record.value or b"") for record in store.records] == [{"date": "20240101", "users": "3"}]
    assert json.loads(fake.seen[0].content) == {"limit": 10, "offset": 0}
    assert fake.seen[0].url.raw_path == b"/v1/p/1%2F2:runReport"


SERIES = {"path": "results", "lists": {"at": "times", "value": "values"}}


def test_parallel_lists_become_records(fake: Any, run: Any) -> None:
    results = [
        {"id": "sum", "times": [10, 20], "values": [1.5, 2.5], "code": "Complete"},
        {"id": "max", "times": [], "values": []},
    ]
    entity = {"series": SERIES, "primary_key": ["id", "at"], "pagination": "none"}
    store = Store()
    run(store.take(fake.vendor(lambda _: reply({"results": results}), entity=entity)))
    assert [json.loads(record.value or b"") for record in store.records] == [
        {"id": "sum", "code": "Complete", "at": 10, "value": 1.5},
        {"id": "sum", "code": "Complete", "at": 20, "value": 2.5},
    ]
    alone = Store()
    single = entity | {"series": SERIES | {"path": "@"}}
    run(alone.take(fake.vendor(lambda _: reply(results[0]), entity=single)))
    assert len(alone.records) == 2


@pytest.mark.parametrize(
    ("data", "said"),
    [
        ({"results": [{"id": "a", "times": [1, 2], "values": [1]}]}, "2 at and 1 value"),
        ({"results": [{"id": "a", "times": [1]}]}, "differ in length"),
        ({"results": [{"id": "a", "times": {"1": 1}, "values": [1]}]}, "no list"),
        ({"results": ["a"]}, "no object with lists"),
        ({"error": "none"}, "nothing at results"),
    ],
)
def test_lists_that_do_not_belong_together_give_no_record(fake: Any, run: Any, data: Any, said: str) -> None:
    entity = {"series": SERIES, "primary_key": ["id", "at"], "pagination": "none"}
    store = Store()
    run(store.take(fake.vendor(lambda _: reply(data), entity=entity)))
    assert store.records == []
    assert said in str(store.error())


def test_numbers_arrive_as_exact_as_they_were_sent(fake: Any, run: Any) -> None:
    body = b'{"data": [ {"id": 12345678901234567890123, "amount": 0.10000000000000000001, "rate": 1e400} ] }'
    store, vendor = Store(), fake.vendor(lambda _: httpx.Response(200, content=body), entity={"pagination": "none"})
    run(store.take(vendor))
    assert store.records[0].value is not None
    assert store.records[0].value.lower().replace(b"e+", b"e") == (
        b'{"id":12345678901234567890123,"amount":0.10000000000000000001,"rate":1e400}'
    )


BOMB = httpx.Response(200, content=gzip.compress(b" " * 3_000_000), headers={"Content-Encoding": "gzip"})
RECORDS = [{"id": 1}, {"id": 2}]


@pytest.mark.parametrize(
    ("response", "said"),
    [
        (httpx.Response(200, text="<!DOCTYPE html><html>login</html>"), "HTML or XML instead of JSON"),
        (httpx.Response(200, text='{"data": [{"id": 1}, {"id"'), "truncated"),
        (httpx.Response(200, text="hello"), "no JSON"),
        (httpx.Response(200, text='{"data": [{"id": 1, "id": 2}]}'), "duplicate"),
        (httpx.Response(200, text="[" * 1000), "nested|no JSON|truncated"),
        (BOMB, "larger than"),
        (reply({"data": [{"id": 1}, {"name": "x"}]}), "record 1 of the page has no key at id"),
        (reply({"data": [{"id": 1}, {"id": None}]}), "record 1 of the page has no key at id"),
        (reply({"data": [{"id": 1}, 7]}), "record 1 of the page is no object"),
        (reply({"data": "none"}), "no list"),
        (reply({"error": {"message": "no such thing"}}), "nothing at data"),
        (reply({"ok": False, "error": "not_in_channel"}), "not_in_channel"),
        (reply({"message": "gone"}, 404), "answered 404: gone"),
        (reply({"data": RECORDS}), "full page of 2 records"),
        (reply({"data": RECORDS, "next": "same"}), "came twice"),
        (reply({}, 302), "answered 302"),
    ],
)
def test_a_bad_response_is_told_and_gives_no_record(fake: Any, run: Any, response: Any, said: str) -> None:
    rules = [{"when": {"body": "ok == `false`"}, "action": "fail", "message_path": "error"}]

    def answer(request: httpx.Request) -> httpx.Response:
        if request.url.params.get("limit") == "1" and response.content == reply({"data": RECORDS}).content:
            return reply({"data": RECORDS[:1]})
        return httpx.Response(response.status_code, headers=response.headers, stream=response.stream)

    entity = {"pagination": CURSOR, "records_path": "data", "max_page_bytes": 1_000_000}
    store, vendor = Store(), fake.vendor(answer, entity=entity, errors=rules)
    run(store.take(vendor))
    assert isinstance(store.error(), BadResponse)
    assert re.search(said, str(store.error())), store.error()
    assert store.ids() in ([], [1, 2])
    if store.ids():
        assert "came twice" in said  # the first of two equal pages was good


def test_a_full_last_page_is_no_error_where_smaller_pages_lead_on(fake: Any, run: Any) -> None:
    store, vendor = Store(), fake.vendor(paged(items(2)), entity={"pagination": CURSOR})
    run(store.take(vendor))
    assert store.ids() == [0, 1]
    assert [request.url.params["limit"] for request in fake.seen] == ["2", "1"]


def test_refused_credentials_need_action_and_end_all_entities(fake: Any, run: Any) -> None:
    store, vendor = Store(), fake.vendor(lambda _: reply({}, 401), entity={"pagination": "none"})
    with pytest.raises(ActionRequired, match="401") as caught:
        run(store.take(vendor))
    assert "enter them again" in caught.value.fix


def test_one_entity_that_fails_leaves_the_others(fake: Any, run: Any) -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        return reply({}, 404) if request.url.path == "/v1/bad" else reply({"data": [{"id": 1}]})

    entities = {
        "bad": {"endpoint": "/bad", "pagination": "none"},
        "good": {"endpoint": "/good", "pagination": "none"},
    }
    store, vendor = Store(), fake.vendor(answer, entities=entities)
    run(store.take(vendor, ["bad", "good"]))
    assert store.ids() == [1]
    assert store.ends["good"].error is None
    assert isinstance(store.error("bad"), BadResponse)


def test_an_unknown_setting_is_told_with_the_likely_one(fake: Any) -> None:
    config = {"subdomain": {"description": "Yours."}}
    with pytest.raises(ActionRequired, match="subdomian: unknown setting, did you mean subdomain"):
        fake.vendor(lambda _: reply({}), config=config, settings={"subdomian": "x"})


def test_a_vendor_that_stays_away_is_given_up(fake: Any, run: Any) -> None:
    def answer(_: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("refused")

    store, vendor = Store(), fake.vendor(answer, limits={"retry_attempts": 3})
    run(store.take(vendor))
    assert isinstance(store.error(), VendorUnavailable)
    assert len(fake.seen) == 3


def test_a_vendor_that_hangs_holds_up_no_other(fake: Any, run: Any) -> None:
    async def work() -> None:
        answered = asyncio.Event()

        async def hanging(_: httpx.Request) -> httpx.Response:
            await answered.wait()
            return reply({"data": [{"id": 1}]})

        slow, quick = Store(), Store()
        waiting = asyncio.create_task(slow.take(fake.vendor(hanging, entity={"pagination": "none"})))
        await quick.take(fake.vendor(paged(items(5)), entity={"pagination": CURSOR}))
        assert quick.ids() == [0, 1, 2, 3, 4]
        assert not waiting.done()
        answered.set()
        await waiting
        assert slow.ids() == [1]

    run(asyncio.wait_for(work(), 10))
