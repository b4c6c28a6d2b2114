"""The Kafka of the compose file is the local one's version, with the limits that the rest relies on."""

from pathlib import Path

from infra.kafka.jars import KAFKA_VERSION
from infra.kafka.properties import server_properties

COMPOSE = Path(__file__).parents[3] / "docker-compose.kafka.yml"
SHARED = (
    "auto.create.topics.enable",
    "group.initial.rebalance.delay.ms",
    "message.max.bytes",
    "replica.fetch.max.bytes",
    "transaction.abort.timed.out.transaction.cleanup.interval.ms",
    "log.index.size.max.bytes",
    "authorizer.class.name",
    "super.users",
)


def test_same_kafka_as_the_local_one() -> None:
    text, local = COMPOSE.read_text(), server_properties(Path("/data"), [1, 2])
    assert f"image: apache/kafka:{KAFKA_VERSION}\n" in text
    set_there = {line.strip().replace('"', "") for line in text.splitlines()}
    for name in SHARED:
        assert f"KAFKA_{name.upper().replace('.', '_')}: {local[name]}" in set_there


def test_ports_are_open_on_this_machine_alone() -> None:
    published = [line.split('"')[1] for line in COMPOSE.read_text().splitlines() if line.strip().startswith("ports:")]
    assert len(published) == 5
    assert all(port.startswith("127.0.0.1:") for port in published)
