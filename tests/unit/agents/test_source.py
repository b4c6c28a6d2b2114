"""What the source decides without Kafka: how long to wait, and what a rebalance leaves of a batch."""

import asyncio
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import replace
from typing import Any

import pytest
from confluent_kafka import KafkaError, KafkaException, TopicPartition

from agents.source import BatchLimits, Flight, Source
from agents.watchdog import Watchdog
from schemas.failures import Bug, Misconfigured, TransientError

LIMITS = BatchLimits(records=10, deadline_seconds=1, attempts=1, retry_seconds=0.01)


class FakeConsumer:
    """Gives what it is fed; a rebalance may happen inside a call."""

    def __init__(self, fed: list[Any]) -> None:
        self.fed = fed
        self.during: Callable[[], None] = lambda: None
        self.sought: list[tuple[int, int]] = []
        self.begun: list[tuple[int, int]] = []
        self.kept = (0, 10)  # what Kafka holds of each partition
        self.metadata_error: KafkaException | None = None

    def consumer_group_metadata(self) -> object:
        if self.metadata_error is not None:
            raise self.metadata_error
        return object()

    def consume(self, count: int, _seconds: float) -> list[Any]:
        if count > 1:
            self.during()
        taken, self.fed = self.fed[:count], self.fed[count:]
        return taken

    def committed(self, partitions: list[TopicPartition], **_named: Any) -> list[TopicPartition]:
        return [TopicPartition(p.topic, p.partition, 3) for p in partitions]

    def get_watermark_offsets(self, _place: TopicPartition, **_named: Any) -> tuple[int, int]:
        return self.kept

    def incremental_unassign(self, _places: list[TopicPartition]) -> None:
        pass

    def incremental_assign(self, begun: list[TopicPartition]) -> None:
        self.begun += [(place.partition, place.offset) for place in begun]

    def seek(self, place: TopicPartition) -> None:
        self.sought.append((place.partition, place.offset))

    def position(self, _partitions: list[TopicPartition]) -> list[TopicPartition]:
        return []


def make_source(consumer: FakeConsumer) -> Source:
    async def make() -> Source:
        nothing: Any = None
        return Source(
            "test",
            topics=["t"],
            open_consumer=nothing,
            style=nothing,
            channel=nothing,
            limits=LIMITS,
            watchdog=Watchdog(loop_stall_seconds=1),
            give_up=nothing,
        )

    source = asyncio.run(make())
    source._consumer = consumer  # type: ignore[assignment]
    return source


def places(*partitions: int) -> list[TopicPartition]:
    return [TopicPartition("t", partition) for partition in partitions]


def test_a_batch_grows_while_the_one_before_it_commits_and_no_longer(message: Callable[..., Any]) -> None:
    consumer = FakeConsumer([message({}, offset, the_topic="t") for offset in range(3)])
    source = make_source(consumer)
    assert [m.offset() for m in source._fetch()] == [0, 1, 2]
    nothing: Any = None
    source._flight = Flight(nothing, Future(), 0.0)
    consumer.fed = [message({}, 3, the_topic="t")]

    def one_more_and_landed() -> None:
        if not source._flight.landing.done():  # type: ignore[union-attr]  # set above
            consumer.fed.append(message({}, 4, the_topic="t"))
            source._flight.landing.set_result(None)  # type: ignore[union-attr]  # as above

    consumer.during = one_more_and_landed
    assert [m.offset() for m in source._fetch()] == [3, 4]


def test_records_of_a_partition_that_went_meanwhile_are_dropped(message: Callable[..., Any]) -> None:
    fed = [
        message({}, offset, the_topic="t", the_partition=partition) for partition, offset in ((0, 5), (1, 7), (0, 6))
    ]
    consumer = FakeConsumer(fed)
    source = make_source(consumer)
    source._on_assign(consumer, places(0, 1))  # type: ignore[arg-type]
    consumer.during = lambda: source._on_revoke(consumer, places(0))  # type: ignore[arg-type]
    assert [m.partition() for m in source._fetch()] == [1]
    assert consumer.sought == []


