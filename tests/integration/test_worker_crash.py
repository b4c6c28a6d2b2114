"""What happens to records when a worker is killed, fails, hangs or is joined by others: none is lost, none doubled."""

import asyncio
import json
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from functools import partial
from typing import Any

from confluent_kafka import TopicPartition

from agents.app import add_agent, build_app
from agents.batch import Batch
from agents.clients import batch_producer, group_consumer, slot_transactional_id
from agents.commit import Transactional
from agents.settings import WorkerSettings
from agents.source import BatchLimits, Source
from agents.watchdog import Watchdog
from agents.worker import QuietWorker
from mapping.mapping_set import MappingSet
from schemas.failures import TransientError
from topics.clients import make_consumer, make_producer

TENANTS = [f"t{n}".encode() for n in range(12)]


def record(number: int) -> tuple[dict[str, Any], list[tuple[str, Any]]]:
    headers = [("tenant", TENANTS[number % 12]), ("connector", b"crm"), ("entity", b"customer")]
    return {"id": f"c{number}", "name": f"n{number}"}, headers


def names(messages: list[Any]) -> Counter[str]:
    return Counter(json.loads(message.value())["display_name"] for message in messages)


def test_a_predecessors_open_transaction_does_not_hold_up_its_successor(mesh: Any) -> None:
    """Killed between its offsets and its commit: they are undecided, and untold, until the transaction ends."""
    mesh.produce([record(0)])
    group, topic = mesh.kafka.names.group("canonicalize"), mesh.kafka.names.raw_records
    transactional_id = slot_transactional_id(mesh.kafka, WorkerSettings(worker_slot=0), "canonicalize")
    dead = make_producer(mesh.kafka, transactional_id=transactional_id)
    dead.init_transactions(10)
    dead.begin_transaction()
    member = make_consumer(mesh.kafka, group_id=group)
    undecided = [TopicPartition(topic, partition, 0) for partition in range(6)]
    dead.send_offsets_to_transaction(undecided, member.consumer_group_metadata(), 10)
    member.close()
    mesh.worker(slot=0)
    assert names(mesh.read(mesh.customers, 1, seconds=15)) == {"n0": 1}


def test_a_release_that_is_killed_releases_nothing_twice(
    mesh: Any, new_customer_set: Callable[..., MappingSet], wait_until: Callable[..., None]
) -> None:
    total = 2_000
    agents = "canonicalize,publish_mappings,release_parked"
    mesh.worker(slot=1)
    mesh.produce(
        [(record(n)[0], [*record(n)[1][:1], ("connector", b"new"), ("entity", b"customer")]) for n in range(total)]
    )
    mesh.read(mesh.kafka.names.raw_parked, total)
    releasing = mesh.worker(agents, slot=0, AAM_RELEASE_CHUNK_RECORDS="50")
    mesh.publish(new_customer_set(connector="new"))
    for _ in range(2):
        wait_until(partial(_has_released, releasing), seconds=60)
        releasing.kill()
        releasing = mesh.worker(agents, slot=0, AAM_RELEASE_CHUNK_RECORDS="50")
    found = names(mesh.read(mesh.customers, total, seconds=90, quiet_seconds=4))
    assert found == Counter(f"n{n}" for n in range(total))


def _has_released(worker: Any) -> bool:
    return bool(worker.ready() and worker.metric("aam_records_released_total") > 0)


def test_a_second_worker_in_the_same_slot_ends_the_first(mesh: Any, wait_until: Callable[..., None]) -> None:
    first = mesh.worker(slot=0)
    mesh.worker(slot=0, wait=False)
    wait_until(lambda: first.process.poll() is not None, seconds=60)
    assert first.process.returncode != 0
    mesh.produce([record(n) for n in range(40)])
    assert names(mesh.read(mesh.customers, 40)) == Counter(f"n{n}" for n in range(40))


def test_partitions_move_between_workers_without_a_trace(mesh: Any) -> None:
    mesh.worker(slot=0)
    mesh.produce([record(n) for n in range(500)])
    second = mesh.worker("canonicalize", slot=1)
    mesh.produce([record(n) for n in range(500, 1000)])
    mesh.read(mesh.customers, 1000)
    assert second.stop() == 0
    mesh.produce([record(n) for n in range(1000, 1500)])
    found = names(mesh.read(mesh.customers, 1500, seconds=60, quiet_seconds=2))
    assert found == Counter(f"n{n}" for n in range(1500))


