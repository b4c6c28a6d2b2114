"""Hand-made messages and outputs: what an agent sees of Kafka, without one."""

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest

HEADERS: list[tuple[str, Any]] = [("tenant", b"acme"), ("connector", b"crm"), ("entity", b"customer")]


@dataclass
class FakeMessage:
    """The part of confluent_kafka.Message that is read."""

    the_value: bytes | None = b"{}"
    the_headers: list[tuple[str, Any]] | None = None
    the_offset: int = 0
    the_key: bytes | None = b"acme"
    the_partition: int = 0
    the_topic: str = "aam.raw.records.v1"

    def value(self) -> bytes | None:
        return self.the_value

    def headers(self) -> list[tuple[str, Any]] | None:
        return self.the_headers

    def offset(self) -> int:
        return self.the_offset

    def key(self) -> bytes | None:
        return self.the_key

    def partition(self) -> int:
        return self.the_partition

    def topic(self) -> str:
        return self.the_topic

    def timestamp(self) -> tuple[int, int]:
        return 1, 1_700_000_000_000

    def error(self) -> None:
        return None


@dataclass
class Written:
    """An output that keeps what is produced: topic → records."""

    topics: dict[str, list[tuple[bytes | None, bytes | None, list[tuple[str, Any]]]]] = field(default_factory=dict)

    def produce(self, topic: str, value: bytes | None, key: bytes | None = None, headers: Any = None) -> None:
        self.topics.setdefault(topic, []).append((key, value, list(headers or [])))

    def json(self, topic: str) -> list[Any]:
        return [json.loads(value or b"") for _, value, _ in self.topics.get(topic, [])]


@pytest.fixture
def message() -> Callable[..., FakeMessage]:
    def make(value: Any, offset: int = 0, **given: Any) -> FakeMessage:
        body = value if value is None or isinstance(value, bytes) else json.dumps(value).encode()
        return FakeMessage(body, **{"the_headers": HEADERS, "the_offset": offset, **given})

    return make


@pytest.fixture
def written() -> Written:
    return Written()
