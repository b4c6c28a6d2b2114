"""Entities from OpenAPI documents in the styles that vendors use; bounds for hostile ones."""

import json
import time
from contextlib import suppress
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from connectors.discover_openapi import discover_openapi
from connectors.discovery import DiscoveredEntity, Discovery
from connectors.openapi_document import MAX_DOCUMENT_BYTES, InvalidDocument, parse_document

CUSTOMER = {
    "type": "object",
    "properties": {
        "id": {"type": "string", "format": "uuid"},
        "email": {"type": "string", "format": "email", "nullable": True, "description": "Where   we write to."},
        "status": {"type": "string", "enum": ["active", "closed"]},
        "address": {"type": "object", "properties": {"city": {"type": "string"}, "zip.code": {"type": "string"}}},
        "tags": {"type": "array", "items": {"type": "string"}},
        "password": {"type": "string", "writeOnly": True},
    },
}
REF = {"$ref": "#/components/schemas/Customer"}
LIST_OF_REF = {"type": "array", "items": REF}


def document(paths: dict[str, Any], *, schemas: dict[str, Any] | None = None, **more: Any) -> dict[str, Any]:
    return {
        "openapi": "3.0.3",
        "info": {"title": "Test"},
        "servers": [{"url": "https://api.example.com/v1"}],
        "paths": paths,
        "components": {"schemas": {"Customer": CUSTOMER} | (schemas or {})},
        **more,
    }


def get(schema: Any, *, query: tuple[str, ...] = (), **more: Any) -> dict[str, Any]:
    parameters = [{"name": name, "in": "query", "schema": {"type": "string"}} for name in query]
    response = {"content": {"application/json": {"schema": schema}}} | more
    return {"get": {"parameters": parameters, "responses": {"200": response}}}


def envelope(**beside: Any) -> dict[str, Any]:
    return {"type": "object", "properties": {"data": LIST_OF_REF} | beside}


def found(root: dict[str, Any]) -> Discovery:
    return discover_openapi(parse_document(json.dumps(root).encode()))


def only(root: dict[str, Any]) -> DiscoveredEntity:
    (entity,) = found(root).entities
    return entity


def paths_of(entity: DiscoveredEntity) -> list[str]:
    return [field.path for field in entity.schema.fields]


def test_a_bare_array_and_its_fields() -> None:
    entity = only(document({"/customers": get(LIST_OF_REF), "/customers/{id}": get(REF)}))
    assert entity.name == "customer"
    assert [(o.kind, o.path, o.records_path) for o in entity.operations] == [
        ("list", "/customers", None),
        ("read", "/customers/{id}", None),
    ]
    assert paths_of(entity) == ['address."zip.code"', "address.city", "email", "id", "status", "tags[]"]
    email = entity.schema.fields[2]
    assert (email.types, email.nullable, email.format) == (("string",), True, "email")
    assert email.description == "Where we write to."
    assert entity.schema.fields[4].enum == ("active", "closed")
    assert entity.schema.primary_key == ("id",)


@pytest.mark.parametrize(
    ("response", "path", "place"),
    [
        (envelope(has_more={"type": "boolean"}), "/customers", "data"),
        ({"properties": {"customers": LIST_OF_REF, "count": {"type": "integer"}}}, "/customers.json", "customers"),
        ({"properties": {"value": LIST_OF_REF, "@odata.nextLink": {"type": "string"}}}, "/Customers", "value"),
        (
            {"properties": {"_embedded": {"properties": {"customers": LIST_OF_REF}}}},
            "/customers",
            "_embedded.customers",
        ),
        ({"properties": {"result": {"properties": {"items": LIST_OF_REF}}}}, "/customers", "result.items"),
        ({"properties": {"ok": {"type": "boolean"}, "people": LIST_OF_REF}}, "/customers.list", "people"),
        ({"properties": {"content": LIST_OF_REF, "totalPages": {"type": "integer"}}}, "/customers", "content"),
        ({"properties": {"odd-name": LIST_OF_REF}}, "/customers", '"odd-name"'),
        ({"allOf": [{"properties": {"total": {"type": "integer"}}}, envelope()]}, "/customers/search", "data"),
    ],
)
def test_envelopes(response: dict[str, Any], path: str, place: str) -> None:
    entity = only(document({path: get(response)}))
    assert entity.name == "customer"
    assert entity.list_operation is not None
    assert entity.list_operation.records_path == place


