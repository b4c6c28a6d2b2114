"""A vendor adds fields while a mesh runs: what is obvious maps itself, what is doubtful waits for a person."""

import json
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from pydantic import SecretStr

from registry.pool import Pool, open_pool
from registry.review import ReviewFilter, ReviewQueue
from registry.settings import RegistrySettings

AGENTS = "canonicalize,publish_mappings,release_parked,retrieve_mappings,ask_llm,decide_mappings"
HEADERS = [("tenant", b"acme"), ("connector", b"crm"), ("entity", b"customer")]


@pytest.fixture
def registry(mesh: Any) -> Iterator[Pool]:
    with open_pool(RegistrySettings(database_url=SecretStr(mesh.database_url))) as pool:
        yield pool


def record(number: int, **given: Any) -> tuple[Any, Any]:
    return {"id": f"c{number}", "name": f"Ann {number}", **given}, HEADERS


def latest(mesh: Any, count: int) -> dict[str, Any]:
    """The newest of at least `count` events."""
    return max(mesh.events(count, quiet_seconds=0.3), key=lambda event: event["aam"]["raw"]["offset"])


def test_obvious_fields_map_themselves_and_doubtful_ones_wait_for_a_person(
    mesh: Any, registry: Pool, wait_until: Callable[..., None]
) -> None:
    mesh.worker(AGENTS, AAM_GATHER_SECONDS="0.3")
    mesh.produce([record(n) for n in range(5)])
    mesh.read(mesh.customers, 5)

    mesh.produce([record(n, phone=f"+49 30 90182{n}", biz_label=f"Org {n}") for n in range(5, 30)])
    started = time.monotonic()
    queue = ReviewQueue(registry)
    sent = 30
    while not latest(mesh, sent)["phones"]:
        assert time.monotonic() - started < 20, mesh.logs()
        mesh.produce([record(sent, phone=f"+49 30 9018{sent}", biz_label="Org")])
        sent += 1

    wait_until(lambda: any(group.item.path == "biz_label" for group in queue.list(ReviewFilter(tenant="acme"))))
    (doubtful,) = [group for group in queue.list(ReviewFilter(tenant="acme")) if group.item.path == "biz_label"]
    assert doubtful.item.reason
    assert doubtful.item.candidates
    assert "Org" not in json.dumps([doubtful.item.profile, doubtful.item.candidates, doubtful.item.reason])
    assert latest(mesh, sent)["company_name"] is None

    queue.choose(doubtful.id, ("customer", "company_name"), actor="ann")
    while latest(mesh, sent)["company_name"] != "Org":
        assert time.monotonic() - started < 60, mesh.logs()
        mesh.produce([record(sent, phone="+49 30 1", biz_label="Org")])
        sent += 1


def test_an_unknown_source_waits_for_its_entity_and_its_records_are_released(
    mesh: Any, registry: Pool, wait_until: Callable[..., None]
) -> None:
    headers = [("tenant", b"acme"), ("connector", b"newcrm"), ("entity", b"thing_of_ours")]
    mesh.worker(AGENTS, AAM_GATHER_SECONDS="0.3")
    mesh.produce([({"id": f"x{n}", "phone": f"+49 30 90182{n}"}, headers) for n in range(30)])
    queue = ReviewQueue(registry)
    wait_until(lambda: bool(queue.list(ReviewFilter(connector="newcrm"))))
    (in_doubt,) = queue.list(ReviewFilter(connector="newcrm"))
    assert in_doubt.item.path == ""
    queue.choose(in_doubt.id, ("customer", ""), actor="ann")
    events = [event for event in mesh.events(30) if event["aam"]["source_system"] == "newcrm"]
    assert len(events) == 30
    assert all(event["phones"] for event in events)
