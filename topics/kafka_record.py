"""A Kafka record as it was consumed, and one as it is to be produced: bytes and coordinates, nothing interpreted.

`topics.raw_record` reads it; `topics.dead_letter` and `topics.parked_record` keep it whole.
"""

from collections.abc import Iterator, Sequence
from typing import NamedTuple, TypeAlias

from confluent_kafka import Message

from schemas import headers as names
from schemas.failures import Bug

# Outputs (canonical events, dead letters, parked records) have headroom over the raw limit of 1 MiB.
OUTPUT_LIMIT_BYTES = 4 * 1024 * 1024

Headers: TypeAlias = Sequence[tuple[str, bytes | None]]


class ConsumedRecord(NamedTuple):
    """One record as it stood in Kafka. `timestamp_ms` is Kafka's, milliseconds since the epoch, -1 if it has none."""

    topic: str
    partition: int
    offset: int
    timestamp_ms: int
    key: bytes | None
    value: bytes | None
    headers: Headers

    @classmethod
    def from_message(cls, message: "Message[bytes, bytes]") -> "ConsumedRecord":
        """A message of librdkafka that is no error. Raises Bug for one that is."""
        topic, partition, offset = message.topic(), message.partition(), message.offset()
        if message.error() is not None or topic is None or partition is None or offset is None:
            raise Bug("not a record but an event of the consumer")
        headers: Headers = message.headers() or []  # type: ignore[assignment]  # the stub has what produce() takes
        return cls(topic, partition, offset, message.timestamp()[1], message.key(), message.value(), headers)


class OutgoingRecord(NamedTuple):
    """What to hand to `Producer.produce`, topic and partition left to the caller."""

    key: bytes | None
    value: bytes | None
    headers: list[tuple[str, bytes | None]]


class RawCoordinates(NamedTuple):
    """Where a raw record first stood: a canonical event's `event_id` is made of it, also after a release or retry."""

    topic: str
    partition: int
    offset: int
    timestamp_ms: int

    def as_headers(self) -> list[tuple[str, bytes | None]]:
        """The four `aam-raw-*` headers."""
        return [
            (names.RAW_TOPIC, self.topic.encode()),
            (names.RAW_PARTITION, b"%d" % self.partition),
            (names.RAW_OFFSET, b"%d" % self.offset),
            (names.RAW_TIMESTAMP, b"%d" % self.timestamp_ms),
        ]


def last_header(headers: Headers, name: str) -> bytes | None:
    """The last value of a header; None if there is none. AAM's own headers are appended, so the last one is ours."""
    return next((value for key, value in reversed(headers) if key == name), None)


def read_original(headers: Headers) -> RawCoordinates | None:
    """The `aam-raw-*` headers of a parked record, dead letter, or released raw record; None without all four."""
    topic = last_header(headers, names.RAW_TOPIC)
    numbers = [last_header(headers, name) for name in (names.RAW_PARTITION, names.RAW_OFFSET, names.RAW_TIMESTAMP)]
    try:
        partition, offset, timestamp_ms = (int(number) for number in numbers if number is not None)
        return None if topic is None else RawCoordinates(topic.decode(), partition, offset, timestamp_ms)
    except ValueError:
        return None


def original_coordinates(record: ConsumedRecord) -> RawCoordinates:
    """Where the record first stood: its `aam-raw-*` headers if it was released or retried, else where it stands."""
    found = read_original(record.headers)
    return found or RawCoordinates(record.topic, record.partition, record.offset, record.timestamp_ms)


def size_bytes(key: bytes | None, value: bytes | None, headers: Headers) -> int:
    """Bytes of one record on the wire, uncompressed, a little rounded up."""
    return len(key or b"") + len(value or b"") + sum(_header_bytes(headers)) + 64


def _header_bytes(headers: Headers) -> Iterator[int]:
    return (len(name.encode()) + len(value or b"") + 10 for name, value in headers)