def test_a_record_with_arrays_is_no_list() -> None:
    order = {"properties": {"id": {"type": "string"}, "items": LIST_OF_REF}}
    entities = found(document({"/orders/current": get(order), "/orders/{id}": get(order)})).entities
    assert entities[0].list_operation is None
    assert "items[].email" in paths_of(entities[0])


def test_a_record_in_an_envelope_is_found() -> None:
    one = {"properties": {"ok": {"type": "boolean"}, "customer": REF}}
    entity = only(document({"/customers.info": get(one)}))
    assert (entity.name, entity.operations[0].kind, entity.operations[0].records_path) == (
        "customer",
        "read",
        "customer",
    )


def test_combinations_are_united_and_types_merged() -> None:
    pet = {
        "allOf": [{"properties": {"id": {"type": "integer"}}}, {"properties": {"name": {"type": "string"}}}],
        "oneOf": [
            {"properties": {"size": {"type": "integer"}}},
            {"properties": {"size": {"type": ["string", "null"]}}},
        ],
    }
    entity = only(
        document({"/pets": get({"type": "array", "items": {"$ref": "#/components/schemas/Pet"}})}, schemas={"Pet": pet})
    )
    assert paths_of(entity) == ["id", "name", "size"]
    assert (entity.schema.fields[2].types, entity.schema.fields[2].nullable) == (("integer", "string"), True)


def test_version_3_1() -> None:
    root = document(
        {"/things": get({"type": "array", "items": {"$ref": "#/components/schemas/Thing"}})},
        schemas={
            "Thing": {
                "type": "object",
                "properties": {
                    "id": {"type": "string"},
                    "owner": {"$ref": "#/components/schemas/Customer/properties/email", "description": "beside a $ref"},
                    "kind": {"const": "thing"},
                    "left": {"anyOf": [{"type": "number"}, {"type": "null"}]},
                    "anything": True,
                },
            }
        },
        openapi="3.1.0",
    )
    fields = {field.path: field for field in only(root).schema.fields}
    assert fields["owner"].description == "beside a $ref"
    assert (fields["kind"].types, fields["kind"].enum) == (("string",), ("thing",))
    assert (fields["left"].types, fields["left"].nullable) == (("number",), True)
    assert fields["anything"].types == ()


def test_an_id_or_the_object_is_an_id() -> None:
    invoice = {
        "properties": {
            "id": {"type": "string"},
            "customer": {"anyOf": [{"type": "string"}, REF]},
            "note": {"oneOf": [{"type": "string"}, {"properties": {"text": {"type": "string"}}}]},
        }
    }
    entity = only(document({"/invoices": get({"type": "array", "items": invoice})}))
    assert paths_of(entity) == ["customer", "id", "note", "note.text"]


def test_cycles_end() -> None:
    node = {
        "properties": {
            "id": {"type": "string"},
            "parent": {"$ref": "#/components/schemas/Node"},
            "children": {"type": "array", "items": {"$ref": "#/components/schemas/Node"}},
        }
    }
    loop = {"allOf": [{"$ref": "#/components/schemas/Loop"}, {"properties": {"id": {"type": "string"}}}]}
    ring = {"$ref": "#/components/schemas/Ring"}
    root = document(
        {
            "/nodes": get({"type": "array", "items": {"$ref": "#/components/schemas/Node"}}),
            "/loops": get({"type": "array", "items": {"$ref": "#/components/schemas/Loop"}}),
            "/rings": get({"type": "array", "items": ring}),
        },
        schemas={"Node": node, "Loop": loop, "Ring": ring},
    )
    discovery = found(root)
    assert {e.name: paths_of(e) for e in discovery.entities} == {
        "loop": ["id"],
        "node": ["children[]", "id", "parent"],
    }
    assert any("leads to itself" in problem for problem in discovery.problems)


def test_width_and_depth_are_bounded() -> None:
    schemas: dict[str, Any] = {
        f"L{level}": {"properties": {f"p{n}": {"$ref": f"#/components/schemas/L{level + 1}"} for n in range(10)}}
        for level in range(12)
    }
    schemas["L12"] = {"properties": {"x": {"type": "string"}}}
    diamond: dict[str, Any] = {f"D{n}": {"allOf": [{"$ref": f"#/components/schemas/D{n + 1}"}] * 9} for n in range(30)}
    diamond["D30"] = {"properties": {"id": {"type": "string"}}}
    root = document(
        {
            "/wides": get({"type": "array", "items": {"$ref": "#/components/schemas/L0"}}),
            "/diamonds": get({"type": "array", "items": {"$ref": "#/components/schemas/D0"}}),
        },
        schemas=schemas | diamond,
    )
    started = time.process_time()
    entities = {e.name: e for e in found(root).entities}
    assert time.process_time() - started < 2
    assert paths_of(entities["diamond"]) == ["id"]
    assert "wide" not in entities or entities["wide"].is_cut


