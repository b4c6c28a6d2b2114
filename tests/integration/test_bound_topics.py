"""Topics that a user already has: Debezium, Kafka Connect and Airbyte records come out as canonical events."""

import json
from pathlib import Path
from typing import Any

import yaml
from confluent_kafka import Producer
from confluent_kafka.admin import NewTopic  # type: ignore[attr-defined]  # re-exported without a word

from schemas import headers as names
from topics.clients import make_admin
from topics.kafka_record import last_header

ROW = {"id": 1, "name": "One"}
SOURCE = {"connector": "postgresql", "table": "customer", "ts_ms": 1_700_000_000_000}


def change(op: str, before: Any, after: Any) -> bytes:
    return json.dumps({"op": op, "before": before, "after": after, "source": SOURCE, "ts_ms": 1}).encode()


def records(prefix: str) -> list[tuple[str, bytes | None, bytes | None, list[tuple[str, Any]]]]:
    """(topic, key, value, headers), as the three producers write them."""
    key = b'{"id":1}'
    connect = {"schema": {"type": "struct", "fields": []}, "payload": {"id": 2, "name": "Two"}}
    airbyte = {"_airbyte_raw_id": "a", "_airbyte_extracted_at": 1, "_airbyte_data": {"id": 3, "name": "Three"}}
    return [
        (f"{prefix}.cdc.customer", key, change("c", None, ROW), []),
        (f"{prefix}.cdc.customer", key, change("d", ROW, None), []),
        (f"{prefix}.cdc.customer", key, None, []),
        (f"{prefix}.cdc.customer", key, change("c", None, ROW), [("tenant", b"globex")]),
        (f"{prefix}.connect", None, json.dumps(connect).encode(), []),
        (f"{prefix}.airbyte", b"uuid", json.dumps(airbyte).encode(), []),
        (f"{prefix}.airbyte", b"uuid", b'{"no": "airbyte"}', []),
    ]


def test_records_of_other_producers_become_events(mesh: Any, unique: str, tmp_path: Path) -> None:
    prefix = f"shop-{unique}"
    admin = make_admin(mesh.kafka)
    topics = [NewTopic(f"{prefix}.{name}", 1) for name in ("cdc.customer", "connect", "airbyte")]
    for future in admin.create_topics(topics).values():
        future.result(30)
    bindings = tmp_path / "topics.yaml"
    bound = {"tenant": "acme", "connector": "crm", "entity": "customer"}
    bindings.write_text(
        yaml.safe_dump(
            {
                f"{prefix}.cdc.{{entity}}": bound | {"entity": "{entity}", "form": "debezium"},
                f"{prefix}.connect": bound | {"form": "connect", "connection": "crm-eu"},
                f"{prefix}.airbyte": bound | {"form": "airbyte"},
            }
        )
    )
    mesh.env["AAM_RAW_TOPICS"] = str(bindings)
    mesh.worker()
    producer = Producer({"bootstrap.servers": mesh.kafka.bootstrap_servers})
    for topic, key, value, headers in records(prefix):
        producer.produce(topic, value, key, headers=headers)
    assert producer.flush(30) == 0

    events = {
        (event["aam"]["raw"]["topic"].removeprefix(f"{prefix}."), event["aam"]["raw"]["offset"]): (
            event["aam"]["op"],
            event["aam"]["source_id"],
            event["display_name"],
            event["aam"]["connection"],
        )
        for event in mesh.events(5)
    }
    assert events == {
        ("cdc.customer", 0): ("upsert", "1", "One", "crm"),
        ("cdc.customer", 1): ("delete", "1", "One", "crm"),
        ("cdc.customer", 2): ("delete", "1", None, "crm"),
        ("connect", 0): ("upsert", "2", "Two", "crm-eu"),
        ("airbyte", 0): ("upsert", "3", "Three", "crm"),
    }
    letters = {
        (last_header(letter.headers(), names.ERROR_TOPIC), last_header(letter.headers(), names.ERROR_MESSAGE))
        for letter in mesh.read(mesh.kafka.names.dead_letters, 2)
    }
    assert letters == {
        (f"{prefix}.cdc.customer".encode(), b"the topic is bound to another tenant than the record names"),
        (f"{prefix}.airbyte".encode(), b"no record of Airbyte: `_airbyte_data` is missing"),
    }

    # A retry must not write into a topic that is another's; it is read by the same binding all the same.
    assert mesh.aam("deadletters", "retry", "--all").returncode == 0
    again = mesh.read(mesh.kafka.names.dead_letters, 6)  # two letters, two markers, two letters
    failed = [letter for letter in again if last_header(letter.headers(), names.ERROR_ATTEMPTS) == b"2"]
    assert {last_header(letter.headers(), names.ERROR_TOPIC) for letter in failed} == {
        mesh.kafka.names.raw_records.encode()
    }
    assert {last_header(letter.headers(), names.ERROR_MESSAGE) for letter in failed} == {
        message for _, message in letters
    }
