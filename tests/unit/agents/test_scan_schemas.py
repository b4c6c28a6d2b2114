"""How scan jobs are read and committed: in any order, urgent ones first, none committed before it is over."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from confluent_kafka import KafkaError, TopicPartition

from agents import scan_schemas
from agents.scan_job import Settled, Write
from agents.scan_schemas import READ_AHEAD, Scanner
from registry.errors import RegistryUnavailable
from schemas.failures import AamError
from topics.names import TopicNames

CRITICAL, NORMAL, BULK = TopicNames().scan_jobs.values()


class FakeConsumer:
    """Gives what is put into `unread`, but for paused partitions."""

    def __init__(self) -> None:
        self.unread: list[Any] = []
        self.commits: list[dict[tuple[str, int], int]] = []
        self.paused: set[tuple[str, int]] = set()

    def subscribe(self, topics: list[str], *, on_assign: Any, on_revoke: Any) -> None:
        self.on_revoke = on_revoke
        on_assign(self, [TopicPartition(topic, 0) for topic in topics])

    def consume(self, most: int, _seconds: float) -> list[Any]:
        given = [one for one in self.unread if (one.topic(), one.partition()) not in self.paused][:most]
        self.unread = [one for one in self.unread if one not in given]
        return given

    def commit(self, *, offsets: list[TopicPartition], asynchronous: bool) -> None:
        assert asynchronous
        self.commits.append({(one.topic, one.partition): one.offset for one in offsets})

    def pause(self, partitions: list[TopicPartition]) -> None:
        self.paused |= {(one.topic, one.partition) for one in partitions}

    def resume(self, partitions: list[TopicPartition]) -> None:
        self.paused -= {(one.topic, one.partition) for one in partitions}


class FakeProducer:
    def __init__(self) -> None:
        self.waiting: list[Any] = []
        self.error: KafkaError | None = None

    def produce(self, topic: str, *_: Any, on_delivery: Any, **__: Any) -> None:
        self.waiting.append(on_delivery)

    def poll(self, _seconds: float) -> None:
        waiting, self.waiting = self.waiting, []
        for on_delivery in waiting:
            on_delivery(self.error, None)


class Scans:
    """A scanner whose jobs end when a test says so: `end` by offset, `writes` what each leaves."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.consumer, self.producer = FakeConsumer(), FakeProducer()
        self.begun: list[tuple[str, int]] = []
        self.gates: dict[tuple[str, int], asyncio.Event] = {}
        self.writes: list[Write] = []
        self.error: Exception | None = None
        monkeypatch.setattr(scan_schemas, "run_scan", self._scan)
        monkeypatch.setattr(scan_schemas, "COMMIT_SECONDS", 0.0)

    async def _scan(self, _tools: Any, message: Any) -> Settled:
        place = (message.topic(), message.offset())
        self.begun.append(place)
        await self.gates.setdefault(place, asyncio.Event()).wait()
        if self.error:
            raise self.error
        return Settled("done", self.writes)

    def end(self, topic: str, *offsets: int) -> None:
        for offset in offsets:
            self.gates.setdefault((topic, offset), asyncio.Event()).set()

    def run(self, work: Callable[[Callable[[], Awaitable[None]]], Awaitable[None]]) -> None:
        async def main() -> None:
            tools: Any = type("Tools", (), {"names": TopicNames()})
            fakes: Any = (self.consumer, self.producer)
            scanner = Scanner(tools, *fakes)

            async def turn() -> None:
                for _ in range(4):
                    scanner.step()
                    await asyncio.sleep(0)
                    await asyncio.sleep(0)

            try:
                await work(turn)
            finally:
                await scanner.end()

        asyncio.run(main())


@pytest.fixture
def scans(monkeypatch: pytest.MonkeyPatch) -> Scans:
    return Scans(monkeypatch)


@pytest.fixture
def jobs(message: Callable[..., Any]) -> Callable[..., list[Any]]:
    def make(topic: str, *offsets: int, **given: Any) -> list[Any]:
        job = {"tenant": "acme", "connection": "s", "requested_at": "2026-01-01T00:00:00Z"} | given
        return [message(job, offset, the_topic=topic) for offset in offsets]

    return make


