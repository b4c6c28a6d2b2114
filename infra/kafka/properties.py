"""The broker's server.properties: one KRaft node on the loopback address, sized for a laptop and for 2,000
partitions."""

import json
from collections.abc import Sequence
from pathlib import Path

from infra.free_ports import LOOPBACK

LARGEST_MESSAGE_BYTES = 5 * 1024 * 1024  # room over the largest topic limit (outputs, 4 MiB)
INDEX_BYTES = 256 * 1024  # an index file's reserved size: two a partition; holds the index of a 128 MiB segment
CLEANER_BUFFER_BYTES = 16 * 1024 * 1024  # of the heap, for compaction; Kafka's own 128 MiB is a quarter of ours


def server_properties(data: Path, ports: Sequence[int]) -> dict[str, str | int]:
    """Settings of a node whose client and controller listeners have these two ports."""
    client, controller = (f"{LOOPBACK}:{port}" for port in ports)
    listeners = f"PLAINTEXT://{client},CONTROLLER://{controller}"
    return {
        "process.roles": "broker,controller",
        "node.id": 1,
        "controller.quorum.bootstrap.servers": controller,
        "listeners": listeners,
        "advertised.listeners": listeners,
        "controller.listener.names": "CONTROLLER",
        "inter.broker.listener.name": "PLAINTEXT",
        "listener.security.protocol.map": "CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT",
        "log.dirs": str(data),
        **_ONE_NODE,
        **_SMALL,
        **_PROMPT,
    }


def controller_properties(data: Path, ports: Sequence[int]) -> dict[str, str | int]:
    """Settings of the same node without its broker, which takes a broker that is silent for a second for dead."""
    of_a_broker = ("advertised.listeners", "inter.broker.listener.name")
    whole = {name: value for name, value in server_properties(data, ports).items() if name not in of_a_broker}
    return whole | {
        "process.roles": "controller",
        "listeners": f"CONTROLLER://{LOOPBACK}:{ports[1]}",
        "broker.session.timeout.ms": 1_000,
        "broker.heartbeat.interval.ms": 100,
    }


def render(properties: dict[str, str | int]) -> str:
    """Java .properties text. Values are escaped as Java reads them: backslash, line breaks, non-ASCII."""
    return "".join(f"{name}={_escape(str(value))}\n" for name, value in properties.items())


def _escape(value: str) -> str:
    return json.dumps(value)[1:-1].replace('\\"', '"')  # JSON's escapes (\\, \n, \uXXXX) are those of .properties


_ONE_NODE: dict[str, str | int] = {
    "offsets.topic.replication.factor": 1,
    "transaction.state.log.replication.factor": 1,
    "transaction.state.log.min.isr": 1,
    "share.coordinator.state.topic.replication.factor": 1,
    "share.coordinator.state.topic.min.isr": 1,
    # ACLs can be made and listed as on a cluster; they bind nobody here, where every client is this user
    "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
    "super.users": "User:ANONYMOUS",
}

_SMALL: dict[str, str | int] = {
    "offsets.topic.num.partitions": 4,
    "transaction.state.log.num.partitions": 4,
    "num.io.threads": 2,
    "num.network.threads": 2,
    "message.max.bytes": LARGEST_MESSAGE_BYTES,
    "replica.fetch.max.bytes": LARGEST_MESSAGE_BYTES,
    "log.index.size.max.bytes": INDEX_BYTES,
    "log.cleaner.dedupe.buffer.size": CLEANER_BUFFER_BYTES,
    "log.cleaner.backoff.ms": 1_000,
}

_PROMPT: dict[str, str | int] = {
    "auto.create.topics.enable": "false",  # a mistyped topic is an error
    "group.initial.rebalance.delay.ms": 0,
    "transaction.max.timeout.ms": 900_000,
    "transaction.abort.timed.out.transaction.cleanup.interval.ms": 1_000,
}
