"""Finds transactions that Kafka has forgotten: nobody ends them, and readers of committed records wait before them.

A broker that dies can leave one where a partition has no replica to take over (docs/adr/0006). Only an operator can end
it, with Kafka's own tool: to write what it would have to say is not up to a client.
"""

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Final

from confluent_kafka import Consumer, IsolationLevel, KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient, OffsetSpec  # type: ignore[attr-defined]  # public, but not re-exported

from topics.clients import as_aam_error, make_admin, make_consumer
from topics.read_topic import REQUEST_TIMEOUT_SECONDS
from topics.settings import KafkaSettings

OPEN_SECONDS: Final = 300.0  # no transaction of a worker lasts so long

_Place = tuple[str, int]


@dataclass(frozen=True, order=True)
class HangingTransaction:
    """Readable up to `offset`, where it begins; open for `seconds`."""

    topic: str
    partition: int
    offset: int
    seconds: float


def hanging_transactions(
    settings: KafkaSettings,
    topics: Iterable[str],
    *,
    open_seconds: float = OPEN_SECONDS,
    clock: Callable[[], float] = time.time,
) -> list[HangingTransaction]:
    """Those in `topics` that have been open for `open_seconds`. Raises TransientError without Kafka."""
    admin = make_admin(settings)
    try:
        known = admin.list_topics(timeout=REQUEST_TIMEOUT_SECONDS).topics
        places = [(topic, partition) for topic in topics if topic in known for partition in known[topic].partitions]
        written = _ends(admin, places, IsolationLevel.READ_UNCOMMITTED)
        readable = _ends(admin, places, IsolationLevel.READ_COMMITTED)
    except KafkaException as error:
        raise as_aam_error(error, "ask for the ends of topics") from error
    behind = {place: offset for place, offset in readable.items() if offset < written[place]}
    ages = ((place, offset, clock() - since) for place, offset, since in _begins(settings, behind))
    return sorted(HangingTransaction(*place, offset, age) for place, offset, age in ages if age >= open_seconds)


def _ends(admin: AdminClient, places: Iterable[_Place], isolation: IsolationLevel) -> dict[_Place, int]:
    latest = OffsetSpec.latest()  # type: ignore[no-untyped-call]  # untyped in the client
    asked = {TopicPartition(*place): latest for place in places}
    if not asked:
        return {}
    found = admin.list_offsets(asked, isolation_level=isolation, request_timeout=REQUEST_TIMEOUT_SECONDS)
    return {(place.topic, place.partition): future.result().offset for place, future in found.items()}


def _begins(settings: KafkaSettings, places: dict[_Place, int]) -> Iterable[tuple[_Place, int, float]]:
    """(place, offset, when its record was written, in seconds since 1970) of those that have a record there."""
    extra: dict[str, Any] = {"isolation.level": "read_uncommitted"}
    reader: Consumer = make_consumer(settings, group_id=settings.names.group("doctor"), **extra)
    try:
        for (topic, partition), offset in places.items():
            reader.assign([TopicPartition(topic, partition, offset)])
            message = reader.poll(REQUEST_TIMEOUT_SECONDS)
            if message is not None and message.error() is None:
                yield (topic, partition), offset, message.timestamp()[1] / 1000
    finally:
        reader.close()
