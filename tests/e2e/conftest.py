"""A whole AAM for end-to-end tests: its own commands, in processes of their own, on the run's Kafka and Postgres."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from confluent_kafka import Consumer, Message, Producer, TopicPartition

from infra.free_ports import free_ports
from infra.kafka.broker import RunningKafka

READY_SECONDS = 60


@dataclass(frozen=True)
class System:
    """One installation under its own topic prefix."""

    bootstrap_servers: str
    prefix: str
    env: dict[str, str]
    folder: Path

    def aam(
        self, *arguments: str, stdin: bytes | None = None, check: bool = True
    ) -> subprocess.CompletedProcess[bytes]:
        """Runs an `aam` command to its end."""
        command = [sys.executable, "-m", "cli", *arguments]
        ended = subprocess.run(command, env=self.env, input=stdin, capture_output=True, timeout=120, check=False)
        assert not check or ended.returncode == 0, ended.stderr.decode()
        return ended

    @contextmanager
    def running(self, *arguments: str, port_variable: str, health: str) -> Iterator[str]:
        """Runs an `aam` command until the block ends; gives its HTTP address once it is ready."""
        (port,) = free_ports(1)
        env = self.env | {port_variable: str(port)}
        log_path = self.folder / f"{arguments[0]}-{port}.log"
        with log_path.open("wb") as log:
            process = subprocess.Popen([sys.executable, "-m", "cli", *arguments], env=env, stdout=log, stderr=log)
            try:
                self._await(f"http://127.0.0.1:{port}{health}", process, log_path)
                yield f"http://127.0.0.1:{port}"
            finally:
                process.send_signal(signal.SIGTERM)
                process.wait(30)

    def _await(self, url: str, process: "subprocess.Popen[bytes]", log: Path) -> None:
        deadline = time.monotonic() + READY_SECONDS
        while time.monotonic() < deadline and process.poll() is None:
            try:
                if httpx.get(url, timeout=2).status_code == 200:
                    return
            except httpx.TransportError:
                pass
            time.sleep(0.1)
        pytest.fail(f"not ready: {log.read_text()[-3000:]}")

    def topic(self, name: str) -> str:
        """`raw.records` → the topic's full name."""
        return f"{self.prefix}.{name}.v1"

    def produce(self, key: bytes | None, value: bytes | None, headers: list[tuple[str, Any]]) -> None:
        """One raw record, exactly as given."""
        limits = {"message.max.bytes": 4 * 1024 * 1024}  # the broker, not this client, says what is too large
        producer = Producer({"bootstrap.servers": self.bootstrap_servers, "partitioner": "murmur2_random"} | limits)
        producer.produce(self.topic("raw.records"), value, key, headers=headers)
        assert producer.flush(10) == 0

    def read(self, name: str, count: int, *, seconds: float = 30) -> list[Message]:
        """At least `count` committed records of a topic from its beginning, or the test fails."""
        consumer = Consumer(
            {
                "bootstrap.servers": self.bootstrap_servers,
                "group.id": f"{self.prefix}.tests",
                "isolation.level": "read_committed",
                "enable.auto.commit": False,
            }
        )
        topic = self.topic(name)
        partitions = consumer.list_topics(topic, timeout=10).topics[topic].partitions
        consumer.assign([TopicPartition(topic, partition, 0) for partition in partitions])
        found: list[Message] = []
        deadline = time.monotonic() + seconds
        try:
            while len(found) < count and time.monotonic() < deadline:
                found += [message for message in consumer.consume(500, timeout=0.3) if message.error() is None]
            found += [message for message in consumer.consume(500, timeout=0.5) if message.error() is None]
        finally:
            consumer.close()
        assert len(found) >= count, f"{topic}: {len(found)} of {count} records after {seconds} s"
        return found


@pytest.fixture
def system(kafka: RunningKafka, database_url: str, unique: str, tmp_path: Path) -> System:
    """Topics applied and seeds imported; no worker yet."""
    env = {key: value for key, value in os.environ.items() if not key.startswith("AAM_")}
    env |= {
        "KAFKA_BOOTSTRAP_SERVERS": kafka.bootstrap_servers,
        "DATABASE_URL": database_url,
        "AAM_TOPIC_PREFIX": unique,
        "AAM_CANONICAL_PARTITIONS": "4",
        "AAM_WORKER_SLOT": "0",
    }
    system = System(kafka.bootstrap_servers, unique, env, tmp_path)
    system.aam("topics", "apply")
    system.aam("migrate")
    system.aam("mappings", "seed")
    return system


@pytest.fixture
def worker(system: System) -> Iterator[str]:
    """A ready worker; its HTTP address."""
    with system.running("worker", port_variable="AAM_WORKER_PORT", health="/health/ready") as address:
        yield address


@pytest.fixture
def gateway(system: System) -> Iterator[str]:
    """A ready gateway; its HTTP address."""
    with system.running("gateway", port_variable="AAM_GATEWAY_PORT", health="/health/ready") as address:
        yield address
