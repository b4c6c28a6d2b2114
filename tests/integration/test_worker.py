"""The worker on a real Kafka and Postgres: every record comes out once, as what it is."""

import json
import time
from collections.abc import Callable
from typing import Any

from mapping.mapping_set import MappingSet

KNOWN: list[tuple[str, Any]] = [("tenant", b"acme"), ("connector", b"crm"), ("entity", b"customer")]
UNKNOWN: list[tuple[str, Any]] = [("tenant", b"acme"), ("connector", b"homegrown"), ("entity", b"customer")]
ALL = "canonicalize,publish_mappings,observe_schema,release_parked"


def person(number: int, **fields: Any) -> dict[str, Any]:
    return {"id": f"c{number}", "name": f"n{number}", **fields}


def names(events: list[dict[str, Any]]) -> list[str]:
    return sorted(event["display_name"] for event in events)


def test_records_come_out_once_and_in_order_of_their_partition(mesh: Any) -> None:
    worker = mesh.worker()
    mesh.produce([(person(n), KNOWN) for n in range(300)])
    events = mesh.events(300)
    assert names(events) == sorted(f"n{n}" for n in range(300))
    assert [event["aam"]["raw"]["offset"] for event in events] == list(range(300))
    assert worker.metric("aam_records_in_total") == 300
    assert worker.stop() == 0


def test_a_restarted_worker_goes_on_where_the_last_one_stopped(mesh: Any) -> None:
    worker = mesh.worker()
    mesh.produce([(person(n), KNOWN) for n in range(50)])
    mesh.events(50)
    assert worker.stop() == 0
    mesh.produce([(person(n), KNOWN) for n in range(50, 80)])
    started = time.monotonic()
    mesh.worker()
    assert names(mesh.events(80)) == sorted(f"n{n}" for n in range(80))
    assert time.monotonic() - started < 20


def test_bad_records_are_dead_letters_with_their_bytes(mesh: Any) -> None:
    mesh.worker()
    mesh.produce([(person(1), KNOWN), (b"no json", KNOWN), (person(2), KNOWN[1:]), (person(3), KNOWN)])
    assert names(mesh.events(2)) == ["n1", "n3"]
    letters = {letter.value(): letter for letter in mesh.read(mesh.kafka.names.dead_letters, 2)}
    assert set(letters) == {b"no json", json.dumps(person(2)).encode()}
    headers = dict(letters[b"no json"].headers() or [])
    assert headers["aam-error-kind"] == b"invalid_record"
    assert headers["__connect.errors.stage"] == b"decode"
    assert headers["aam-raw-offset"] == b"1"


def test_novel_fields_are_announced_once_without_values(mesh: Any) -> None:
    mesh.worker()
    extra = {"mail": "ann@example.com", "internal": 1, "nested": {"vat": "DE123"}, "empty": None}
    mesh.produce([(person(n, **extra), KNOWN) for n in range(20)])
    mesh.events(20)
    mesh.produce([(person(n, **extra), KNOWN) for n in range(20)])
    mesh.events(40)
    messages = mesh.read(mesh.kafka.names.fields_novel, 2)
    fields = {field["path"]: field for field in (json.loads(message.value() or b"") for message in messages)}
    assert len(messages) == len(fields)
    assert set(fields) == {"mail", "nested.vat"}
    assert fields["mail"]["shapes"] == ["aaa@aaaaaaa.aaa"]
    assert fields["mail"]["types"] == ["string"]
    assert fields["mail"]["reason"] == "unmapped"


def test_an_unknown_source_is_parked_and_released_with_its_first_coordinates(
    mesh: Any, new_customer_set: Callable[..., MappingSet]
) -> None:
    mesh.worker(ALL)
    mesh.produce([(person(n), UNKNOWN) for n in range(30)])
    mesh.read(mesh.kafka.names.raw_parked, 30)
    listed = mesh.aam("parked", "list", "--json")
    assert json.loads(listed.stdout)["pending"] == 30, listed.stderr
    mesh.publish(new_customer_set(connector="homegrown"))
    events = mesh.events(30)
    assert names(events) == sorted(f"n{n}" for n in range(30))
    assert [event["aam"]["raw"]["offset"] for event in events] == list(range(30))
    assert {event["aam"]["raw"]["topic"] for event in events} == {mesh.kafka.names.raw_records}
    assert mesh.aam("parked", "list", "--json").stdout == ""
    mesh.produce([(person(30), UNKNOWN)])
    assert len(mesh.events(31, quiet_seconds=3.0)) == 31


