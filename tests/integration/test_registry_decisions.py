"""The registry played whole on running workers: proposed, approved, tried, promoted and rolled back by commands, while
records flow; and what happens to the mapping table when Postgres is killed or restored to an older state."""

import hashlib
import json
import subprocess
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psutil
import psycopg
import pytest
from pydantic import SecretStr
from typer.testing import CliRunner

from agents.mapping_cache import TableAssembler
from cli import main
from infra.postgres.binaries import bin_folder
from infra.postgres.server import LocalPostgres
from mapping.experiment import arm_of
from mapping.mapping_set import MappingSet
from registry.history import History
from registry.migrate import migrate
from registry.outbox import Outbox
from registry.pool import open_pool
from registry.settings import RegistrySettings
from schemas.failures import TransientError
from topics.clients import make_producer

KNOWN: list[tuple[str, Any]] = [("tenant", b"acme"), ("connector", b"crm"), ("entity", b"customer")]
SET = ("--connector", "crm", "--entity", "customer")
NAME = (*SET, "--to", "customer.display_name")


Said = Callable[..., list[dict[str, Any]]]
WaitUntil = Callable[[Callable[[], bool]], None]


class Stream:
    """Records in a steady trickle; each says its number in every field, so an event tells which it was read from."""

    def __init__(self, mesh: Any, wait_until: WaitUntil) -> None:
        self._wait_until = wait_until
        self._topic = mesh.kafka.names.raw_records
        self._producer = make_producer(mesh.kafka)
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._send)
        self.sent = 0

    def __enter__(self) -> "Stream":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ending.set()
        self._thread.join()
        assert self._producer.flush(30) == 0

    def _send(self) -> None:
        while not self._ending.wait(0.1):
            for n in range(self.sent, self.sent + 5):
                value = json.dumps({"id": f"c{n}", "name": f"n{n}", "nick": f"k{n}"})
                self._producer.produce(self._topic, value, b"acme", headers=KNOWN)
            self.sent += 5
            self._producer.poll(0)

    def flows_on(self, worker: Any, revision: int) -> None:
        """Returns when the worker has read some batches since it had `revision` in force."""
        self._wait_until(lambda: worker.metric("aam_mapping_revision") >= revision)
        seen = worker.metric("aam_batch_records_count")
        self._wait_until(lambda: worker.metric("aam_batch_records_count") >= seen + 3)


@pytest.fixture
def said(mesh: Any, monkeypatch: pytest.MonkeyPatch) -> Said:
    """Gives a command, of which every line is JSON; the lines."""

    def give(*arguments: str) -> list[dict[str, Any]]:
        with monkeypatch.context() as patched:
            for name, value in mesh.env.items():
                patched.setenv(name, value)
            done = CliRunner().invoke(main.app, [*arguments, "--json"])
        assert done.exit_code == 0, done.output
        return [json.loads(line) for line in done.stdout.splitlines()]

    return give


def settings(mesh: Any) -> RegistrySettings:
    return RegistrySettings(DATABASE_URL=SecretStr(mesh.database_url))  # type: ignore[call-arg]  # an alias


