"""A transaction that nobody ends, found by the doctor's question and ended by Kafka's own tool."""

import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic
from typer.testing import CliRunner

from cli import doctor
from cli.main import app
from infra.kafka.broker import RunningKafka
from topics.hanging_transactions import hanging_transactions
from topics.settings import KafkaSettings


def test_a_transaction_that_hangs_is_found_and_can_be_ended(
    kafka: RunningKafka,
    unique: str,
    fresh_root: Path,
    wait_until: Callable[..., None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("KAFKA_BOOTSTRAP_SERVERS", kafka.bootstrap_servers)
    monkeypatch.setenv("AAM_TOPIC_PREFIX", unique)
    monkeypatch.setenv("AAM_HOME", str(fresh_root))
    settings = KafkaSettings()
    topic = settings.names.dead_letters
    admin = AdminClient({"bootstrap.servers": kafka.bootstrap_servers})  # must live until the answer is there
    admin.create_topics([NewTopic(topic, 2, 1)])[topic].result(30)
    producer = Producer({"bootstrap.servers": kafka.bootstrap_servers, "transactional.id": unique})
    producer.init_transactions(30)
    producer.begin_transaction()
    producer.produce(topic, b"first", partition=1)
    producer.commit_transaction(30)
    producer.begin_transaction()
    producer.produce(topic, b"for ever", partition=1)
    producer.flush(10)
    assert hanging_transactions(settings, [topic, "no-such-topic"]) == [], "a young one is nothing to worry about"
    (found,) = hanging_transactions(settings, [topic], open_seconds=0, clock=lambda: time.time() + 60)
    assert (found.topic, found.partition, found.offset) == (topic, 1, 2)
    assert found.seconds == pytest.approx(60, abs=30)
    monkeypatch.setattr(doctor, "hanging_transactions", partial(hanging_transactions, open_seconds=0))
    check = doctor.CHECKS["transactions"]("transactions")
    assert check.health is doctor.Health.FAIL
    _, _, command = check.fix.split("`")[1].partition("aam ")
    assert CliRunner().invoke(app, command.split()).exit_code == 0
    wait_until(lambda: doctor.CHECKS["transactions"]("transactions").health is doctor.Health.OK)
