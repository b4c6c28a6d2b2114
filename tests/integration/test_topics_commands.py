"""`aam produce` and `aam tail` on a real broker: what is sent is what is read, and what is read is shown."""

import base64
import json
import random
import time
from collections.abc import Sequence
from pathlib import Path

import pytest
from aiokafka.partitioner import murmur2  # type: ignore[import-untyped]
from confluent_kafka.admin import NewTopic  # type: ignore[attr-defined]  # re-exported without a word
from typer.testing import CliRunner, Result

from cli.main import app
from infra.kafka.broker import RunningKafka
from topics.clients import make_admin, make_producer
from topics.raw_record import read_raw
from topics.read_topic import read_topic
from topics.settings import KafkaSettings

SOURCE = ["--tenant", "acme", "--connector", "stripe", "--entity", "customer"]


@pytest.fixture
def settings(kafka: RunningKafka, unique: str, monkeypatch: pytest.MonkeyPatch) -> KafkaSettings:
    monkeypatch.setenv("KAFKA_BOOTSTRAP_SERVERS", kafka.bootstrap_servers)
    monkeypatch.setenv("AAM_TOPIC_PREFIX", unique)
    monkeypatch.delenv("SCHEMA_REGISTRY_URL", raising=False)
    settings = KafkaSettings()
    topics = [
        NewTopic(name, num_partitions=3, replication_factor=1, config={"max.message.bytes": "1048588"})
        for name in (settings.names.raw_records, settings.names.canonical("customer"))
    ]
    admin = make_admin(settings)  # must outlive its futures
    for future in admin.create_topics(topics).values():
        future.result(timeout=30)
    while settings.names.raw_records not in admin.list_topics(timeout=10).topics:
        time.sleep(0.05)
    return settings


def run(arguments: Sequence[str], stdin: bytes | None = None) -> Result:
    return CliRunner().invoke(app, list(arguments), input=stdin)


def test_records_arrive_as_they_were(settings: KafkaSettings, tmp_path: Path) -> None:
    file = tmp_path / "customers.jsonl"
    file.write_bytes(b'{"id":"a","n":1.10}\n{"id":"b"}\n')
    result = run(["produce", str(file), *SOURCE, "--connection", "eu", "--record-id-field", "id"])
    assert (result.exit_code, result.stderr) == (0, f"2 records delivered to {settings.names.raw_records}\n")
    records = list(read_topic(settings, settings.names.raw_records))
    assert {record.key for record in records} == {b"acme"}
    assert len({record.partition for record in records}) == 1
    messages = [read_raw(record.headers, record.key, record.value) for record in records]
    assert [(message.record_id, message.body, message.origin.connection) for message in messages] == [
        ("a", b'{"id":"a","n":1.10}', "eu"),
        ("b", b'{"id":"b"}', "eu"),
    ]


def test_an_invalid_record_stops_it_and_is_named(settings: KafkaSettings) -> None:
    result = run(["produce", *SOURCE], b'{"id":"a"}\n[1]\n{"id":"b"}\n')
    assert result.exit_code == 5
    assert "1 records delivered" in result.stderr
    assert "line 2" in result.stderr
    assert len(list(read_topic(settings, settings.names.raw_records))) == 1


@pytest.mark.parametrize("size", [2_000_000, 5_000_000])  # the broker refuses the first, the client the second
def test_what_can_not_be_delivered_is_an_error(settings: KafkaSettings, size: int) -> None:
    noise = random.Random(0).randbytes(size * 3 // 4)  # in base64, hardly compressible
    value = json.dumps({"id": base64.b64encode(noise).decode()}).encode()
    result = run(["produce", *SOURCE], value)
    assert result.exit_code == 5
    assert "0 records delivered" in result.stderr
    assert "larger than the topic takes" in result.stderr


def test_partitions_are_those_of_java_and_aiokafka(settings: KafkaSettings) -> None:
    for tenant in (f"tenant-{number}" for number in range(12)):
        assert run(["produce", "--tenant", tenant, *SOURCE[2:]], b"{}").exit_code == 0
    for record in read_topic(settings, settings.names.raw_records):
        assert record.partition == (murmur2(record.key) & 0x7FFF_FFFF) % 3


def test_without_the_topic(settings: KafkaSettings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AAM_TOPIC_PREFIX", "absent")
    result = run(["produce", *SOURCE], b"{}")
    assert result.exit_code == 3
    assert "aam topics apply" in result.stderr


def test_events_are_shown(settings: KafkaSettings) -> None:
    producer = make_producer(settings)
    for tenant, name in (("acme", "A"), ("globex", "G"), ("acme", "B")):
        event = json.dumps({"aam": {"tenant_id": tenant}, "display_name": name}).encode()
        producer.produce(settings.names.canonical("customer"), key=tenant.encode(), value=event)
    producer.produce(settings.names.canonical("customer"), key=b"acme", value=b"\x00garbage")
    assert producer.flush(30) == 0

    everything = run(["tail", "customer", "--from", "beginning", "--no-follow"])
    assert everything.exit_code == 0
    assert sorted(json.loads(line)["display_name"] for line in everything.stdout.splitlines()) == ["A", "B", "G"]
    assert "schema" in everything.stderr
    acme = run(["tail", "customer", "--from", "beginning", "--tenant", "acme", "--limit", "1", "--json"])
    assert json.loads(acme.stdout)["display_name"] == "A"
    assert run(["tail", "customer", "--no-follow"]).stdout == ""
