"""Every entity of every spec comes out of the sandbox whole, and its seed mappings turn each record into an event."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from mapping.compile import compile_set
from mapping.mapping_set import MappingSet
from mapping.origin import Delivery, Origin
from registry.seeds import connector_names, load_seed, load_spec
from sandbox.app import SandboxApp
from sandbox.dataset import count_of
from sandbox.vendor import load_vendor, vendor_names
from schemas.canonical_model import load_entities
from schemas.event_models import event_model
from schemas.spec_problems import parse_spec

# spec entity → the sandbox's, where it is asked for otherwise than its name says
PLAYED_BY = {
    ("google_analytics", "sessions"): "report",
    ("google_analytics", "page_views"): "report",
    ("google_analytics", "events"): "report",
}
# What a connection reads from its `start_date` on.
SINCE_A_DATE = {("aws_cloudwatch", "datapoint"), ("aws_cloudwatch", "metric_data")}
# canonical entity → fields of which one must be there for the event to be of use
IDENTITY = {
    "account": {"name"},
    "activity": {"subject"},
    "contact": {"display_name", "last_name", "emails"},
    "conversation": {"name", "subject", "contact_id"},
    "customer": {"display_name", "emails"},
    "infra_metric": {"name"},
    "invoice": {"customer_id"},
    "issue": {"number"},
    "lead": {"last_name"},
    "message": {"conversation_id"},
    "opportunity": {"name"},
    "payment": {"amount"},
    "product": {"name"},
    "pull_request": {"number"},
    "repository": {"full_name"},
    "subscription": {"customer_id"},
    "ticket": {"subject"},
    "user": {"name", "username"},
    "web_metric": {"metric"},
}


def events(seed: MappingSet, records: list[Any]) -> list[tuple[str, dict[str, Any]]]:
    apply = compile_set(seed, load_entities(), event_format="json").apply
    origin = Origin("acme", seed.connector, seed.entity, seed.connector)
    made = []
    for offset, record in enumerate(records):
        delivery = Delivery("raw", 0, offset, 0, "upsert", None, None, 0)
        made += [(entity, json.loads(body)) for entity, body in apply(json.loads(record.value), origin, delivery)[0]]
    return made


def test_hubspot_s_properties_are_the_same_when_asked_for_in_parts(
    sandbox: Callable[..., SandboxApp], sync_all: Callable[..., Any]
) -> None:
    text = load_spec("hubspot").model_dump_json(by_alias=True, exclude_unset=True)
    in_parts = parse_spec(text.replace('"max_characters":15000', '"max_characters":120'))
    whole, parts = (sync_all(sandbox(), "hubspot", ["contact"], spec=spec)["contact"] for spec in (None, in_parts))
    assert parts.error is None
    assert [json.loads(record.value) for record in parts.records] == [
        json.loads(record.value) for record in whole.records
    ]
    assert len(json.loads(whole.records[0].value)["properties"]) > 15


def test_metric_data_has_each_statistic_of_each_datapoint(
    sandbox: Callable[..., SandboxApp], sync_all: Callable[..., Any]
) -> None:
    found = sync_all(sandbox(records=400), "aws_cloudwatch", ["datapoint", "metric_data"])
    points = [json.loads(record.value) for record in found["datapoint"].records]
    values = [json.loads(record.value) for record in found["metric_data"].records]
    names = {"sum": "Sum", "minimum": "Minimum", "maximum": "Maximum", "count": "SampleCount"}
    expected = {
        (point["ResourceId"], point["Timestamp"], name): point[field]
        for point in points
        for name, field in names.items()
    }
    assert len(points) > 20
    assert len(values) == len(expected)
    assert {(one["ResourceId"], one["Timestamp"], one["Id"]): one["Value"] for one in values} == expected


def test_the_sandbox_plays_every_connector() -> None:
    assert vendor_names() == connector_names()


@pytest.mark.parametrize("connector", connector_names())
def test_every_entity_syncs_whole_and_becomes_events(
    connector: str, sandbox: Callable[..., SandboxApp], sync_all: Callable[..., Any]
) -> None:
    spec, vendor = load_spec(connector), load_vendor(connector)
    seeds = {seed.entity: seed for seed in load_seed(connector)}
    found = sync_all(sandbox(), connector, spec.entities)
    for name, synced in found.items():
        assert synced.error is None, f"{name}: {synced.error}"
        played = PLAYED_BY.get((connector, name), name)
        wanted = count_of(vendor, played, 20) if (connector, name) not in SINCE_A_DATE else None
        assert synced.records
        assert wanted is None or len(synced.records) == wanted, name
        if name not in seeds:
            assert {record.op for record in synced.records} == {"delete"}
            continue
        made = events(seeds[name], synced.records)
        assert len(made) == len(synced.records)
        assert len({event["aam"]["source_id"] for _, event in made}) == len(made)
        for entity, event in made:
            event_model(entity).model_validate(event)
            assert event["aam"]["unconverted"] == {}
            assert not event["aam"]["source_id"].startswith("content:")
            assert any(event[field] for field in IDENTITY[entity])


@pytest.mark.parametrize(
    ("connector", "entity", "most"),
    [
        ("salesforce", "contact", 1),
        ("zendesk", "ticket", 1),
        ("pipedrive", "deal", 1),
        ("dynamics365", "contact", 0),
        ("intercom", "contact", 1),
        ("stripe", "customer", 1),
        ("github", "issue", 1),
        ("slack", "message", 1),
        ("google_analytics", "sessions", 1),
    ],
)
def test_the_next_sync_asks_only_for_what_changed(
    connector: str, entity: str, most: int, sandbox: Callable[..., SandboxApp], sync_all: Callable[..., Any]
) -> None:
    app = sandbox(records=60)
    first = sync_all(app, connector, [entity])[entity]
    assert len(first.records) == 60
    again = sync_all(app, connector, [entity], dict(first.positions))[entity]
    assert again.error is None
    assert len(again.records) <= most