def test_swagger_2_in_yaml() -> None:
    text = """
    swagger: '2.0'
    info: {title: Old, version: 1.0}
    host: api.example.com
    basePath: /v2
    schemes: [http, https]
    securityDefinitions: {key: {type: apiKey, in: header, name: X-Key}}
    paths:
      /pets:
        get:
          parameters: [{name: limit, in: query, type: integer, maximum: 50}, {name: offset, in: query, type: integer}]
          responses:
            200: {description: ok, schema: {type: array, items: {$ref: '#/definitions/Pet'}}}
    definitions:
      Pet:
        type: object
        properties:
          petId: {type: integer, format: int64}
          born: {type: string, format: date, x-nullable: true}
          country: {type: string, enum: [no, se]}
          tz: {items: [{type: string}, {type: 'null'}]}
    """
    discovery = discover_openapi(parse_document(text.encode()))
    (pet,) = discovery.entities
    assert discovery.base_url is not None
    assert discovery.base_url.url == "https://api.example.com/v2"
    assert discovery.auth is not None
    assert (discovery.auth.kind, discovery.auth.place, discovery.auth.name) == ("api_key", "header", "X-Key")
    assert (pet.name, pet.schema.primary_key) == ("pet", ("petId",))
    fields = {field.path: field for field in pet.schema.fields}
    assert fields["born"].nullable
    assert fields["country"].enum == ("no", "se")
    assert (fields["tz"].types, fields["tz"].nullable) == (("string",), True)
    assert pet.paging is not None
    assert (pet.paging.kind, pet.paging.param, pet.paging.size_param, pet.paging.size) == (
        "offset",
        "offset",
        "limit",
        50,
    )


TEXT = {"type": "string"}


@pytest.mark.parametrize(
    ("query", "beside", "headers", "expected"),
    [
        (
            ("starting_after", "limit"),
            {"has_more": {"type": "boolean"}},
            {},
            ("last_record_id", "starting_after", None),
        ),
        (
            ("cursor",),
            {"response_metadata": {"properties": {"next_cursor": TEXT}}},
            {},
            ("cursor", "cursor", "response_metadata.next_cursor"),
        ),
        (
            ("after", "limit"),
            {"paging": {"properties": {"next": {"properties": {"after": TEXT, "link": TEXT}}}}},
            {},
            ("cursor", "after", "paging.next.after"),
        ),
        (("pageToken",), {"nextPageToken": TEXT}, {}, ("cursor", "pageToken", "nextPageToken")),
        (
            ("page[size]", "page[after]"),
            {"links": {"properties": {"next": TEXT}}},
            {},
            ("next_url", None, "links.next"),
        ),
        ((), {"@odata.nextLink": TEXT}, {}, ("odata", None, '"@odata.nextLink"')),
        (("page", "per_page"), {}, {"Link": {}}, ("link_header", None, None)),
        (("page", "per_page"), {"total": {"type": "integer"}}, {}, ("page", "page", None)),
        (("$skip", "$top"), {}, {}, ("offset", "$skip", None)),
        ((), {"next": TEXT}, {}, ("next_url", None, "next")),
        (("page",), {"has_next_page": {"type": "boolean"}}, {}, ("page", "page", None)),
        (
            ("continue", "limit"),
            {"metadata": {"properties": {"continue": TEXT}}},
            {},
            ("cursor", "continue", "metadata.continue"),
        ),
        (
            ("searchCriteria[currentPage]", "searchCriteria[pageSize]"),
            {},
            {},
            ("page", "searchCriteria[currentPage]", None),
        ),
        (("first", "max"), {}, {}, ("offset", "first", None)),
        (("from", "to"), {}, {}, ("none", None, None)),
        ((), {}, {}, ("none", None, None)),
    ],
)
def test_paging(
    query: tuple[str, ...], beside: dict[str, Any], headers: dict[str, Any], expected: tuple[Any, ...]
) -> None:
    paging = only(document({"/customers": get(envelope(**beside), query=query, headers=headers)})).paging
    assert paging is not None
    assert (paging.kind, paging.param, paging.next_path) == expected
    assert paging.reason