class Run:
    """A source with an agent of the test's own, in this process, until a number of records has committed."""

    def __init__(self, mesh: Any, handle: Callable[[Batch], Any], *, deadline_seconds: float = 5.0, attempts: int = 4):
        self.mesh = mesh
        self.handle = handle
        self.limits = BatchLimits(
            records=50,
            deadline_seconds=deadline_seconds,
            attempts=attempts,
            retry_seconds=0.05,
        )
        self.failure: Exception | None = None

    async def until(self, count: int, seconds: float) -> None:
        """Run until the output topic has `count` records, the source gives up, or time is over."""
        kafka, settings = self.mesh.kafka, WorkerSettings(worker_slot=0)
        app = build_app("test", data_dir=self.mesh.folder)
        producer = batch_producer(kafka, settings, kafka.names.transactional_id("test"))
        ended = asyncio.Event()

        def give_up(error: Exception) -> None:
            self.failure = error
            ended.set()

        self.committed = 0
        source = Source(
            "test",
            topics=[kafka.names.raw_records],
            open_consumer=lambda **extra: group_consumer(kafka, settings, "test", **extra),
            style=Transactional(producer, timeout_seconds=30),
            channel=add_agent(app, "test", self._handled(count, ended)),
            limits=self.limits,
            watchdog=Watchdog(loop_stall_seconds=60),
            give_up=give_up,
        )
        app.services = (source,)
        worker = QuietWorker(app, loop=asyncio.get_running_loop())
        running = asyncio.ensure_future(worker.start())
        try:
            await asyncio.wait_for(ended.wait(), seconds)
        finally:
            await worker.stop()
            await running

    def _handled(self, count: int, ended: asyncio.Event) -> Callable[[Batch], Any]:
        loop = asyncio.get_running_loop()

        async def handle(batch: Batch) -> None:
            def note() -> None:
                self.committed += len(batch.messages)
                if self.committed >= count:
                    loop.call_soon_threadsafe(ended.set)

            with batch.outcome():
                await self.handle(batch)
                batch.after_commit(note)

        return handle


async def copy(batch: Batch, topic: str) -> None:
    for message in batch.messages:
        batch.produce(topic, message.value(), message.key())


def test_an_agent_that_raises_has_its_batch_replayed_whole(mesh: Any) -> None:
    failures = iter([RuntimeError("first"), TransientError("second")])

    async def flaky(batch: Batch) -> None:
        await copy(batch, mesh.customers)
        for failure in failures:
            raise failure

    mesh.produce([record(n) for n in range(200)])
    asyncio.run(Run(mesh, flaky).until(200, 60))
    found = Counter(json.loads(m.value())["name"] for m in mesh.read(mesh.customers, 200, quiet_seconds=2))
    assert found == Counter(f"n{n}" for n in range(200))


def test_an_agent_that_hangs_once_has_its_batch_replayed(mesh: Any) -> None:
    hangs = iter([True])

    async def slow(batch: Batch) -> None:
        await copy(batch, mesh.customers)
        if next(hangs, False):
            await asyncio.sleep(3)

    mesh.produce([record(n) for n in range(100)])
    asyncio.run(Run(mesh, slow, deadline_seconds=1.0, attempts=10).until(100, 60))
    found = Counter(json.loads(m.value())["name"] for m in mesh.read(mesh.customers, 100, quiet_seconds=2))
    assert found == Counter(f"n{n}" for n in range(100))


def test_a_batch_that_never_works_ends_the_worker_and_stays_unread(mesh: Any) -> None:
    async def broken(batch: Batch) -> None:
        await copy(batch, mesh.customers)
        raise RuntimeError("always")

    mesh.produce([record(n) for n in range(20)])
    run = Run(mesh, broken)
    asyncio.run(run.until(20, 60))
    assert isinstance(run.failure, RuntimeError)
    assert mesh.read(mesh.customers) == []
    second = Run(mesh, lambda batch: copy(batch, mesh.customers))
    asyncio.run(second.until(20, 60))
    assert len(mesh.read(mesh.customers, 20)) == 20


STUCK_LOOP = """
import asyncio, time
from agents.watchdog import Watchdog
from agents.worker import Heart

async def main():
    watchdog = Watchdog(loop_stall_seconds=1.0)
    watchdog.start()
    await Heart(watchdog).start()
    await asyncio.sleep(0.2)
    time.sleep(60)

asyncio.run(main())
"""


def test_the_watchdog_ends_a_process_whose_loop_stands_still() -> None:
    ended = subprocess.run([sys.executable, "-c", STUCK_LOOP], capture_output=True, text=True, timeout=30, check=False)
    assert ended.returncode == 70
    assert "the event loop stood still" in ended.stderr