def test_a_mapping_lives_its_life_while_records_flow(mesh: Any, said: Said, wait_until: WaitUntil) -> None:
    worker = mesh.worker()
    revisions = {"set": 1}
    with Stream(mesh, wait_until) as stream:
        stream.flows_on(worker, 1)
        (proposed,) = said("mappings", "propose", *NAME, "--from", "nick", "--reason", "people like it")
        revisions["approve"] = said("mappings", "approve", str(proposed["id"]))[0]["revision"]
        stream.flows_on(worker, revisions["approve"])
        revisions["rollback"] = said("mappings", "rollback", *NAME)[0]["revision"]
        stream.flows_on(worker, revisions["rollback"])
        (again,) = said("mappings", "propose", *NAME, "--from", "nick", "--op", "upper")
        (tried,) = said("experiments", "start", str(again["id"]), "--percent", "50")
        revisions["start"] = tried["started_revision"]
        stream.flows_on(worker, revisions["start"])
        status = _compared(said, tried["id"], wait_until)
        revisions["promote"] = said("experiments", "promote", str(tried["id"]))[0]["revision"]
        stream.flows_on(worker, revisions["promote"])
        revisions["everything"] = said("mappings", "rollback", "--revision", "1", "--yes")[-1]["revision"]
        stream.flows_on(worker, revisions["everything"])
    events = [event for event in mesh.events(stream.sent) if event["aam"]["source_entity"] == "customer"]
    assert sorted(revisions.values()) == list(range(1, 7))
    assert {event["aam"]["mapping_revision"] for event in events} == set(revisions.values())
    with open_pool(settings(mesh)) as pool:
        history = History(pool)
        for event in events:
            assert _as_its_revision_says(history, event), event
    for arm in status["arms"].values():
        assert arm["conversion_failures"] == 0
        name = arm["fields"]["customer.display_name"]
        assert (name["events"], name["null_rate"], name["distinct"]) == (arm["records"], 0, arm["records"])
    assert status["disagreement"]["rate"] == 1
    log = [entry["action"] for entry in said("registry", "audit")]
    assert log == [
        "set",
        "declare",
        "propose",
        "approve",
        "rollback",
        "propose",
        "start_experiment",
        "promote",
        "rollback",
    ]
    mirrored = [json.loads(m.value()) for m in mesh.read(mesh.kafka.names.registry_events)]
    assert [event["action"] for event in mirrored if event["kind"] == "decision"] == log


def _compared(said: Said, experiment: int, wait_until: WaitUntil) -> dict[str, Any]:
    """The experiment's status once both arms have events."""
    found: dict[str, Any] = {}

    def both() -> bool:
        found.update(said("experiments", "status", str(experiment), "--minutes", "5")[0])
        return all(arm["records"] for arm in found["arms"].values())

    wait_until(both)
    return found


def _as_its_revision_says(history: History, event: dict[str, Any], known: dict[int, MappingSet] = {}) -> bool:  # noqa: B006
    """Whether the event is what the set of its revision, as the registry tells it, makes of its record."""
    revision = event["aam"]["mapping_revision"]
    if revision not in known:
        found = history.composed_set(revision, "acme", "crm", "customer")
        assert found is not None
        assert found.revision == revision
        known[revision] = found
    number = event["aam"]["source_id"][1:]
    experiment = known[revision].experiment
    arm = None if experiment is None else arm_of(experiment, event["aam"]["source_id"])
    (mapping,) = known[revision].mappings if arm != "B" or experiment is None else experiment.mappings
    value = {"name": f"n{number}", "nick": f"k{number}"}[str(mapping.source_field)]
    expected = value.upper() if mapping.transform.op == "upper" else value
    return bool((event["display_name"], event["aam"]["arm"]) == (expected, arm))


def test_the_table_is_the_registrys_after_postgres_was_killed_amid_publishing(
    mesh: Any,
    own_postgres: LocalPostgres,
    new_customer_set: Callable[..., MappingSet],
    wait_until: WaitUntil,
) -> None:
    """Sets are added all the while; as soon as some are published, every process of Postgres is killed."""
    address = own_postgres.database_url()
    assert address is not None
    migrate(address)
    mesh.database_url = mesh.env["DATABASE_URL"] = address
    mesh.publish(new_customer_set())
    worker = mesh.worker()

    published = worker.metric("aam_published_sets_total")

    def change() -> None:
        for number in range(40):
            _insist(partial(mesh.publish, new_customer_set(connector=f"c{number}")))

    with ThreadPoolExecutor(1) as thread:
        changing = thread.submit(change)
        wait_until(lambda: worker.metric("aam_published_sets_total") > published)
        assert not changing.done()
        _kill_9(own_postgres)
        own_postgres.start()
        changing.result()
    with open_pool(settings(mesh)) as pool:
        revision = History(pool).revision()
        table, versions = _until_published(mesh, (1, revision))
        sets = Outbox(pool).everything().sets
    assert worker.metric("aam_publisher_failures_total") >= 1
    assert versions == sorted(versions)
    assert _hash({s.key: s for s in sets}) == _hash(dict(table.sets))
    assert revision == 41, "each change once"