@pytest.mark.parametrize(
    ("parameter", "kind"),
    [
        ({"name": "offset", "schema": TEXT, "description": "Offset token from the last response."}, "cursor"),
        ({"name": "offset", "schema": TEXT, "description": "How many are left out."}, "offset"),
        ({"name": "offset", "schema": {"type": "integer"}, "description": "No token."}, "offset"),
        ({"name": "from", "schema": {"type": "string", "format": "date"}}, "none"),
        ({"name": "from", "schema": {"type": "integer"}}, "offset"),
    ],
)
def test_what_a_parameter_is_told_to_be(parameter: dict[str, Any], kind: str) -> None:
    operation = get(envelope())
    operation["get"]["parameters"] = [parameter | {"in": "query"}]
    paging = only(document({"/customers": operation})).paging
    assert paging is not None
    assert paging.kind == kind


def test_size_and_place_are_two_parameters() -> None:
    paging = only(document({"/customers": get(envelope(), query=("first", "max"))})).paging
    assert paging is not None
    assert (paging.param, paging.size_param) == ("first", "max")


ONE_CUSTOMER = {"/customers/{id}": get(REF)}


@pytest.mark.parametrize(
    ("paths", "is_list", "said"),
    [
        ({"/customers": get(REF, query=("page",)), **ONE_CUSTOMER}, True, "page asks for a page of many"),
        ({"/customers": get(REF), **ONE_CUSTOMER}, True, "a path below picks one of many"),
        ({"/customers": get(REF)}, False, ""),
        ({"/customer": get(REF, query=("page",))}, False, ""),
        ({"/customers": get({"properties": {"total": {"type": "integer"}}}, query=("page",))}, False, ""),
        ({"/customers": get({"type": "object"}, query=("cursor",))}, True, "not described, but cursor"),
        ({"/customers": get({"type": "array", "items": TEXT}, query=("cursor",)), **ONE_CUSTOMER}, False, ""),
    ],
)
def test_lists_that_are_not_described_as_such(paths: dict[str, Any], is_list: bool, said: str) -> None:
    others = {"/tags": get({"type": "array", "items": {"properties": {"id": TEXT}}})}
    entities = {entity.name: entity for entity in found(document(paths | others)).entities}
    customer = entities.get("customer")
    listed = customer.list_operation if customer else None
    assert (listed is not None) == is_list
    if listed is not None:
        assert listed.path == "/customers"
        assert said in listed.remark


def test_a_response_of_another_kind_is_no_list() -> None:
    operation = get(REF, query=("page",))
    operation["get"]["responses"]["200"]["content"] = {"text/csv": {"schema": TEXT}}
    names = [
        entity.name for entity in found(document({"/exports": operation, "/customers": get(LIST_OF_REF)})).entities
    ]
    assert names == ["customer"]


def test_identity_that_is_kept_apart() -> None:
    item = {"properties": {"kind": TEXT, "metadata": {"properties": {"name": TEXT, "uid": TEXT}}}}
    entity = only(document({"/pods": get({"type": "array", "items": item})}))
    assert entity.schema.primary_key == ("metadata.uid",)


def test_incremental_reading() -> None:
    schema = {
        "type": "array",
        "items": {"properties": {"id": TEXT, "updated_at": TEXT, "created": {"type": "integer"}}},
    }
    told = only(document({"/things": get(schema, query=("updated_since",))})).incremental
    assert told is not None
    assert (told.param, told.field) == ("updated_since", "updated_at")
    operation = get(schema)
    bounds = {"anyOf": [{"type": "object", "properties": {"gte": {"type": "integer"}}}, {"type": "integer"}]}
    operation["get"]["parameters"] = [{"name": "created", "in": "query", "schema": bounds}]
    told = only(document({"/things": operation})).incremental
    assert told is not None
    assert (told.param, told.field) == ("created[gte]", "created")


def test_schemas_of_one_kind_are_one_entity_and_others_are_not() -> None:
    minimal = {"properties": {"id": TEXT, "name": TEXT}}
    full = {"properties": {"id": TEXT, "name": TEXT, "email": TEXT}}
    other = {"properties": {"id": TEXT, "name": TEXT}}
    root = document(
        {
            "/users": get({"type": "array", "items": {"$ref": "#/components/schemas/minimal-user"}}),
            "/users/{id}": get({"$ref": "#/components/schemas/UserDetail"}),
            "/admin/users": get({"type": "array", "items": {"$ref": "#/components/schemas/admin.user"}}),
        },
        schemas={"minimal-user": minimal, "UserDetail": full, "admin.user": other},
    )
    assert {e.name: paths_of(e) for e in found(root).entities} == {
        "user": ["email", "id", "name"],
        "admin_user": ["id", "name"],
    }


