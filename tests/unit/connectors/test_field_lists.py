"""Fields that one request can't name: lists that fit a URL, and records joined again, whole or not at all."""

import json
from typing import Any
from urllib.parse import quote

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.errors import BadResponse, VendorUnavailable
from connectors.field_lists import field_lists, joined
from connectors.sync import JOIN_TRIES, Batch, EntityEnd, sync

FIELDS = [f"field_{number:02}" for number in range(40)]
ENTITY = {
    "params": {"properties": "{fields}"},
    "records_path": "results",
    "pagination": {
        "kind": "cursor", "cursor_param": "after", "cursor_path": "next", "more_path": "next != `null`",
        "size_param": "limit", "page_size": 2,
    },
    "fields_endpoint": {"endpoint": "/fields", "prefix": "properties", "max_characters": 120},
}  # fmt: skip


@given(st.lists(st.text(min_size=1, max_size=20).filter(lambda name: "," not in name)), st.integers(200, 400))
def test_every_name_is_asked_for_once_and_no_list_is_too_long(names: list[str], most: int) -> None:
    lists = field_lists(names, most)
    assert [name for part in lists if part for name in part.split(",")] == names
    assert all(len(quote(part, safe="")) <= most for part in lists)
    assert field_lists(names, None) == [",".join(names)]


def test_a_name_that_no_request_can_hold() -> None:
    with pytest.raises(BadResponse, match="longer than a request"):
        field_lists(["ok", "x" * 200], 150)


def by_id(record: Any) -> str:
    return str(record["id"])


def test_parts_of_a_record_are_joined_and_the_first_is_right() -> None:
    first = [{"id": 1, "at": "new", "properties": {"a": 1}}, {"id": 2, "at": "new", "properties": {"a": 2}}]
    second = [{"id": 2, "at": "newer", "properties": {"b": 4, "a": 9}}, {"id": 1, "at": "new", "properties": {"b": 3}}]
    assert joined([first, second, [*second, {"id": 3}]], by_id) == [
        {"id": 1, "at": "new", "properties": {"a": 1, "b": 3}},
        {"id": 2, "at": "new", "properties": {"a": 2, "b": 4}},
    ]
    assert joined([first, second[:1]], by_id) is None


class Crm:
    """Three records with 40 fields, of which a request gets those that it names; `gone` loses one now and then."""

    def __init__(self, gone: int = 0) -> None:
        self.gone = gone
        self.longest = 0

    def __call__(self, request: httpx.Request) -> httpx.Response:
        if request.url.path.endswith("/fields"):
            return httpx.Response(200, json=[{"name": name, "type": "string"} for name in FIELDS])
        named = request.url.params["properties"].split(",")
        self.longest = max(self.longest, len(quote(request.url.params["properties"], safe="")))
        at, size = int(request.url.params.get("after", 0)), int(request.url.params["limit"])
        ids = [1, 2, 3][at : at + size]
        if self.gone and FIELDS[0] not in named:
            self.gone -= 1
            ids = ids[:-1]
        found = [{"id": one, "properties": {name: f"{name} of {one}" for name in named}} for one in ids]
        return httpx.Response(200, json={"results": found, "next": str(at + size) if at + size < 3 else None})


async def synced(vendor: Any) -> tuple[list[Any], BaseException | None]:
    records, error = [], None
    async for item in sync(vendor, ["item"], {}):
        if isinstance(item, Batch):
            records += [json.loads(record.value or b"") for record in item.records]
        elif isinstance(item, EntityEnd):
            error = item.error
    return records, error


@pytest.mark.parametrize("gone", [0, JOIN_TRIES - 1])
def test_a_page_is_asked_for_in_parts_until_they_agree(fake: Any, run: Any, gone: int) -> None:
    crm = Crm(gone)
    records, error = run(synced(fake.vendor(crm, entity=ENTITY)))
    assert error is None
    assert records == [{"id": one, "properties": {name: f"{name} of {one}" for name in FIELDS}} for one in (1, 2, 3)]
    assert 0 < crm.longest <= 120


def test_parts_that_never_agree_give_no_record(fake: Any, run: Any) -> None:
    records, error = run(synced(fake.vendor(Crm(gone=1000), entity=ENTITY)))
    assert records == []
    assert isinstance(error, VendorUnavailable)
    assert "change faster" in str(error)
