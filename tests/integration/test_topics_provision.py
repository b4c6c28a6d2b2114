"""Topics on a real broker: created as the catalogue says, compared, and never changed without being told to."""

import json
import time
from collections.abc import Iterator

import pytest
from confluent_kafka.admin import AdminClient, NewTopic  # type: ignore[attr-defined]  # re-exported without a word
from typer.testing import CliRunner

from cli.main import app
from infra.kafka.broker import RunningKafka
from topics.clients import make_admin
from topics.provision import Aspect, apply, plan
from topics.settings import KafkaSettings

FEW = 2  # canonical partitions: a hundred for each entity is slow, and the same


@pytest.fixture
def settings(kafka: RunningKafka, unique: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[KafkaSettings]:
    monkeypatch.setenv("KAFKA_BOOTSTRAP_SERVERS", kafka.bootstrap_servers)
    monkeypatch.setenv("AAM_TOPIC_PREFIX", unique)
    monkeypatch.setenv("AAM_CANONICAL_PARTITIONS", str(FEW))
    settings = KafkaSettings()
    yield settings
    admin = make_admin(settings)
    there = [name for name in admin.list_topics(timeout=10).topics if name.startswith(f"{unique}.")]
    for future in admin.delete_topics(there).values() if there else ():
        future.result(timeout=30)


def create(admin: AdminClient, name: str, partitions: int, **config: str) -> None:
    topic = NewTopic(name, num_partitions=partitions, replication_factor=1, config=config)
    admin.create_topics([topic])[name].result(timeout=30)
    while name not in admin.list_topics(timeout=10).topics:
        time.sleep(0.05)


def test_what_is_missing_is_created_and_then_nothing_differs(settings: KafkaSettings) -> None:
    admin, catalogue = make_admin(settings), settings.catalogue()
    differences = plan(admin, catalogue)
    assert [difference.topic for difference in differences] == list(catalogue.topics)
    assert apply(admin, catalogue, differences) == differences
    assert plan(admin, catalogue) == []
    topics = admin.list_topics(timeout=10).topics
    assert {name: len(topics[name].partitions) for name in catalogue.topics} == {
        spec.name: spec.partitions for spec in catalogue
    }


def test_somebody_faster_is_no_error(settings: KafkaSettings) -> None:
    admin, catalogue = make_admin(settings), settings.catalogue()
    differences = plan(admin, catalogue)
    apply(admin, catalogue, differences)
    apply(admin, catalogue, differences)


def test_what_differs_is_reported_and_only_properties_change_and_only_when_asked(settings: KafkaSettings) -> None:
    admin, catalogue, names = make_admin(settings), settings.catalogue(), settings.names
    create(admin, names.raw_records, 3, **{"retention.ms": "1000", "max.message.bytes": "1048588"})
    apply(admin, catalogue, [d for d in plan(admin, catalogue) if d.aspect is Aspect.MISSING])

    differences = plan(admin, catalogue)
    assert [(d.aspect, d.name, d.wanted, d.actual) for d in differences] == [
        (Aspect.PARTITIONS, "", "6", "3"),
        (Aspect.PROPERTY, "retention.ms", str(7 * 24 * 3_600_000), "1000"),
    ]
    assert apply(admin, catalogue, differences) == []
    assert plan(admin, catalogue) == differences
    assert apply(admin, catalogue, differences, alter=True) == differences[1:]
    deadline = time.monotonic() + 10  # a broker learns of it a moment later
    while plan(admin, catalogue) != differences[:1] and time.monotonic() < deadline:
        time.sleep(0.05)
    assert plan(admin, catalogue) == differences[:1]


def test_the_commands(settings: KafkaSettings) -> None:
    run = CliRunner().invoke
    differing = run(app, ["topics", "diff", "--json"])
    assert differing.exit_code == 1
    assert len(differing.stdout.splitlines()) == len(settings.catalogue())
    assert json.loads(differing.stdout.splitlines()[0])["aspect"] == "missing"
    assert run(app, ["topics", "apply"]).exit_code == 0
    assert run(app, ["topics", "diff"]).exit_code == 0
    assert settings.names.raw_records in run(app, ["topics", "list"]).stdout


def test_a_broker_that_is_away(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KAFKA_BOOTSTRAP_SERVERS", "127.0.0.1:1")
    monkeypatch.setattr("topics.provision.REACH_TIMEOUT_SECONDS", 1.0)
    result = CliRunner().invoke(app, ["topics", "diff"])
    assert result.exit_code == 4
    assert result.stderr.startswith("aam: Kafka did not answer")