EXAMPLE: dict[str, Any] = {
    "data": [{"id": 7, "address": {"city": "Bern"}, "gone": None}, {"id": 8, "tags": ["x"]}],
    "next": "x",
}
EXAMPLE_PATHS = ["address.city", "gone", "id", "tags[]"]


@pytest.mark.parametrize(
    "media",
    [
        {"example": EXAMPLE},
        {"examples": {"one": {"value": EXAMPLE}}},
        {"schema": {"type": "object"}, "example": EXAMPLE},
        {"schema": {"type": "object", "example": EXAMPLE}},
        {"schema": {"type": "array", "items": {"type": "object", "example": EXAMPLE["data"][0] | EXAMPLE["data"][1]}}},
    ],
)
def test_an_example_stands_in_for_a_schema(media: dict[str, Any]) -> None:
    operation = {"get": {"responses": {"200": {"content": {"application/json": media}}}}}
    entity = only(document({"/places": operation}))
    assert (entity.name, paths_of(entity)) == ("place", EXAMPLE_PATHS)
    assert "Bern" not in str(entity)


def test_swagger_2_examples() -> None:
    operation = {"get": {"responses": {"200": {"examples": {"application/json": EXAMPLE}}}}}
    root = {"swagger": "2.0", "host": "x.example", "paths": {"/places": operation}}
    assert paths_of(only(root)) == EXAMPLE_PATHS


def test_a_post_that_searches_is_a_list_and_one_that_creates_is_not() -> None:
    made = {"post": {"responses": {"200": {"content": {"application/json": {"schema": envelope()}}}}}}
    assert only(document({"/customers/search": made})).operations[0].method == "POST"
    with pytest.raises(InvalidDocument, match="no operation"):
        found(document({"/customers": made}))


def test_servers_with_variables_and_relative_ones() -> None:
    paths = {"/customers": get(LIST_OF_REF)}
    server = {"url": "https://{site}.example.com/", "variables": {"site": {"default": "demo"}}}
    base = found(document(paths, servers=[server])).base_url
    assert base is not None
    assert (base.url, base.variables) == ("https://{site}.example.com", {"site": "demo"})
    parsed = parse_document(json.dumps(document(paths, servers=[{"url": "/api/v3"}])).encode())
    assert discover_openapi(parsed).base_url is None
    base = discover_openapi(parsed, fetched_from="https://example.com/docs/openapi.json").base_url
    assert base is not None
    assert base.url == "https://example.com/api/v3"


@pytest.mark.parametrize(
    ("scheme", "kind"),
    [
        ({"type": "http", "scheme": "bearer"}, "bearer"),
        ({"type": "http", "scheme": "basic"}, "basic"),
        ({"type": "apiKey", "in": "query", "name": "api_key"}, "api_key"),
        ({"type": "apiKey", "in": "header", "name": "Authorization"}, "bearer"),
        (
            {"type": "oauth2", "flows": {"clientCredentials": {"tokenUrl": "https://x/token", "scopes": {"a": ""}}}},
            "oauth2",
        ),
        ({"type": "openIdConnect", "openIdConnectUrl": "https://x"}, "bearer"),
    ],
)
def test_auth(scheme: dict[str, Any], kind: str) -> None:
    root = document({"/customers": get(LIST_OF_REF)}, security=[{"it": []}])
    root["components"]["securitySchemes"] = {"it": scheme}
    auth = found(root).auth
    assert auth is not None
    assert auth.kind == kind
    if kind == "oauth2":
        assert (auth.token_url, auth.scopes) == ("https://x/token", ("a",))


# -- bad documents


