"""Drafts of specs: always valid, and told what is guessed in them."""

import json
from typing import Any

import pytest

from connectors.discover_openapi import discover_openapi
from connectors.draft_spec import draft_spec
from connectors.openapi_document import parse_document
from schemas.failures import Misconfigured
from schemas.spec_problems import spec_of

TEXT = {"type": "string"}
CUSTOMERS = {"type": "array", "items": {"properties": {"id": TEXT, "name": TEXT}}}


def get(schema: Any, *query: str, required: bool = False) -> dict[str, Any]:
    parameters = [{"name": name, "in": "query", "schema": TEXT, "required": required} for name in query]
    responses = {"200": {"description": "", "content": {"application/json": {"schema": schema}}}}
    return {"get": {"parameters": parameters, "responses": responses}}


def drafted(
    paths: dict[str, Any], *, server: str = "https://api.acme.com/v1", title: str = "Acme API", **more: Any
) -> Any:
    root = {"openapi": "3.1.0", "info": {"title": title}, "servers": [{"url": server}], "paths": paths, **more}
    return draft_spec(discover_openapi(parse_document(json.dumps(root).encode())))


@pytest.mark.parametrize(
    ("server", "title", "name"),
    [
        ("https://api.acme.com/v1", "x", "acme"),
        ("https://api.zoom.us/v2", "x", "zoom"),
        ("https://rest.acme.co.uk", "x", "acme"),
        ("http://mastodon.local", "x", "mastodon"),
        ("https://{tenant}.acme.io", "x", "acme"),
        ("https://example.com/rest/default", "The Shop REST API", "shop"),
        ("https://{host}", "Book Store API v3", "book_store"),
        ("https://10.0.0.1", "Device API", "device"),
        ("http://localhost:8080", "Grocer", "grocer"),
    ],
)
def test_the_vendor_s_name(server: str, title: str, name: str) -> None:
    variables = {"servers": [{"url": server, "variables": {"tenant": {"default": "t"}, "host": {"default": "h"}}}]}
    draft = drafted({"/customers": get(CUSTOMERS)}, server=server, title=title, **variables)
    assert draft.spec["name"] == name
    spec_of(draft.spec)


def test_a_list_that_the_document_does_not_call_one_is_told() -> None:
    draft = drafted({"/customers": get({"type": "object"}, "cursor")})
    assert draft.spec["entities"]["customer"]["endpoint"] == "/customers"
    assert any("taken for a list" in note.text for note in draft.notes if note.path == "$.entities.customer.endpoint")
    spec_of(draft.spec)


def test_children_hang_below_the_list_of_their_parents() -> None:
    paths = {"/customers": get(CUSTOMERS), "/customers/{customerId}/orders": get(CUSTOMERS)}
    draft = drafted(paths)
    assert draft.spec["entities"]["order"]["parent"] == {"entity": "customer", "key": "id", "param": "customer_id"}
    spec_of(draft.spec)


def test_what_must_be_given_becomes_a_setting() -> None:
    draft = drafted({"/customers": get(CUSTOMERS, "shopId", required=True)})
    assert draft.spec["entities"]["customer"]["params"] == {"shopId": "{shop_id}"}
    assert "shop_id" in draft.spec["config"]
    spec_of(draft.spec)


def test_nothing_to_list_is_told() -> None:
    with pytest.raises(Misconfigured, match="nothing to sync"):
        drafted({"/customers/{id}": get(CUSTOMERS["items"])})


def test_what_is_known_of_paging_is_kept_where_the_rest_is_left_to_the_first_response() -> None:
    parameter = {"name": "offset", "in": "query", "schema": TEXT, "description": "Offset token."}
    size = {"name": "limit", "in": "query", "schema": {"type": "integer", "maximum": 50}}
    operation = get(CUSTOMERS)
    operation["get"]["parameters"] = [parameter, size]
    draft = drafted({"/customers": operation})
    assert draft.spec["entities"]["customer"]["pagination"] == {
        "kind": "auto",
        "cursor_param": "offset",
        "size_param": "limit",
        "page_size": 50,
    }
    spec_of(draft.spec)