def test_parked_records_can_be_released_by_hand_exactly_once(
    mesh: Any, new_customer_set: Callable[..., MappingSet]
) -> None:
    mesh.worker()
    mesh.produce([(person(n), UNKNOWN) for n in range(12)])
    mesh.read(mesh.kafka.names.raw_parked, 12)
    without = mesh.aam("parked", "release")
    assert without.returncode == 1
    assert "no mapping set" in without.stderr
    revision = mesh.publish(new_customer_set(connector="homegrown"))
    mesh.read(mesh.kafka.names.registry_events, 2)
    released = mesh.aam("parked", "release", "--connector", "homegrown")
    assert "12 parked records released" in released.stderr, released.stderr
    assert "0 parked records released" in mesh.aam("parked", "release").stderr
    events = mesh.events(12, quiet_seconds=3.0)
    assert names(events) == sorted(f"n{n}" for n in range(12))
    assert {event["aam"]["mapping_revision"] for event in events} == {revision}


def test_a_changed_mapping_is_in_force_within_two_seconds(
    mesh: Any, new_customer_set: Callable[..., MappingSet]
) -> None:
    mesh.worker()
    mesh.produce([(person(1, nick="old"), KNOWN)])
    mesh.events(1)
    mesh.publish(new_customer_set(name_from="nick"))
    time.sleep(2.0)
    mesh.produce([(person(2, nick="new"), KNOWN)])
    assert names(mesh.events(2)) == ["n1", "new"]


def test_a_tenants_own_mapping_is_its_own(mesh: Any, new_customer_set: Callable[..., MappingSet]) -> None:
    mesh.publish(new_customer_set(name_from="nick", tenant="globex"))
    mesh.worker()
    mesh.produce([(person(1, nick="x"), KNOWN), (person(2, nick="y"), [("tenant", b"globex"), *KNOWN[1:]])])
    found = {event["aam"]["tenant_id"]: event["display_name"] for event in mesh.events(2)}
    assert found == {"acme": "n1", "globex": "y"}


def test_without_a_snapshot_no_record_is_touched(mesh: Any) -> None:
    worker = mesh.worker("canonicalize", wait=False)
    mesh.produce([(person(1), KNOWN)])
    time.sleep(6)
    assert not worker.ready()
    assert worker.process.poll() is None
    assert mesh.read(mesh.kafka.names.raw_parked) == []
    mesh.worker("publish_mappings", slot=1)
    assert names(mesh.events(1)) == ["n1"]


def test_missing_topics_are_named_at_the_start(mesh: Any) -> None:
    worker = mesh.worker(wait=False, AAM_TOPIC_PREFIX="nothing-here")
    assert worker.process.wait(30) == 3
    assert "aam topics apply" in worker.log.read_text()


def test_canonicalize_works_without_postgres(mesh: Any) -> None:
    first = mesh.worker()
    assert first.stop() == 0
    mesh.worker(ALL, DATABASE_URL="postgresql://nobody@127.0.0.1:9/none")
    mesh.produce([(person(1), KNOWN)])
    assert names(mesh.events(1)) == ["n1"]


def test_a_new_schema_is_stored_and_its_new_fields_are_announced(mesh: Any) -> None:
    mesh.worker(ALL)
    change = {
        "tenant": "acme",
        "connector": "crm",
        "entity": "customer",
        "connection": "crm",
        "source": "openapi",
        "fields": [{"path": path, "types": ["string"]} for path in ("id", "name", "internal", "vat")],
        "observed_at": "2026-01-01T00:00:00Z",
    }
    topic = mesh.kafka.names.schema_changes
    mesh.produce([(change, []), (b"{}", []), (change | {"observed_at": "2026-01-02T00:00:00Z"}, [])], topic=topic)
    (message,) = mesh.read(mesh.kafka.names.fields_novel, 1)
    announced = json.loads(message.value() or b"")
    assert (announced["path"], announced["reason"]) == ("vat", "schema_change")
    (letter,) = mesh.read(mesh.kafka.names.dead_letters, 1)
    assert dict(letter.headers() or [])["__connect.errors.topic"] == topic.encode()