def test_a_partition_that_went_and_came_back_is_read_from_its_committed_offset(message: Callable[..., Any]) -> None:
    consumer = FakeConsumer([message({}, 5, the_topic="t"), message({}, 6, the_topic="t")])
    source = make_source(consumer)
    source._on_assign(consumer, places(0))  # type: ignore[arg-type]

    def away_and_back() -> None:
        source._on_lost(consumer, places(0))  # type: ignore[arg-type]
        source._on_assign(consumer, places(0))  # type: ignore[arg-type]

    consumer.during = away_and_back
    assert source._fetch() == []
    assert consumer.sought == [(0, 3)]


@pytest.mark.parametrize(("kept", "start"), [((0, 10), 3), ((5, 10), 5), ((3, 3), 3)])
def test_a_partition_that_is_astray_begins_where_the_group_stands(kept: tuple[int, int], start: int) -> None:
    consumer = FakeConsumer([])
    consumer.kept = kept
    source = make_source(consumer)
    source._on_assign(None, places(0, 1))  # type: ignore[arg-type]  # unused
    source._astray = {("t", 1), ("t", 7)}  # the second went meanwhile
    source._place()
    assert consumer.begun == [(1, start)]
    assert source._astray == set()


def test_a_partition_that_ends_before_the_groups_place_is_waited_for() -> None:
    consumer = FakeConsumer([])
    consumer.kept = (0, 2)
    source = make_source(consumer)
    source._on_assign(None, places(1))  # type: ignore[arg-type]  # unused
    source._astray = {("t", 1)}
    with pytest.raises(TransientError, match="ends at 2, before 3"):
        source._place()
    assert source._astray == {("t", 1)}


def test_listeners_hear_of_every_rebalance() -> None:
    consumer = FakeConsumer([])
    source, heard = make_source(consumer), []
    source.on_rebalance(lambda: heard.append(set(source.assigned)))
    source._on_assign(consumer, places(0, 1))  # type: ignore[arg-type]
    source._on_revoke(consumer, places(1))  # type: ignore[arg-type]
    source._on_lost(consumer, places(0))  # type: ignore[arg-type]
    assert heard == [{("t", 0), ("t", 1)}, {("t", 0)}, set()]


@pytest.mark.parametrize(
    ("error", "ends"),
    [
        (KafkaError(KafkaError.FENCED_INSTANCE_ID), Bug),
        (KafkaError(KafkaError._FATAL, "x", True), Bug),
        (KafkaError(KafkaError.TOPIC_AUTHORIZATION_FAILED), Misconfigured),
        (KafkaError(KafkaError._AUTHENTICATION), Misconfigured),
        (KafkaError(KafkaError.UNKNOWN_TOPIC_OR_PART), type(None)),
        (KafkaError(KafkaError._ALL_BROKERS_DOWN), type(None)),
    ],
)
def test_only_what_time_does_not_mend_ends_the_source(error: KafkaError, ends: type) -> None:
    source = make_source(FakeConsumer([]))
    source._on_error(error)
    assert isinstance(source._fatal, ends)


class Settling:
    """A channel whose agent is content with every batch."""

    async def send(self, *, value: Any) -> None:
        value.done.set_result(None)


def test_a_batch_whose_commit_can_not_begin_is_read_again(message: Callable[..., Any]) -> None:
    consumer = FakeConsumer([message({}, 5, the_topic="t")])
    consumer.metadata_error = KafkaException(KafkaError(KafkaError._TIMED_OUT))
    source = make_source(consumer)
    source._channel = Settling()
    source._limits = replace(LIMITS, attempts=2)
    asyncio.run(source._turn())
    assert [[m.offset() for m in batch.messages] for batch in source._lost] == [[5]]
