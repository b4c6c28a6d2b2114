"""A local Apache Kafka: `owned_kafka` for demo, tests and benchmarks, `LocalKafka` for `aam kafka start`."""

import base64
import os
import secrets
import shutil
import socket
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from confluent_kafka import Consumer, KafkaException, Producer, TopicPartition
from confluent_kafka.admin import AdminClient

from infra.free_ports import LOOPBACK
from infra.kafka.fencing import fence_killed_broker, was_killed
from infra.kafka.jars import KAFKA_VERSION, fetch_jars
from infra.kafka.java import argument_file, find_java
from infra.kafka.properties import render, server_properties
from infra.local_server import DetachedServer, Recipe, ServerStatus, owned_server
from infra.narration import Say, to_stderr
from infra.owned_process import run_owned
from infra.server_command import ServerCommand
from infra.settings import LocalSettings

PROBE_SECONDS = 2.0
FORMAT_SECONDS = 120.0
_PROBE = "aam-readiness"  # a group and a transactional id
_FORMATTED = "cluster_id"  # file with the id of the cluster in this folder
_LOGGING = (
    "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn",  # at info, a start alone writes thousands of lines
    "-Dorg.slf4j.simpleLogger.showDateTime=true",
    "-Dorg.slf4j.simpleLogger.dateTimeFormat=yyyy-MM-dd'T'HH:mm:ss.SSSXXX",
)


@dataclass(frozen=True)
class RunningKafka:
    """A Kafka that answers."""

    bootstrap_servers: str


@contextmanager
def owned_kafka(
    root: Path, *, say: Say = to_stderr, heap_mib: int | None = None, volatile: bool = False
) -> Iterator[RunningKafka]:
    """Run a fresh, empty Kafka that ends with this block or process, whichever ends first, data included.

    Args:
        root: folder for its data while it runs, usually a checkout's `.aam`.
        volatile: keep the data in memory where there is room: a broker waits for the disk several times for each
            partition that it lays out, which is most of what 2,000 of them take. It is then meant to live for minutes.
        say: told of what takes time, a line each.
        heap_mib: Java heap; default `AAM_KAFKA_HEAP_MIB`.
    Raises:
        Misconfigured: no Java, a jar that differs from the lock, or the broker's own complaint.
        TransientError: download failed, or the broker didn't answer.
    """
    with owned_server(KafkaRecipe(heap_mib, brief=volatile), root, say=say, volatile=volatile) as address:
        yield RunningKafka(address)


class LocalKafka(DetachedServer):
    """The detached Kafka of `root`: `start()`, `stop()`, `status()`."""

    def __init__(self, root: Path, *, heap_mib: int | None = None) -> None:
        super().__init__(KafkaRecipe(heap_mib), root)

    def bootstrap_servers(self) -> str | None:
        """Its address if it runs and answers, else None."""
        status: ServerStatus = self.status()
        return status.address if status.state == "running" else None


class KafkaRecipe(Recipe):
    """Apache Kafka as one KRaft node: ports are clients' and the controller's."""

    name = "Kafka"
    slug = "kafka"
    port_count = 2

    def __init__(self, heap_mib: int | None = None, *, brief: bool = False) -> None:
        self._heap_mib = heap_mib or LocalSettings().kafka_heap_mib
        # The second compiler takes as much processor time in the first minutes as the broker itself.
        self._compiler = ["-XX:TieredStopAtLevel=1"] if brief else []

    def prepare(self, folder: Path, ports: Sequence[int], *, durable: bool, say: Say) -> ServerCommand:
        java, class_path = find_java(), os.pathsep.join(map(str, fetch_jars(say)))
        properties, data, scratch = folder / "server.properties", folder / "data", folder / "tmp"
        scratch.mkdir(parents=True, exist_ok=True)
        properties.write_text(render(server_properties(data, ports)))
        # an argument file, so that `ps` shows the folder and not 92 jars
        arguments = folder / "java.args"
        arguments.write_text(argument_file(["-cp", class_path, f"-Djava.io.tmpdir={scratch}", *_LOGGING]))
        run = (
            java.executable,
            *java.options(),
            *self._compiler,
            "-XX:-UsePerfData",
            "-XX:+UseSerialGC",
            f"@{arguments}",
        )
        _format_once(run, folder, properties, data, durable=durable)
        if was_killed(data):
            say("fencing the broker of the last run, which was killed …")
            if not fence_killed_broker(run[:-1], run[-1], folder, ports, os.environ):
                say("it wasn't: if it had work in hand, `aam doctor` tells whether a transaction hangs")
        say(f"starting Apache Kafka {KAFKA_VERSION} …")
        return ServerCommand(
            name=self.name,
            argv=(*run[:-1], "-Xms128m", f"-Xmx{self._heap_mib}m", run[-1], "kafka.Kafka", str(properties)),
            log=folder / "server.log",
            marker=str(properties),
            env=os.environ,
        )

    def address(self, folder: Path, ports: Sequence[int]) -> str:
        return f"{LOOPBACK}:{ports[0]}"

    def answers(self, folder: Path, address: str) -> bool:
        host, port = address.split(":")
        try:
            socket.create_connection((host, int(port)), PROBE_SECONDS).close()
            admin = AdminClient({"bootstrap.servers": address, "log_level": 0})
            cluster = admin.describe_cluster(request_timeout=PROBE_SECONDS).result()
            if not cluster.nodes or cluster.cluster_id != (folder / _FORMATTED).read_text():
                return False
            _ask_coordinators(address)
            return True
        except (OSError, KafkaException):
            return False


def _ask_coordinators(address: str) -> None:
    """Have the topics behind groups and transactions laid out: asked for later, they would wait for every partition
    that is created meanwhile. Raises KafkaException until both coordinators answer.
    """
    probe = {"bootstrap.servers": address, "log_level": 0}
    Producer(probe | {"transactional.id": _PROBE}).init_transactions(PROBE_SECONDS)
    consumer = Consumer(probe | {"group.id": _PROBE})
    try:
        consumer.committed([TopicPartition(_PROBE, 0)], timeout=PROBE_SECONDS)
    finally:
        consumer.close()


def _format_once(run: Sequence[str], folder: Path, properties: Path, data: Path, *, durable: bool) -> None:
    """Give a new data folder its cluster id, and write that down last: a format that was cut short is done anew."""
    if (folder / _FORMATTED).exists():
        return
    cluster_id = _cluster_id()
    shutil.rmtree(data, ignore_errors=True)
    words = ("kafka.tools.StorageTool", "format", "-t", cluster_id, "-c", str(properties), "--standalone")
    command = ServerCommand(
        name=f"Formatting {data} for Kafka",
        argv=(*run, *words),
        log=folder / "server.log",
        marker=str(properties),
        env=os.environ,
    )
    run_owned(command, remove=[] if durable else [folder], timeout_seconds=FORMAT_SECONDS)
    (folder / _FORMATTED).write_text(cluster_id)


def _cluster_id() -> str:
    """16 random bytes as Kafka writes its ids; none that begins with a dash, which looks like an option."""
    while True:
        text = base64.urlsafe_b64encode(secrets.token_bytes(16)).decode().rstrip("=")
        if not text.startswith("-"):
            return text