def test_only_local_references_are_followed() -> None:
    remote = {"$ref": "http://169.254.169.254/latest/meta-data"}
    root = document({"/customers": get(LIST_OF_REF), "/secrets": get({"type": "array", "items": remote})})
    discovery = found(root)
    assert [e.name for e in discovery.entities] == ["customer"]
    assert any("169.254.169.254" in problem and "not followed" in problem for problem in discovery.problems)
    with pytest.raises(InvalidDocument, match="not followed"):
        found(document({"/secrets": get({"$ref": "file:///etc/passwd"})}))


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"<!doctype html><html></html>", "HTML"),
        (b"", "is an object"),
        (b"[1]", "is an object"),
        (b'{"openapi": "3.0.0", "paths": {"/a": }}', "not JSON"),
        (b'{"openapi": "3.0.0", "paths": {}}', "no `paths`"),
        (b'{"openapi": "4.0.0", "paths": {"/a": {}}}', "is not read"),
        (b'{"info": {}}', "neither `openapi` nor `swagger`"),
        (b"openapi: [3", "neither JSON nor YAML"),
        (b'{"a":' * 3000, "not JSON"),
        (b"[" * 100_000, "neither JSON nor YAML"),
        (b"\x00\xff", "neither JSON nor YAML"),
        (b"a: !!python/object/apply:os.system [x]", "neither JSON nor YAML"),
        (b"openapi: 3.0.0\npaths: &a {x: *a}", "alias inside its own anchor"),
        (b'{"openapi": "3.0.0", "paths": {"/a": {"get": {"responses": {"200": {}}}}}}', "no operation"),
    ],
)
def test_what_is_no_document(data: bytes, message: str) -> None:
    with pytest.raises(InvalidDocument, match=message):
        discover_openapi(parse_document(data))


def test_a_yaml_bomb_costs_nothing() -> None:
    lines = ["openapi: 3.0.0", "paths:", "  a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    lines += [f"  a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 30)]
    started = time.process_time()
    with pytest.raises(InvalidDocument, match="aliases stand for"):
        parse_document("\n".join(lines).encode())
    assert time.process_time() - started < 1


def test_too_large_a_document() -> None:
    with pytest.raises(InvalidDocument, match="larger than"):
        parse_document(b" " * (MAX_DOCUMENT_BYTES + 1))


@pytest.mark.parametrize(
    "odd",
    [
        {"/a": None, "/b": {"get": []}, "/customers": get(LIST_OF_REF)},
        {"/a": {"get": {"responses": []}}, "/customers": get(LIST_OF_REF)},
        {"/a": {"get": {"responses": {"200": None}, "parameters": {}}}, "/customers": get(LIST_OF_REF)},
        {"/a": get({"type": "array", "items": []}), "/customers": get(LIST_OF_REF)},
        {"/a": get({"properties": []}), "/b": get({"properties": {"x": None}}), "/customers": get(LIST_OF_REF)},
        {"/a": get({"type": {}, "enum": {}, "allOf": {}}), "/customers": get(LIST_OF_REF)},
        {"/a": get({"enum": [{}, [], None]}), "/customers": get(LIST_OF_REF, query=("a[b",))},
    ],
)
def test_odd_parts_hurt_nobody_else(odd: dict[str, Any]) -> None:
    assert "customer" in [entity.name for entity in found(document(odd)).entities]


def test_yaml_and_json_are_one() -> None:
    root = document({"/customers": get(envelope(has_more={"type": "boolean"}))})
    assert discover_openapi(parse_document(yaml.safe_dump(root).encode())) == found(root)


def test_the_fingerprint_is_of_the_schema_alone() -> None:
    root = document({"/customers": get(LIST_OF_REF)})
    reordered = json.loads(json.dumps(root))
    properties = reordered["components"]["schemas"]["Customer"]["properties"]
    properties["email"]["description"] = "another"
    reordered["components"]["schemas"]["Customer"]["properties"] = dict(reversed(properties.items()))
    assert only(root).schema.fingerprint == only(reordered).schema.fingerprint
    properties["extra"] = {"type": "string"}
    reordered["components"]["schemas"]["Customer"]["properties"] = properties
    assert only(root).schema.fingerprint != only(reordered).schema.fingerprint


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=3) | st.just("#/components/schemas/Customer"),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["$ref", "type", "items", "x"]), inner),
    max_leaves=6,
)


@given(st.data())
@settings(max_examples=60, deadline=None)
def test_whatever_stands_where_it_does_not_belong(data: st.DataObject) -> None:
    root: Any = document(
        {"/customers": get(envelope(next={"type": "string"}), query=("limit",)), "/customers/{id}": get(REF)},
        security=[{"key": []}],
    )
    root["components"]["securitySchemes"] = {"key": {"type": "oauth2", "flows": {"implicit": {"scopes": {}}}}}
    root = json.loads(json.dumps(root))
    node: Any = root
    while isinstance(node, dict | list) and node:
        step = data.draw(st.sampled_from(list(node) if isinstance(node, dict) else list(range(len(node)))))
        if not isinstance(node[step], dict | list) or data.draw(st.integers(0, 5)) == 0:
            node[step] = data.draw(JSON)
            break
        node = node[step]
    with suppress(InvalidDocument):
        found(root)
