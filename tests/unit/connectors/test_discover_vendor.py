"""Discovery at the vendor: its lists of fields as vendors write them, a page of records, and both together."""

from typing import Any

import httpx
import pytest

from connectors.discover_fields import fields_of_entries, with_sampled
from connectors.discover_vendor import discover_vendor
from connectors.errors import ActionRequired, BadResponse
from schemas.connector_spec import FieldsEndpoint
from schemas.messages import SourceField

HUBSPOT = FieldsEndpoint(
    endpoint="/properties",
    fields_path="results",
    prefix="properties",
    description="label",
    enum="options[].value",
    types={"enumeration": "string"},
)
PROPERTIES = [
    {"name": "email", "type": "string", "label": "Email", "options": []},
    {
        "name": "lifecyclestage",
        "type": "enumeration",
        "label": "Stage",
        "options": [{"value": "lead"}, {"value": "mql"}],
    },
    {"name": "createdate", "type": "datetime", "label": "Created"},
    {"name": "odd.name", "type": "bool"},
    {"name": "amount", "type": "number"},
    {"name": "amount", "type": "string"},
]


def test_fields_as_a_vendor_lists_them() -> None:
    fields = {field.path: field for field in fields_of_entries(PROPERTIES, HUBSPOT)}
    assert {path: field.types for path, field in fields.items()} == {
        'properties."odd.name"': ("boolean",),
        "properties.amount": ("number",),
        "properties.createdate": ("string",),
        "properties.email": ("string",),
        "properties.lifecyclestage": ("string",),
    }
    assert fields["properties.lifecyclestage"].enum == ("lead", "mql")
    assert fields["properties.createdate"].format == "date-time"
    assert fields["properties.email"].description == "Email"


@pytest.mark.parametrize(
    ("told", "expected"),
    [
        ("varchar_auto", ("string",)),
        ("monetary", ("number",)),
        ("int", ("integer",)),
        ("multipicklist", ("array",)),
        ("daterange", ("object",)),
        ("TYPE_INTEGER", ("integer",)),
        ("reference", ("string",)),
        (None, ()),
        (3, ()),
    ],
)
def test_types_by_name(told: Any, expected: tuple[str, ...]) -> None:
    (field,) = fields_of_entries([{"name": "f", "type": told}], FieldsEndpoint(endpoint="/fields"))
    assert field.types == expected


@pytest.mark.parametrize("entry", [{}, {"name": ""}, {"name": 3}, "x", None])
def test_an_entry_without_a_name(entry: Any) -> None:
    with pytest.raises(BadResponse, match="no name"):
        fields_of_entries([entry], FieldsEndpoint(endpoint="/fields"))


def test_leaves_seen_in_records_replace_the_object_that_was_listed() -> None:
    listed = [SourceField(path="address", types=("object",)), SourceField(path="email", types=("string",))]
    sampled = [SourceField(path="address.city", types=("string",)), SourceField(path="email", types=("integer",))]
    merged = {field.path: field.types for field in with_sampled(listed, sampled)}
    assert merged == {"address.city": ("string",), "email": ("string",)}


def answer(request: httpx.Request) -> httpx.Response:
    if request.url.path == "/v1/properties":
        return httpx.Response(200, json={"results": PROPERTIES})
    return httpx.Response(200, json={"results": [{"id": "1", "properties": {"email": "a@example.com", "extra": 1}}]})


async def discovered(fake: Any, handler: Any, **spec: Any) -> Any:
    return await discover_vendor(fake.vendor(handler, **spec))


def test_lists_and_records_together(fake: Any, run: Any) -> None:
    entity_spec = {
        "pagination": "none",
        "records_path": "results",
        "fields_endpoint": HUBSPOT.model_dump(exclude_defaults=True),
    }
    discovery = run(discovered(fake, answer, entity=entity_spec))
    (entity,) = discovery.entities
    assert (entity.name, entity.origin, entity.schema.primary_key) == ("item", "producer", ("id",))
    assert [field.path for field in entity.schema.fields] == [
        "id",
        'properties."odd.name"',
        "properties.amount",
        "properties.createdate",
        "properties.email",
        "properties.extra",
        "properties.lifecyclestage",
    ]
    assert not discovery.problems


def test_records_alone_are_a_sample(fake: Any, run: Any) -> None:
    discovery = run(discovered(fake, answer, entity={"pagination": "none", "records_path": "results"}))
    assert discovery.entities[0].origin == "sample"


def test_what_goes_wrong_with_one_entity_is_its_problem(fake: Any, run: Any) -> None:
    def handler(request: httpx.Request) -> httpx.Response:
        if request.url.path == "/v1/bad":
            return httpx.Response(200, text="<html>login</html>")
        return httpx.Response(200, json=[] if request.url.path == "/v1/none" else [{"id": 1}])

    entities = {name: {"endpoint": f"/{name}", "pagination": "none"} for name in ("good", "bad", "none")}
    discovery = run(discovered(fake, handler, entities=entities))
    assert [entity.name for entity in discovery.entities] == ["good"]
    assert any(problem.startswith("bad: the response is HTML") for problem in discovery.problems)
    assert any(problem.startswith("none: the vendor has no records") for problem in discovery.problems)


def test_refused_credentials_end_it(fake: Any, run: Any) -> None:
    with pytest.raises(ActionRequired):
        run(discovered(fake, lambda _: httpx.Response(401), entity={"pagination": "none"}))
