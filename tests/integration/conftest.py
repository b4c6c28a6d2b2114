"""A small AAM for tests of the worker: topics under a prefix of their own, a registry, worker processes."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest
from confluent_kafka import Consumer, Message, Producer, TopicPartition
from pydantic import SecretStr

from infra.free_ports import free_ports
from infra.kafka.broker import LocalKafka, RunningKafka
from infra.postgres.server import LocalPostgres
from mapping.mapping_set import ANY_TENANT, Mapping, MappingSet
from registry.mapping_store import MappingStore
from registry.pool import open_pool
from registry.settings import RegistrySettings
from topics import provision
from topics.clients import make_admin
from topics.settings import KafkaSettings

Headers = list[tuple[str, Any]]


@dataclass
class WorkerProcess:
    """An `aam worker` in a process of its own."""

    process: "subprocess.Popen[bytes]"
    url: str
    log: Path

    def ready(self) -> bool:
        try:
            return httpx.get(f"{self.url}/health/ready", timeout=2).status_code == 200
        except httpx.TransportError:
            return False

    def metric(self, name: str) -> float:
        """The sum of a metric over its labels."""
        text = httpx.get(f"{self.url}/metrics", timeout=5).text
        lines = [line for line in text.splitlines() if line.startswith((name + " ", name + "{"))]
        return sum(float(line.rsplit(" ", 1)[1]) for line in lines)

    def stop(self) -> int:
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(30)

    def kill(self) -> None:
        self.process.kill()
        self.process.wait(10)


@dataclass
class Mesh:
    """One installation. Everything it starts ends with the test."""

    kafka: KafkaSettings
    env: dict[str, str]
    folder: Path
    database_url: str
    workers: list[WorkerProcess] = field(default_factory=list)

    def worker(
        self, agents: str = "canonicalize,publish_mappings", *, slot: int = 0, wait: bool = True, **env: str
    ) -> WorkerProcess:
        """A started worker; with `wait`, a ready one."""
        (port,) = free_ports(1)
        log = self.folder / f"worker-{slot}-{len(self.workers)}.log"
        given = self.env | {"AAM_WORKER_PORT": str(port), "AAM_WORKER_SLOT": str(slot)} | env
        with log.open("wb") as out:
            command = [sys.executable, "-m", "cli", "worker", "--agents", agents]
            process = subprocess.Popen(command, env=given, stdout=out, stderr=out)
        started = WorkerProcess(process, f"http://127.0.0.1:{port}", log)
        self.workers.append(started)
        if wait:
            eventually(lambda: started.ready() or process.poll() is not None, seconds=60)
            assert process.poll() is None, log.read_text()[-3000:]
        return started

    def aam(self, *arguments: str) -> "subprocess.CompletedProcess[str]":
        command = [sys.executable, "-m", "cli", *arguments]
        return subprocess.run(command, env=self.env, capture_output=True, text=True, timeout=120, check=False)

    def produce(self, records: list[tuple[Any, Headers]], *, topic: str | None = None) -> None:
        """Raw records, in order; a value that is no bytes is sent as JSON."""
        producer = Producer({"bootstrap.servers": self.kafka.bootstrap_servers, "partitioner": "murmur2_random"})
        for value, headers in records:
            body = value if value is None or isinstance(value, bytes) else json.dumps(value).encode()
            key = dict(headers).get("tenant")
            producer.produce(topic or self.kafka.names.raw_records, body, key, headers=headers)
            producer.poll(0)
        assert producer.flush(30) == 0

    def read(self, topic: str, count: int = 0, *, seconds: float = 30.0, quiet_seconds: float = 1.0) -> list[Message]:
        """All committed records of a topic: at least `count`, and until nothing more came for `quiet_seconds`."""
        consumer = Consumer(
            {
                "bootstrap.servers": self.kafka.bootstrap_servers,
                "group.id": "tests",
                "isolation.level": "read_committed",
                "enable.auto.commit": False,
            }
        )
        partitions = consumer.list_topics(topic, timeout=10).topics[topic].partitions
        consumer.assign([TopicPartition(topic, partition, 0) for partition in partitions])
        found: list[Message] = []
        deadline = time.monotonic() + seconds
        last = time.monotonic()
        try:
            while time.monotonic() < deadline and (len(found) < count or time.monotonic() - last < quiet_seconds):
                messages = [message for message in consumer.consume(1000, 0.2) if message.error() is None]
                found += messages
                last = time.monotonic() if messages else last
        finally:
            consumer.close()
        assert len(found) >= count, f"{topic}: {len(found)} of {count}; {self.logs()}"
        return found

    def events(self, count: int, **given: Any) -> list[dict[str, Any]]:
        """The canonical customers, read from JSON."""
        return [json.loads(message.value() or b"") for message in self.read(self.customers, count, **given)]

    @property
    def customers(self) -> str:
        return self.kafka.names.canonical("customer")

    def publish(self, mapping_set: MappingSet) -> int:
        """Into the registry; a worker with publish_mappings does the rest. The revision."""
        settings = RegistrySettings(DATABASE_URL=SecretStr(self.database_url))  # type: ignore[call-arg]  # an alias
        with open_pool(settings) as pool:
            return MappingStore(pool).import_set(mapping_set, method="manual", actor="test")

    def logs(self) -> str:
        return "\n".join(worker.log.read_text()[-2000:] for worker in self.workers)


def eventually(true: Callable[[], bool], *, seconds: float = 30.0) -> None:
    """Waits until `true()`; fails after `seconds`."""
    deadline = time.monotonic() + seconds
    while not true():
        if time.monotonic() > deadline:
            pytest.fail(f"not so within {seconds} s")
        time.sleep(0.05)


def customer_set(*, connector: str = "crm", name_from: str = "name", tenant: str = ANY_TENANT) -> MappingSet:
    """`<connector>/customer` → customer.display_name, primary key `id`."""
    return MappingSet(
        tenant=tenant,
        connector=connector,
        entity="customer",
        epoch=0,
        revision=0,
        primary_key=("id",),
        ignored=("internal",),
        mappings=(Mapping(canonical_entity="customer", canonical_field="display_name", source_field=name_from),),
    )


@pytest.fixture
def new_customer_set() -> Callable[..., MappingSet]:
    return customer_set


@pytest.fixture
def wait_until() -> Callable[..., None]:
    return eventually


@contextmanager
def installation(bootstrap_servers: str, database_url: str, prefix: str, folder: Path) -> Iterator[Mesh]:
    """Topics applied; the registry holds `crm/customer`; no worker yet."""
    env = {name: value for name, value in os.environ.items() if not name.startswith("AAM_")}
    env |= {
        "KAFKA_BOOTSTRAP_SERVERS": bootstrap_servers,
        "DATABASE_URL": database_url,
        "AAM_TOPIC_PREFIX": prefix,
        "AAM_CANONICAL_PARTITIONS": "4",
        "AAM_EVENT_FORMAT": "json",
    }
    settings = KafkaSettings(KAFKA_BOOTSTRAP_SERVERS=bootstrap_servers, topic_prefix=prefix, canonical_partitions=4)
    admin, catalogue = make_admin(settings), settings.catalogue()
    provision.apply(admin, catalogue, provision.plan(admin, catalogue))
    system = Mesh(settings, env, folder, database_url)
    system.publish(customer_set())
    try:
        yield system
    finally:
        for worker in system.workers:
            if worker.process.poll() is None:
                worker.kill()


@pytest.fixture
def mesh(kafka: RunningKafka, database_url: str, unique: str, tmp_path: Path) -> Iterator[Mesh]:
    """An installation on the Kafka that all tests share."""
    with installation(kafka.bootstrap_servers, database_url, unique, tmp_path) as system:
        yield system


@pytest.fixture
def own_kafka(fresh_root: Path) -> Iterator[LocalKafka]:
    """A Kafka of this test alone, which it may stop."""
    server = LocalKafka(fresh_root / "own-kafka")
    server.start()
    yield server
    server.stop()


@pytest.fixture
def own_mesh(own_kafka: LocalKafka, database_url: str, unique: str, tmp_path: Path) -> Iterator[Mesh]:
    """An installation on a Kafka that the test may stop."""
    address = own_kafka.bootstrap_servers()
    assert address is not None
    with installation(address, database_url, unique, tmp_path) as system:
        yield system


@pytest.fixture
def own_postgres(fresh_root: Path) -> Iterator[LocalPostgres]:
    """A Postgres of this test alone, which it may stop."""
    server = LocalPostgres(fresh_root / "own")
    server.start()
    yield server
    server.stop()
