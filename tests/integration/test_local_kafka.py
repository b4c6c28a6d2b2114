"""The local Kafka for real: what a client sees, who ends it, what it keeps, and two of them side by side."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from zipfile import ZipFile

import psutil
import pytest
from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic
from typer.testing import CliRunner

from cli.kafka import app
from infra.kafka.broker import LocalKafka, RunningKafka
from infra.kafka.jars import fetch_jars
from infra.kafka.tools import MAIN_CLASSES, main_class_of

GONE_SECONDS = 15.0
LARGE_BYTES = 4 * 1024 * 1024

OWNER = """
import signal, sys, time
from pathlib import Path
from infra.kafka.broker import owned_kafka
from confluent_kafka.admin import AdminClient
signal.signal(signal.SIGINT, signal.default_int_handler)  # a run in the background inherits an ignored one
with owned_kafka(Path(sys.argv[1])) as kafka:
    try:  # before the address is told: the interrupt may come at once
        print(kafka.bootstrap_servers, flush=True)
        time.sleep(600)
    except KeyboardInterrupt:  # the broker must still be there for an orderly end
        time.sleep(1)
        admin = AdminClient({"bootstrap.servers": kafka.bootstrap_servers})
        print(len(admin.describe_cluster(request_timeout=5).result().nodes), flush=True)
