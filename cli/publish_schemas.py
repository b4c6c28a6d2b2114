"""Announces schemas of sources on Kafka, where observe schema reads them."""

from collections.abc import Sequence

from cli.produce import Sender
from cli.services import kafka_settings
from schemas.messages import SchemaChange
from topics.clients import make_producer


def publish(changes: Sequence[SchemaChange]) -> int:
    """Sends `changes` to the topic of schema changes; how many were delivered.

    Raises:
        TransientError: not all were delivered.
        Misconfigured: Kafka's address or a setting is missing, or it refuses us.
    """
    settings = kafka_settings()
    sender = Sender(make_producer(settings), settings.names.schema_changes)
    for change in changes:
        sender.send(change.tenant.encode(), change.model_dump_json().encode(), [])
    return sender.finish("schema changes")
