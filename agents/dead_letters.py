"""Writes a record that could not be processed as a dead letter, in the transaction of its batch."""

import logging
from typing import Any, Protocol

from confluent_kafka import Message

from observability import metrics
from schemas import headers as header_names
from schemas.failures import FailureKind
from topics.dead_letter import Failure, dead_letter
from topics.kafka_record import ConsumedRecord, last_header
from topics.names import TopicNames

log = logging.getLogger(__name__)

UNKNOWN_TENANT = "unknown"


class Output(Protocol):
    """Where records go: a batch, or the transaction of a release."""

    def produce(self, topic: str, value: bytes | None, key: bytes | None = None, headers: Any = None) -> None: ...


def bury(message: Message, error: Exception, *, stage: str, names: TopicNames, output: Output) -> tuple[str, str]:
    """Write the dead letter of `message`; (kind, tenant as its header says)."""
    failure = Failure.of(error, stage)
    record = ConsumedRecord.from_message(message)
    if failure.kind is FailureKind.BUG:
        # Only the exception's class: its text may quote the record.
        log.error("bug: %s[%d]@%d died of %s", record.topic, record.partition, record.offset, failure.exception)
    letter = dead_letter(record, failure)
    output.produce(names.dead_letters, letter.value, letter.key, letter.headers)
    tenant = last_header(record.headers, header_names.TENANT)
    return str(failure.kind), UNKNOWN_TENANT if tenant is None else tenant.decode("utf-8", "replace")


def bury_message(message: Message, error: Exception, *, agent: str, names: TopicNames, output: Output) -> None:
    """The dead letter of a message that one agent wrote for `agent`, counted."""
    kind, _ = bury(message, error, stage=agent.replace("_", " "), names=names, output=output)
    metrics.DEAD_LETTERS.labels(agent, kind).inc()
