"""The registry played whole on running workers: proposed, approved, tried, promoted and rolled back by commands, while
records flow; and what happens to the mapping table when Postgres dies or is restored."""

import hashlib
import json
import threading
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
from pydantic import SecretStr

from agents.mapping_cache import TableAssembler
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


class Stream:
    """Records in a steady trickle; each says its number in every field, so an event tells which it was read from."""

    def __init__(self, mesh: Any) -> None:
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


def said(mesh: Any, *arguments: str) -> dict[str, Any]:
    """A command's JSON."""
    done = mesh.aam(*arguments, "--json")
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])  # type: ignore[no-any-return]


def settings(mesh: Any) -> RegistrySettings:
    return RegistrySettings(DATABASE_URL=SecretStr(mesh.database_url))  # type: ignore[call-arg]  # an alias


def test_a_mapping_lives_its_life_while_records_flow(mesh: Any) -> None:
    mesh.worker()
    revisions: dict[str, int] = {"set": 1}
    with Stream(mesh) as stream:
        time.sleep(1)
        proposed = said(mesh, "mappings", "propose", *NAME, "--from", "nick", "--reason", "people like it")
        revisions["approve"] = said(mesh, "mappings", "approve", str(proposed["id"]))["revision"]
        time.sleep(2)
        revisions["rollback"] = said(mesh, "mappings", "rollback", *NAME)["revision"]
        again = said(mesh, "mappings", "propose", *NAME, "--from", "nick", "--op", "upper")
        tried = said(mesh, "experiments", "start", str(again["id"]), "--percent", "50")
        revisions["start"] = tried["started_revision"]
        time.sleep(2)
        status = said(mesh, "experiments", "status", str(tried["id"]), "--minutes", "5")
        revisions["promote"] = said(mesh, "experiments", "promote", str(tried["id"]))["revision"]
        time.sleep(2)
        revisions["everything"] = said(mesh, "mappings", "rollback", "--revision", "1", "--yes")["revision"]
        time.sleep(2)
    events = [event for event in mesh.events(stream.sent) if event["aam"]["source_entity"] == "customer"]
    assert sorted(revisions.values()) == list(range(1, 7))
    assert {event["aam"]["mapping_revision"] for event in events} == set(revisions.values())
    with open_pool(settings(mesh)) as pool:
        history = History(pool)
        for event in events:
            assert _as_its_revision_says(history, event), event
    arms = status["arms"]
    assert arms["A"]["records"] > 0
    assert arms["B"]["records"] > 0
    assert arms["B"]["fields"]["customer.display_name"]["null_rate"] == 0
    assert status["disagreement"]["rate"] == 1
    log = [json.loads(line)["action"] for line in mesh.aam("registry", "audit", "--json").stdout.splitlines()]
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


def test_the_table_is_the_registrys_after_postgres_died_amid_publishing(
    mesh: Any, own_postgres: LocalPostgres, new_customer_set: Callable[..., MappingSet]
) -> None:
    """Sets are changed all the while; Postgres is stopped under the publisher three times."""
    address = own_postgres.database_url()
    assert address is not None
    migrate(address)
    mesh.database_url = mesh.env["DATABASE_URL"] = address
    mesh.publish(new_customer_set())
    mesh.worker()
    for kill in range(3):
        for number in range(10):
            _insist(partial(mesh.publish, new_customer_set(connector=f"c{number}", name_from=f"f{kill}")))
        own_postgres.stop()
        own_postgres.start()
    with open_pool(settings(mesh)) as pool:
        revision = History(pool).revision()
        table, versions = _until_published(mesh, (1, revision))
        sets = Outbox(pool).everything().sets
    assert versions == sorted(versions)
    assert _hash({s.key: s for s in sets}) == _hash(dict(table.sets))


def test_workers_follow_a_restored_registry_after_recover(
    mesh: Any, empty_database_url: str, new_customer_set: Callable[..., MappingSet]
) -> None:
    for number in range(3):
        mesh.publish(new_customer_set(connector=f"c{number}"))
    worker = mesh.worker()
    _until_published(mesh, (1, 4))
    worker.stop()
    migrate(empty_database_url)  # an older state: it knows nothing of what was published
    mesh.database_url = mesh.env["DATABASE_URL"] = empty_database_url
    mesh.publish(new_customer_set(connector="c0", name_from="nick"))
    recovered = said(mesh, "registry", "recover")
    assert recovered == {"epoch": 2, "revision": 5}
    mesh.worker()
    table, _ = _until_published(mesh, (2, 5))
    assert {key[1]: len(held.mappings) for key, held in table.sets.items()} == {"c0": 1, "c1": 0, "c2": 0, "crm": 0}
    assert mesh.publish(new_customer_set(connector="c1")) == 6


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
        for message in mesh.read(mesh.kafka.names.mapping_table, quiet_seconds=0.6):
            if assembler.take(message.key(), message.value()) and assembler.table is not None:
                marker = json.loads(message.value())
                versions.append((marker["epoch"], marker["revision"]))
        if assembler.table is not None and assembler.table.version >= version:
            return assembler.table, versions
    raise AssertionError(f"not published: {mesh.logs()}")


def _hash(sets: dict[Any, MappingSet]) -> str:
    text = "\n".join(sets[key].model_dump_json() for key in sorted(sets))
    return hashlib.sha256(text.encode()).hexdigest()
