"""Faults around the worker: frozen processes, restarted brokers, other people's aborted transactions, changes in
mid-stream, and a record that kills. A `read_committed` reader finds every record exactly once, in order."""

import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import pytest
from confluent_kafka import TopicPartition

from benchmarks.ledger import Ledger, LedgerReader, LedgerSender
from infra.kafka.broker import LocalKafka
from mapping.mapping_set import Mapping, MappingSet, Transform
from topics.clients import make_admin, make_producer

BRIEF: Final = {
    "AAM_TRANSACTION_TIMEOUT_SECONDS": "6",
    "AAM_BATCH_DEADLINE_SECONDS": "5",
    "AAM_SESSION_TIMEOUT_SECONDS": "6",
}
ACME: Any = [("tenant", b"acme"), ("connector", b"crm"), ("entity", b"customer")]


@contextmanager
def accounting(mesh: Any, ledger: Ledger) -> Iterator[LedgerReader]:
    """Afterwards, every record of the ledger was found exactly once, where it belongs, in order."""
    reader = LedgerReader(mesh.kafka, ledger)
    try:
        yield reader
        reader.read_all(seconds=90, quiet_seconds=2.0)
    finally:
        reader.close()
    assert ledger.verdict().problems == [], mesh.logs()


@pytest.mark.timeout(600)
def test_workers_killed_at_random_moments_lose_double_and_reorder_nothing(
    mesh: Any, wait_until: Callable[..., None]
) -> None:
    """Three kills of one of two workers while 20,000 records of 12 tenants come in."""
    moments = random.Random(7)
    mesh.worker(slot=1)
    victim = mesh.worker(slot=0)
    ledger = Ledger()
    sender = LedgerSender(mesh.kafka, ledger)
    with accounting(mesh, ledger):
        for _ in range(3):
            until = time.monotonic() + moments.uniform(0.5, 2.5)
            while time.monotonic() < until:
                sender.send(100)
                time.sleep(0.04)
            victim.kill()
            victim = mesh.worker(slot=0, wait=False)
            wait_until(victim.ready, seconds=90)
        sender.send(20_000 - ledger.sent)
        sender.flush()


def test_a_frozen_worker_that_wakes_up_writes_nothing_any_more(mesh: Any, wait_until: Callable[..., None]) -> None:
    """Stopped for longer than its transaction and its membership last; a second worker has taken over meanwhile."""
    frozen = mesh.worker(slot=0, **BRIEF)
    ledger = Ledger()
    sender = LedgerSender(mesh.kafka, ledger)
    with accounting(mesh, ledger) as reader:
        sender.send(2_000)
        sender.flush()
        wait_until(lambda: frozen.metric("aam_records_in_total") > 0)
        sender.send(2_000)
        frozen.process.send_signal(signal.SIGSTOP)
        try:
            sender.flush()
            mesh.worker(slot=1, **BRIEF)
            reader.read_all(seconds=90, quiet_seconds=2.0)
        finally:
            frozen.process.send_signal(signal.SIGCONT)
        sender.send(2_000)
        sender.flush()


@pytest.mark.timeout(600)
def test_a_broker_that_dies_and_comes_back_costs_nothing_but_time(
    own_mesh: Any, own_kafka: LocalKafka, wait_until: Callable[..., None]
) -> None:
    """The worker is in the middle of its batches; it lives on, or is restarted as an orchestrator would."""
    worker = own_mesh.worker(**BRIEF)
    ledger = Ledger()
    sender = LedgerSender(own_mesh.kafka, ledger)
    with accounting(own_mesh, ledger) as reader:
        sender.send(5_000)
        wait_until(lambda: reader.read(0.1) > 0)
        pid = own_kafka.status().pid
        assert pid is not None
        os.kill(pid, signal.SIGKILL)
        wait_until(lambda: own_kafka.status().pid is None)  # else its ports, which clients know, are still taken
        own_kafka.start()
        sender.send(5_000)
        sender.flush()
        end = time.monotonic() + 90
        while ledger.missing_count() and time.monotonic() < end:
            reader.read(0.2)
            if worker.process.poll() is not None:
                worker = own_mesh.worker(wait=False, **BRIEF)


def test_a_trickle_flows_on(mesh: Any) -> None:
    """Small batches, each commit beside the next read: once, the two kept each other waiting for ever."""
    mesh.worker()
    ledger = Ledger()
    sender = LedgerSender(mesh.kafka, ledger)
    with accounting(mesh, ledger):
        for _ in range(40):
            sender.send(5)
            time.sleep(0.1)
        sender.flush()


def test_records_deleted_unread_are_told_and_nothing_is_read_twice(mesh: Any) -> None:
    """The group stands before what is left of its partition; the client's own rule would start it over."""
    worker = mesh.worker()
    mesh.produce([({"id": f"c{n}", "name": f"n{n}"}, ACME) for n in range(10)])
    mesh.events(10)
    assert worker.stop() == 0
    mesh.produce([({"id": f"c{n}", "name": f"n{n}"}, ACME) for n in range(10, 20)])
    (partition,) = {event["aam"]["raw"]["partition"] for event in mesh.events(10)}
    place = TopicPartition(mesh.kafka.names.raw_records, partition, 15)
    admin = make_admin(mesh.kafka)  # must live until the answer is there
    admin.delete_records([place])[place].result(30)
    mesh.worker()
    assert [event["display_name"] for event in mesh.events(15)] == [f"n{n}" for n in (*range(10), *range(15, 20))]
    assert "5 records of" in mesh.logs()


