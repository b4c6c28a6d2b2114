"""How the worker's Kafka clients are tuned; their guarantees are `topics.clients`' own.

Identity comes from the worker's slot: one transactional id and one static membership a slot and agent, so a restarted
worker ends what its former self left open and takes its partitions back without a rebalance.
"""

from functools import partial
from typing import Any

from confluent_kafka import Consumer, Producer

from agents.settings import WorkerSettings
from topics.clients import make_consumer, make_producer
from topics.settings import KafkaSettings


def group_consumer(kafka: KafkaSettings, settings: WorkerSettings, agent: str, **extra: Any) -> Consumer:
    """A member of the agent's group. What is there is fetched at once; `fetch.min.bytes` stays 1."""
    config: dict[str, Any] = {
        "partition.assignment.strategy": "cooperative-sticky",
        "session.timeout.ms": int(settings.session_timeout_seconds * 1000),
        "heartbeat.interval.ms": int(settings.session_timeout_seconds * 1000 / 4),
        "max.poll.interval.ms": max(300_000, int(settings.transaction_timeout_seconds * 5_000)),
        # Topics that a pattern of AAM_RAW_TOPICS fits are joined when the metadata is read again.
        "topic.metadata.refresh.interval.ms": 30_000,
        # After a full local queue the client would wait 1 s before it fetches again.
        "fetch.queue.backoff.ms": 20,
    }
    return make_consumer(
        kafka,
        group_id=kafka.names.group(agent),
        group_instance_id=f"{kafka.names.group(agent)}-{settings.slot}",
        **(config | extra),
    )


def batch_producer(kafka: KafkaSettings, settings: WorkerSettings, transactional_id: str | None) -> partial[Producer]:
    """Opens producers for whole batches; each is flushed by its commit, so linger only fills their requests."""
    config: dict[str, Any] = {
        "linger.ms": 20,
        # A new transaction is refused while the last one's markers are written; the client's 100 ms are many of those.
        "retry.backoff.ms": 10,
        "queue.buffering.max.messages": 500_000,
        "queue.buffering.max.kbytes": 262_144,
        "delivery.report.only.error": True,
    }
    if transactional_id is not None:
        config["transaction.timeout.ms"] = int(settings.transaction_timeout_seconds * 1000)
    return partial(make_producer, kafka, transactional_id=transactional_id, **config)


def slot_transactional_id(kafka: KafkaSettings, settings: WorkerSettings, agent: str) -> str:
    """The transactional id of this worker's agent."""
    return kafka.names.transactional_id(f"{agent}-{settings.slot}")