def test_a_slow_vendor_holds_up_no_other_and_its_offset_waits(scans: Scans, jobs: Any) -> None:
    async def work(turn: Any) -> None:
        scans.consumer.unread = jobs(NORMAL, 0, 1, 2)
        scans.end(NORMAL, 1, 2)
        await turn()
        assert scans.consumer.commits == [{(NORMAL, 0): 0}]
        scans.consumer.unread = jobs(NORMAL, 3)
        scans.end(NORMAL, 3)
        await turn()
        assert len(scans.begun) == 4
        assert scans.consumer.commits == [{(NORMAL, 0): 0}]
        scans.end(NORMAL, 0)
        await turn()
        assert scans.consumer.commits[-1] == {(NORMAL, 0): 4}

    scans.run(work)


def test_critical_before_normal_before_bulk(scans: Scans, jobs: Any) -> None:
    async def work(turn: Any) -> None:
        scans.consumer.unread = [*jobs(BULK, 0), *jobs(NORMAL, 0), *jobs(CRITICAL, 0)]
        await turn()
        assert [topic for topic, _ in scans.begun] == [CRITICAL, NORMAL, BULK]

    scans.run(work)


def test_a_thousand_slow_vendors_of_a_bulk_scan_leave_room_for_others(scans: Scans, jobs: Any) -> None:
    async def work(turn: Any) -> None:
        scans.consumer.unread = jobs(BULK, *range(1000))
        await turn()
        bulk = len(scans.begun)
        assert 0 < bulk < 64
        assert scans.consumer.paused == {(BULK, 0)}
        assert len(scans.consumer.unread) > 1000 - 4 * READ_AHEAD
        scans.consumer.unread += jobs(CRITICAL, 0)
        await turn()
        assert scans.begun[bulk:] == [(CRITICAL, 0)]
        scans.end(BULK, *range(1000))
        for _ in range(100):
            await turn()
        assert not scans.consumer.unread
        assert scans.consumer.commits[-1] == {(BULK, 0): 1000}

    scans.run(work)


def test_nothing_is_over_before_kafka_has_it(scans: Scans, jobs: Any) -> None:
    scans.writes = [Write("t", b"k", b"v")] * 2
    scans.end(NORMAL, 0)

    async def work(turn: Any) -> None:
        scans.consumer.unread = jobs(NORMAL, 0)
        scans.producer.error = KafkaError(KafkaError._MSG_TIMED_OUT)
        with pytest.raises(AamError):
            await turn()
        assert {(NORMAL, 0): 1} not in scans.consumer.commits

    scans.run(work)
    assert {(NORMAL, 0): 1} not in scans.consumer.commits


def test_without_the_registry_a_job_stays_open(scans: Scans, jobs: Any) -> None:
    scans.error = RegistryUnavailable("away")
    scans.end(NORMAL, 0)

    async def work(turn: Any) -> None:
        scans.consumer.unread = jobs(NORMAL, 0)
        with pytest.raises(RegistryUnavailable):
            await turn()

    scans.run(work)
    assert {(NORMAL, 0): 1} not in scans.consumer.commits


def test_another_try_is_not_begun_before_its_time(scans: Scans, jobs: Any) -> None:
    async def work(turn: Any) -> None:
        scans.consumer.unread = jobs(NORMAL, 0, not_before="2999-01-01T00:00:00Z") + jobs(NORMAL, 1)
        await turn()
        assert scans.begun == [(NORMAL, 1)]

    scans.run(work)


def test_jobs_of_a_partition_that_went_are_given_up(scans: Scans, jobs: Any) -> None:
    async def work(turn: Any) -> None:
        scans.consumer.unread = jobs(NORMAL, 0, 1) + jobs(BULK, 0)
        await turn()
        scans.consumer.on_revoke(scans.consumer, [TopicPartition(NORMAL, 0)])
        scans.end(NORMAL, 0, 1)
        scans.end(BULK, 0)
        await turn()
        assert scans.consumer.commits == [{(NORMAL, 0): 0, (BULK, 0): 0}, {(BULK, 0): 1}]

    scans.run(work)