def test_holes_of_other_peoples_aborted_transactions_are_no_records(mesh: Any) -> None:
    producer = make_producer(mesh.kafka, transactional_id=f"{mesh.kafka.topic_prefix}-producer")
    producer.init_transactions(30)
    expected = []
    for number in range(40):
        producer.begin_transaction()
        for part in range(5):
            headers: Any = [("tenant", b"acme"), ("connector", b"crm"), ("entity", b"customer")]
            name = f"n{number}-{part}"
            producer.produce(
                mesh.kafka.names.raw_records, json.dumps({"id": name, "name": name}), b"acme", headers=headers
            )
        if number % 3:
            producer.commit_transaction(30)
            expected += [f"n{number}-{part}" for part in range(5)]
        else:
            producer.flush()  # so that they stand in the topic, and are to be skipped
            producer.abort_transaction(30)
    mesh.worker()
    assert [event["display_name"] for event in mesh.events(len(expected))] == expected


def _numbered_set(number: int) -> MappingSet:
    """Both fields of an event say which publication made it."""
    fields = [
        Mapping(
            canonical_entity="customer",
            canonical_field=field,
            source_field=None,
            transform=Transform(op="constant", params={"value": f"p{number}"}),
        )
        for field in ("display_name", "description")
    ]
    return _customers(*fields)


def _customers(*mappings: Mapping) -> MappingSet:
    return MappingSet(connector="crm", entity="customer", epoch=0, revision=0, primary_key=("id",), mappings=mappings)


def test_a_mapping_changed_in_mid_stream_is_named_by_its_events_and_never_mixed(mesh: Any) -> None:
    mesh.publish(_numbered_set(0))
    mesh.worker()
    published: dict[int, str] = {}
    done = threading.Event()

    def publish() -> None:
        for number in range(1, 9):
            published[mesh.publish(_numbered_set(number))] = f"p{number}"
            time.sleep(0.5)
        done.set()

    publishing = threading.Thread(target=publish)
    publishing.start()
    sent = 0
    while not done.is_set():
        mesh.produce([({"id": f"c{n}"}, ACME) for n in range(sent, sent + 50)])
        sent += 50
    publishing.join()
    events = mesh.events(sent)
    assert all(event["display_name"] == event["description"] for event in events)
    made_by: dict[int, set[str]] = {}
    for event in events:
        made_by.setdefault(event["aam"]["mapping_revision"], set()).add(event["display_name"])
    assert len(made_by) > 3
    for revision, names in made_by.items():
        assert names == {published.get(revision, "p0")}
    revisions = [event["aam"]["mapping_revision"] for event in events]
    assert revisions == sorted(revisions)


@pytest.mark.timeout(600)
def test_the_record_that_kills_its_worker_is_found_and_buried(mesh: Any, tmp_path: Path) -> None:
    mapping = Mapping(
        canonical_entity="customer", canonical_field="display_name", source_field="name", transform=Transform(op="trim")
    )
    mesh.publish(_customers(mapping))
    mesh.worker("publish_mappings", slot=5)
    mesh.read(mesh.kafka.names.registry_events, 2)
    names = [f"n{n}" if n != 2 else "deadly" for n in range(4)]
    mesh.produce([({"id": name, "name": name}, ACME) for name in names])
    deaths = _run_until_it_lives(mesh, tmp_path)
    assert 2 <= deaths <= 6
    events = mesh.events(3)
    assert Counter(event["display_name"] for event in events) == Counter(set(names) - {"deadly"})
    (letter,) = mesh.read(mesh.kafka.names.dead_letters, 1)
    assert json.loads(letter.value())["name"] == "deadly"
    assert dict(letter.headers())["aam-error-kind"] == b"bug"


def _run_until_it_lives(mesh: Any, tmp_path: Path) -> int:
    """Starts the worker again and again, as an orchestrator would; how often it died."""
    script = Path(__file__).parent / "segfaulting_worker.py"
    env = mesh.env | {"AAM_WORKER_PORT": "0", "AAM_STATE_DIR": str(tmp_path / "state"), "AAM_BATCH_RECORDS": "4"}
    env["PYTHONPATH"] = str(Path(__file__).parents[2])
    for deaths in range(12):
        with (tmp_path / f"killed-{deaths}.log").open("wb") as log:
            command = [sys.executable, str(script), "worker", "--agents", "canonicalize"]
            process = subprocess.Popen(command, env=env, stdout=log, stderr=log)
        while process.poll() is None:
            if mesh.read(mesh.kafka.names.dead_letters, quiet_seconds=0.5):
                process.send_signal(signal.SIGTERM)
                process.wait(30)
                return deaths
        assert process.returncode == -signal.SIGSEGV, (tmp_path / f"killed-{deaths}.log").read_text()[-2000:]
    raise AssertionError("it never lived")
