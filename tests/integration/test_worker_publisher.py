"""Publishing the mapping table while Postgres and leaders come and go."""

import json
import time
from collections.abc import Callable
from typing import Any

from agents.mapping_cache import MARKER, TableAssembler
from infra.postgres.server import LocalPostgres
from mapping.mapping_set import MappingSet
from registry.migrate import migrate

KNOWN: list[tuple[str, Any]] = [("tenant", b"acme"), ("connector", b"crm"), ("entity", b"customer")]


def names(events: list[dict[str, Any]]) -> list[str]:
    return sorted(event["display_name"] for event in events)


def person(number: int) -> dict[str, Any]:
    return {"id": f"c{number}", "name": f"n{number}", "nick": f"k{number}"}


def test_records_flow_while_postgres_is_away_and_changes_follow_when_it_is_back(
    mesh: Any, own_postgres: LocalPostgres, new_customer_set: Callable[..., MappingSet]
) -> None:
    address = own_postgres.database_url()
    assert address is not None
    migrate(address)
    mesh.database_url = mesh.env["DATABASE_URL"] = address
    mesh.publish(new_customer_set())
    worker = mesh.worker()
    own_postgres.stop()
    mesh.produce([(person(1), KNOWN)])
    assert names(mesh.events(1)) == ["n1"]
    time.sleep(3)
    assert worker.ready()
    own_postgres.start()
    assert own_postgres.database_url() == address
    mesh.publish(new_customer_set(name_from="nick"))
    _until_published(mesh, 2)
    time.sleep(0.5)
    mesh.produce([(person(2), KNOWN)])
    assert names(mesh.events(2)) == ["k2", "n1"]


def test_another_worker_leads_when_the_leader_is_killed(
    mesh: Any, new_customer_set: Callable[..., MappingSet], wait_until: Callable[..., None]
) -> None:
    first = mesh.worker(slot=0)
    second = mesh.worker(slot=1)
    wait_until(lambda: first.metric("aam_publisher_leading") + second.metric("aam_publisher_leading") == 1)
    leader, other = (first, second) if first.metric("aam_publisher_leading") else (second, first)
    leader.kill()
    wait_until(lambda: other.metric("aam_publisher_leading") == 1)
    revision = mesh.publish(new_customer_set(name_from="nick"))
    _until_published(mesh, revision)
    assert other.metric("aam_mapping_revision") in (revision - 1, revision)


def test_a_registry_restored_to_an_older_state_raises_the_epoch_and_empties_what_it_lost(
    mesh: Any, empty_database_url: str, new_customer_set: Callable[..., MappingSet]
) -> None:
    for connector in ("a", "b", "c"):
        mesh.publish(new_customer_set(connector=connector))
    worker = mesh.worker()
    _until_published(mesh, 4)
    worker.stop()
    migrate(empty_database_url)
    mesh.database_url = mesh.env["DATABASE_URL"] = empty_database_url
    mesh.publish(new_customer_set(connector="a", name_from="nick"))
    mesh.worker()
    table = _until_published(mesh, 1, epoch=2)
    assert table.epoch == 2
    assert {key[1]: len(held.mappings) for key, held in table.sets.items()} == {"crm": 0, "a": 1, "b": 0, "c": 0}
    assert table.composed("acme", "a", "customer").mappings[0].source_field == "nick"


def test_every_publication_ends_with_its_marker_and_nothing_is_a_tombstone(
    mesh: Any, new_customer_set: Callable[..., MappingSet]
) -> None:
    mesh.worker()
    revision = mesh.publish(new_customer_set(name_from="nick"))
    _until_published(mesh, revision)
    messages = mesh.read(mesh.kafka.names.mapping_table)
    assert messages[-1].key() == MARKER
    assert json.loads(messages[-1].value()) == {"epoch": 1, "revision": revision}
    assert all(message.value() for message in messages)
    events = [json.loads(message.value()) for message in mesh.read(mesh.kafka.names.registry_events, 5)]
    published = [event for event in events if event["kind"] == "mapping_set_published"]
    assert [event["revision"] for event in published] == [1, revision]
    decisions = [event for event in events if event["kind"] == "decision"]
    assert [(e["audit_id"], e["action"], e["actor"], e["revision"]) for e in decisions] == [
        (1, "set", "test", 1),
        (2, "declare", "test", 1),
        (3, "set", "test", revision),
    ]
    assert decisions[2]["before"]["source_field"] == "name"
    assert decisions[2]["after"]["source_field"] == "nick"


def _until_published(mesh: Any, revision: int, *, epoch: int = 1, seconds: float = 30.0) -> Any:
    """The table, once the topic shows (epoch, revision)."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        assembler = TableAssembler()
        for message in mesh.read(mesh.kafka.names.mapping_table, quiet_seconds=0.6):
            assembler.take(message.key(), message.value())
        if assembler.table is not None and assembler.table.version >= (epoch, revision):
            return assembler.table
    raise AssertionError(f"not published: {mesh.logs()}")
