"""Whatever is produced to the raw topic, a running worker lives on, accounts for every record exactly once, and what
stands beside it comes out untouched."""

import json
import time
from collections import Counter
from typing import Any, Final

from confluent_kafka import Consumer, KafkaError, Message, Producer, TopicPartition
from hypothesis import Phase, example, given, settings
from hypothesis import strategies as st

from schemas import headers as names
from topics.kafka_record import last_header
from topics.read_topic import partitions_of

Raw = tuple[bytes | None, bytes | None, list[tuple[str, Any]]]  # key, value, headers
GOOD: Final = [("tenant", b"acme"), ("connector", b"crm"), ("entity", b"customer")]
ACCOUNT_SECONDS: Final = 20.0

LEAVES = st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=8))
JSON_VALUES = st.recursive(
    LEAVES,
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=5), inner, max_size=3)),
    max_leaves=8,
)
FIELDS = st.sampled_from(["id", "name", "internal", "aam", "custom_fields", "record", "tenant", "data", "payload", ""])
OBJECTS = st.dictionaries(FIELDS, JSON_VALUES, max_size=5).map(lambda fields: json.dumps(fields).encode())
CUT = st.builds(lambda text, at: text[:at], OBJECTS, st.integers(0, 60))
FRAMED = st.binary(max_size=8).map(lambda tail: b"\x00\x00\x00" + tail)
VALUES = st.one_of(st.none(), OBJECTS, OBJECTS, CUT, FRAMED, st.binary(max_size=30))
NAMES = st.sampled_from(
    ["tenant", "connector", "entity", "connection", "op", "record_id", "observed_at", "traceparent", "ce_id", "ce_type",
     "ce_specversion", "ce_tenant", "content-type", "x"]
)  # fmt: skip
HEADER_VALUES = st.one_of(
    st.none(), st.binary(max_size=10), st.sampled_from([b"acme", b"crm", b"customer", b"delete", b"1.0", b"2026-01-01"])
)
HEADERS = st.lists(st.tuples(NAMES, HEADER_VALUES), max_size=5)
KEYS = st.one_of(st.none(), st.just(b"acme"), st.binary(max_size=6))
RECORDS = st.one_of(
    st.tuples(KEYS, VALUES, HEADERS.map(lambda more: [*GOOD, *more])),
    st.tuples(KEYS, VALUES, HEADERS),
)


class Account:
    """Sends records with a witness after each, and takes note of what became of every one."""

    def __init__(self, mesh: Any) -> None:
        self._mesh = mesh
        self._raw = mesh.kafka.names.raw_records
        self._producer = Producer({"bootstrap.servers": mesh.kafka.bootstrap_servers})
        self._due: Counter[tuple[int, int]] = Counter()
        self._found: Counter[tuple[int, int]] = Counter()
        self._witnesses: list[str] = []
        self._seen: list[str] = []
        outputs = (mesh.customers, mesh.kafka.names.dead_letters, mesh.kafka.names.raw_parked)
        self._reader = Consumer(
            {"bootstrap.servers": mesh.kafka.bootstrap_servers, "group.id": "fuzz", "isolation.level": "read_committed"}
        )
        self._reader.assign([TopicPartition(t, p, 0) for t in outputs for p in partitions_of(self._reader, t)])

    def send(self, records: list[Raw]) -> None:
        for key, value, headers in records:
            self._produce(key, value, headers)
            name = f"w{len(self._witnesses)}"
            self._witnesses.append(name)
            self._produce(b"acme", json.dumps({"id": name, "name": name}).encode(), GOOD)
        assert self._producer.flush(20) == 0

    def check(self) -> None:
        """All that was sent is found, once, and the witnesses as they were sent, in order."""
        end = time.monotonic() + ACCOUNT_SECONDS
        while self._found != self._due and time.monotonic() < end:
            for message in self._reader.consume(500, 0.05):
                self._note(message)
        assert self._found == self._due, self._mesh.logs()
        assert self._seen == self._witnesses

    def close(self) -> None:
        self._reader.close()

    def _produce(self, key: bytes | None, value: bytes | None, headers: list[tuple[str, Any]]) -> None:
        # One partition: the order of the witnesses is promised there.
        self._producer.produce(self._raw, value, key, headers=headers, partition=0, on_delivery=self._delivered)

    def _delivered(self, error: KafkaError | None, message: Message) -> None:
        assert error is None
        self._due[(message.partition() or 0, message.offset() or 0)] += 1

    def _note(self, message: Message) -> None:
        if message.topic() == self._mesh.customers:
            event = json.loads(message.value() or b"")
            place = event["aam"]["raw"]["partition"], event["aam"]["raw"]["offset"]
            name = event["display_name"]
            if name is not None and name == event["aam"]["source_id"] and name in self._witnesses:
                self._seen.append(name)
        else:
            place = _place(message)
        self._found[place] += 1


def _place(message: Message) -> tuple[int, int]:
    headers: Any = message.headers()
    found = [
        last_header(headers, ours) or last_header(headers, connects)
        for ours, connects in (
            (names.RAW_PARTITION, names.ERROR_PARTITION),
            (names.RAW_OFFSET, names.ERROR_OFFSET),
        )
    ]
    return int(found[0] or b""), int(found[1] or b"")


def test_nothing_that_is_sent_ends_the_worker_or_hurts_its_neighbours(mesh: Any) -> None:
    worker = mesh.worker()
    account = Account(mesh)

    # What one example left behind is the next one's past: nothing to shrink.
    @settings(max_examples=40, deadline=None, database=None, phases=[Phase.explicit, Phase.generate])
    @given(st.lists(RECORDS, min_size=5, max_size=30))
    @example([(None, b'{"id":1e999}', GOOD), (b"\xff", b'{"name":{"name":"\\u0000"}}', GOOD)])
    def everything_is_accounted_for(records: list[Raw]) -> None:
        account.send(records)
        account.check()

    try:
        everything_is_accounted_for()
    finally:
        account.close()
    assert worker.ready()
