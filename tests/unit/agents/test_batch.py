"""Offsets, retries and the life of a batch."""

import asyncio
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agents.batch import Batch, Stopping, Writer, backoff_seconds, first_offsets, next_offsets
from schemas.failures import Bug, TransientError


@dataclass
class At:
    """A message that is nothing but its place."""

    place: tuple[str, int, int]

    def topic(self) -> str:
        return self.place[0]

    def partition(self) -> int:
        return self.place[1]

    def offset(self) -> int:
        return self.place[2]


@dataclass
class FullProducer:
    """Its buffer is full `full` times."""

    full: int
    sent: list[Any] = field(default_factory=list)

    def produce(self, *arguments: Any, **named: Any) -> None:
        if self.full > 0:
            self.full -= 1
            raise BufferError
        self.sent.append((arguments, named))

    def poll(self, _seconds: float) -> int:
        return 0


def make_batch() -> Batch:
    return Batch([], thread=ThreadPoolExecutor(1))


def test_the_holes_of_transactions_do_not_matter() -> None:
    read = [At(("raw", 0, 5)), At(("raw", 1, 0)), At(("raw", 0, 9)), At(("raw", 0, 11))]
    assert first_offsets(read) == {("raw", 0): 5, ("raw", 1): 0}
    assert next_offsets(read) == {("raw", 0): 12, ("raw", 1): 1}


@given(st.dictionaries(st.tuples(st.sampled_from("ab"), st.integers(0, 3)), st.sets(st.integers(0, 99), min_size=1)))
def test_what_is_committed_is_one_past_the_last_of_each_partition(offsets: dict[tuple[str, int], set[int]]) -> None:
    read = [At((topic, partition, offset)) for (topic, partition), all_ in offsets.items() for offset in sorted(all_)]
    assert next_offsets(read) == {place: max(all_) + 1 for place, all_ in offsets.items()}
    assert first_offsets(read) == {place: min(all_) for place, all_ in offsets.items()}


@given(st.integers(1, 60))
def test_pauses_grow_to_their_limit(attempt: int) -> None:
    pause = backoff_seconds(attempt, base=0.5, limit=10.0)
    whole = min(10.0, 0.5 * 2 ** (attempt - 1))
    assert whole / 2 <= pause <= whole


def test_an_exception_settles_the_batch_and_goes_no_further() -> None:
    async def run() -> BaseException | None:
        batch = make_batch()
        with batch.outcome():
            raise ValueError
        return batch.done.exception()

    assert isinstance(asyncio.run(run()), ValueError)


def test_a_stopped_agent_fails_its_batch_and_stops() -> None:
    async def run() -> BaseException | None:
        batch = make_batch()

        async def agent() -> None:
            with batch.outcome():
                await asyncio.sleep(60)

        task = asyncio.ensure_future(agent())
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        return batch.done.exception()

    assert isinstance(asyncio.run(run()), Stopping)


def test_nothing_is_done_in_a_batch_that_has_ended() -> None:
    async def run() -> None:
        batch = make_batch()
        batch.fail(TransientError("late"))
        batch.done.exception()
        assert not batch.is_open
        with pytest.raises(Bug):
            await batch.in_thread(lambda: None)

    asyncio.run(run())


def test_what_a_batch_writes_is_held_back_until_its_turn() -> None:
    async def run() -> list[Any]:
        batch, producer = make_batch(), FullProducer(full=0)
        batch.produce("topic", b"1", b"key")
        batch.produce("topic", b"2", b"key", [("h", b"1")])
        assert producer.sent == []
        batch.write(Writer(producer, time.monotonic() + 5))  # type: ignore[arg-type]  # a stand-in
        return producer.sent

    assert asyncio.run(run()) == [(("topic", b"1", b"key"), {}), (("topic", b"2", b"key"), {"headers": [("h", b"1")]})]


def test_a_full_buffer_is_waited_for() -> None:
    producer = FullProducer(full=3)
    Writer(producer, time.monotonic() + 5).produce("topic", b"value", b"key", [("h", b"1")])  # type: ignore[arg-type]  # a stand-in
    assert producer.sent == [(("topic", b"value", b"key"), {"headers": [("h", b"1")]})]


def test_a_buffer_that_stays_full_is_a_transient_failure() -> None:
    writer = Writer(FullProducer(full=1000), time.monotonic() - 1)  # type: ignore[arg-type]  # a stand-in
    with pytest.raises(TransientError):
        writer.produce("topic", b"value")