"""


def _processes_of(root: Path) -> list[int]:
    """Pids of the servers whose files are under `root`, their supervisors and owners excluded."""
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            if "java" in process.name() and any(str(root) in word for word in process.cmdline()):
                found.append(process.pid)
    return found


def _wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + GONE_SECONDS
    while not condition():
        assert time.monotonic() < deadline, "it did not come about in time"
        time.sleep(0.1)


@contextlib.contextmanager
def _owner(root: Path) -> Iterator["tuple[subprocess.Popen[str], str]"]:
    command = [sys.executable, "-c", OWNER, str(root)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, start_new_session=True) as owner:
        try:
            assert owner.stdout is not None
            yield owner, owner.stdout.readline().strip()
        finally:
            owner.kill()


def _make_topic(bootstrap_servers: str, name: str, *, largest_message_bytes: int = 1_000_000) -> None:
    topic = NewTopic(name, 1, 1, config={"max.message.bytes": str(largest_message_bytes)})
    admin = AdminClient({"bootstrap.servers": bootstrap_servers})  # must live until the answer is there
    admin.create_topics([topic])[name].result(30)


def _produce(bootstrap_servers: str, topic: str, value: bytes) -> None:
    producer = Producer({"bootstrap.servers": bootstrap_servers, "message.max.bytes": 5_000_000})
    delivered: list[bool] = []
    producer.produce(topic, value, on_delivery=lambda error, _message: delivered.append(error is None))
    assert producer.flush(30) == 0
    assert delivered == [True]


def _consume_one(bootstrap_servers: str, topic: str, group: str) -> bytes | None:
    config = {"bootstrap.servers": bootstrap_servers, "group.id": group, "auto.offset.reset": "earliest"}
    consumer = Consumer(config)
    try:
        consumer.subscribe([topic])
        message = consumer.poll(30)
        assert message is not None
        assert message.error() is None
        value = message.value()
        return bytes(value) if value is not None else None
    finally:
        consumer.close()


def test_a_large_record_goes_through(kafka: RunningKafka, unique: str) -> None:
    topic, value = f"large-{unique}", os.urandom(LARGE_BYTES)
    _make_topic(kafka.bootstrap_servers, topic, largest_message_bytes=LARGE_BYTES + 1000)
    _produce(kafka.bootstrap_servers, topic, value)
    assert _consume_one(kafka.bootstrap_servers, topic, f"group-{unique}") == value


def test_a_topic_that_nobody_made_does_not_come_about(kafka: RunningKafka, unique: str) -> None:
    delivered: list[bool] = []  # `error is None`: with ==, a KafkaError leaves a TypeError behind (confluent 2.16.1)
    producer = Producer({"bootstrap.servers": kafka.bootstrap_servers, "message.timeout.ms": 3000})
    producer.produce(f"mistyped-{unique}", b"x", on_delivery=lambda error, _message: delivered.append(error is None))
    producer.flush(30)
    assert delivered == [False]
    admin = AdminClient({"bootstrap.servers": kafka.bootstrap_servers})
    assert f"mistyped-{unique}" not in admin.list_topics(timeout=10).topics


def test_an_abandoned_transaction_ends_within_seconds(kafka: RunningKafka, unique: str) -> None:
    topic = f"transaction-{unique}"
    _make_topic(kafka.bootstrap_servers, topic)
    config = {"bootstrap.servers": kafka.bootstrap_servers, "transactional.id": unique, "transaction.timeout.ms": 2000}
    producer = Producer(config)
    producer.init_transactions(30)
    producer.begin_transaction()
    producer.produce(topic, b"never committed")
    producer.flush(30)
    _produce(kafka.bootstrap_servers, topic, b"after it")
    started = time.monotonic()
    assert _consume_one(kafka.bootstrap_servers, topic, f"group-{unique}") == b"after it"  # read_committed by default
    assert time.monotonic() - started < 15


def test_owner_killed_ends_broker_and_data(fresh_root: Path) -> None:
    with _owner(fresh_root) as (owner, address):
        assert address.startswith("127.0.0.1:")
        assert len(_processes_of(fresh_root)) == 1
        owner.send_signal(signal.SIGKILL)
        owner.wait()
        _wait_until(lambda: not _processes_of(fresh_root))
        _wait_until(lambda: not list((fresh_root / "owned").iterdir()))


def test_interrupted_owner_finishes_with_its_broker_alive(fresh_root: Path) -> None:
    with _owner(fresh_root) as (owner, _):
        os.killpg(owner.pid, signal.SIGINT)  # as a terminal does: to the whole process group
        output, _ = owner.communicate(timeout=60)
        assert output.strip() == "1"
        assert owner.returncode == 0
    assert not _processes_of(fresh_root)
    assert not list((fresh_root / "owned").iterdir())


def test_detached_keeps_its_data_also_on_other_ports_and_leaves_a_neighbour_alone(fresh_root: Path) -> None:
    ours, theirs = LocalKafka(fresh_root / "ours"), LocalKafka(fresh_root / "theirs")
    try:
        with ThreadPoolExecutor(3) as pool:  # two of them for the same root
            first, same, other = pool.map(lambda one: one.start(), (ours, LocalKafka(fresh_root / "ours"), theirs))
        assert first.pid == same.pid != other.pid
        assert first.address is not None
        _make_topic(first.address, "kept")
        _produce(first.address, "kept", b"value")
        assert ours.stop()
        assert theirs.status() == other
        state = fresh_root / "ours" / "kafka" / "state.json"
        state.write_text(json.dumps({"ports": []}))  # as if the old ports were taken
        again = ours.start()
        assert again.address not in (None, first.address)
        assert _consume_one(again.address or "", "kept", "group") == b"value"
    finally:
        ours.stop()
        theirs.stop()
    assert not _processes_of(fresh_root)


@pytest.fixture
def on_cluster(kafka: RunningKafka, monkeypatch: pytest.MonkeyPatch, fresh_root: Path) -> str:
    """The command line's environment, with the run's Kafka as the one in use."""
    monkeypatch.setenv("KAFKA_BOOTSTRAP_SERVERS", kafka.bootstrap_servers)
    monkeypatch.setenv("AAM_HOME", str(fresh_root))
    return kafka.bootstrap_servers


def test_tools_talk_to_the_kafka_in_use_and_pass_their_exit_code(
    on_cluster: str, unique: str, capfd: pytest.CaptureFixture[str]
) -> None:
    _make_topic(on_cluster, f"listed-{unique}")
    assert CliRunner().invoke(app, ["tool", "kafka-topics", "--list"]).exit_code == 0
    assert f"listed-{unique}" in capfd.readouterr().out.splitlines()
    failed = CliRunner().invoke(app, ["tool", "kafka-topics", "--describe", "--topic", f"none-{unique}"])
    assert failed.exit_code == 1
    assert CliRunner().invoke(app, ["tool", "kafka-acls", "--list"]).exit_code == 0


def test_start_with_a_cluster_set_says_so_and_starts_nothing(on_cluster: str, fresh_root: Path) -> None:
    result = CliRunner().invoke(app, ["start"])
    assert result.exit_code == 0
    assert on_cluster in result.stderr
    assert not (fresh_root / "kafka").exists()
    status = CliRunner().invoke(app, ["status", "--json"])
    assert status.exit_code == 1
    assert json.loads(status.stdout)["in_use"] == on_cluster


def test_every_tool_has_its_class_in_the_jars() -> None:
    classes = {name for jar in fetch_jars() for name in ZipFile(jar).namelist()}
    for name in MAIN_CLASSES:
        assert main_class_of(name).replace(".", "/") + ".class" in classes


def test_a_transaction_that_was_open_when_the_broker_was_killed_is_decided(fresh_root: Path) -> None:
    """A broker that is back before it counts as dead would leave it open for good, and all that follows unreadable."""
    kafka = LocalKafka(fresh_root)
    try:
        address = kafka.start().address
        assert address is not None
        _make_topic(address, "open")
        producer = Producer(
            {"bootstrap.servers": address, "transactional.id": "t", "transaction.timeout.ms": 1_000, "log_level": 0}
        )
        producer.init_transactions(30)
        producer.begin_transaction()
        producer.produce("open", b"never committed")
        producer.flush(10)
        pid = kafka.status().pid
        assert pid is not None
        time.sleep(1)  # its time is over when the broker comes back
        os.kill(pid, signal.SIGKILL)
        _wait_until(lambda: kafka.status().pid is None)
        assert kafka.start().address == address
        _wait_until(lambda: _end(address, "read_committed") == _end(address, "read_uncommitted"))
        assert _end(address, "read_committed") == 2, "the record and the marker that aborts it"
    finally:
        kafka.stop()


def _end(address: str, isolation: str) -> int:
    """Where a reader of topic `open` finds the end of what it may read."""
    reader = Consumer({"bootstrap.servers": address, "group.id": "end", "isolation.level": isolation, "log_level": 0})
    try:
        end: int = reader.get_watermark_offsets(TopicPartition("open", 0), timeout=10)[1]
    finally:
        reader.close()
    return end