def _kill_9(server: LocalPostgres) -> None:
    leader = psutil.Process(server.status().pid)
    every = [leader, *leader.children(recursive=True)]
    for process in every:
        with suppress(psutil.NoSuchProcess):  # they end by themselves without their leader
            process.kill()
    psutil.wait_procs(every, 10)


def test_workers_follow_a_registry_restored_from_an_old_dump(
    mesh: Any,
    said: Said,
    new_customer_set: Callable[..., MappingSet],
    wait_until: WaitUntil,
    tmp_path: Path,
) -> None:
    """The worker runs all the while; what was decided and published since the dump is lost, and it lets go of it."""
    for connector in ("crm", "kept"):
        mesh.publish(new_customer_set(connector=connector))
    worker = mesh.worker()
    _dump(mesh.database_url, tmp_path / "dump.sql")
    mesh.publish(new_customer_set(connector="kept", name_from="nick"))
    lost = mesh.publish(new_customer_set(connector="lost"))
    wait_until(lambda: worker.metric("aam_mapping_revision") >= lost)
    _restore(mesh.database_url, tmp_path / "dump.sql")
    (recovered,) = said("registry", "recover")
    assert recovered["epoch"] >= 2
    assert recovered["revision"] >= lost
    later = mesh.publish(new_customer_set(name_from="nick"))
    assert later == recovered["revision"] + 1
    table, versions = _until_published(mesh, (recovered["epoch"], later))
    assert versions == sorted(versions)
    wait_until(lambda: worker.metric("aam_mapping_revision") >= later)
    assert worker.metric("aam_mapping_epoch") == recovered["epoch"]
    read_from = {key[1]: [m.source_field for m in held.mappings] for key, held in table.sets.items()}
    assert read_from == {"crm": ["nick"], "kept": ["name"], "lost": []}
    with open_pool(settings(mesh)) as pool:
        sets = Outbox(pool).everything().sets
    assert _hash({s.key: s for s in sets}) == _hash(dict(table.sets))


def _dump(database_url: str, file: Path) -> None:
    options = ("--enable-row-security", "--no-comments")  # as docs/registry.md has it
    subprocess.run([bin_folder() / "pg_dump", *options, f"--dbname={database_url}", f"--file={file}"], check=True)


def _restore(database_url: str, file: Path) -> None:
    """In place, under the feet of all who are connected."""
    parts = urlsplit(database_url)
    name = parts.path[1:]
    with psycopg.connect(parts._replace(path="/postgres").geturl(), autocommit=True) as connection:
        connection.execute(f"DROP DATABASE {name} WITH (FORCE)".encode())
        connection.execute(f"CREATE DATABASE {name} TEMPLATE template0".encode())
    quietly = ("--no-psqlrc", "--quiet", "--set=ON_ERROR_STOP=1", "--single-transaction", "--output=/dev/null")
    subprocess.run([bin_folder() / "psql", *quietly, f"--dbname={database_url}", f"--file={file}"], check=True)


def _insist(act: Callable[[], Any]) -> None:
    for _ in range(50):
        try:
            act()
        except TransientError:
            time.sleep(0.2)
        else:
            return
    pytest.fail("Postgres did not come back")


def _until_published(mesh: Any, version: tuple[int, int], *, seconds: float = 40.0) -> tuple[Any, list[Any]]:
    """(the table once the topic shows `version`, the versions of all markers)."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        assembler = TableAssembler()
        versions = []
        for message in mesh.read(mesh.kafka.names.mapping_table, quiet_seconds=0.4):
            if assembler.take(message.key(), message.value()) and assembler.table is not None:
                marker = json.loads(message.value())
                versions.append((marker["epoch"], marker["revision"]))
        if assembler.table is not None and assembler.table.version >= version:
            return assembler.table, versions
    raise AssertionError(f"not published: {mesh.logs()}")


def _hash(sets: dict[Any, MappingSet]) -> str:
    text = "\n".join(sets[key].model_dump_json() for key in sorted(sets))
    return hashlib.sha256(text.encode()).hexdigest()
