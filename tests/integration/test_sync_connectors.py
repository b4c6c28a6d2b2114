"""Vendors in the sandbox, through connections and the raw topic, to canonical events; killed, refused and gone."""

import json
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
import pytest
from confluent_kafka import Consumer, TopicPartition
from pydantic import SecretStr

from connectors.spec_files import load_spec, spec_files
from registry.connections import Connections, NewConnection
from registry.mapping_store import MappingStore
from registry.pool import Pool, open_pool
from registry.secret_cipher import new_key
from registry.seeds import load_seeds
from registry.settings import RegistrySettings
from sandbox.server import running_sandbox
from sandbox.settings import SandboxSettings

SECRETS = {
    "token": "sandbox-token", "access_token": "sandbox-token", "api_key": "sandbox-token",
    "client_id": "sandbox-client", "client_secret": "sandbox-secret", "refresh_token": "sandbox-refresh",
    "access_key_id": "AKIASANDBOX", "secret_access_key": "sandbox-secret-key",
}  # fmt: skip
RECORDS = 30


@pytest.fixture(scope="module")
def sandbox() -> Iterator[str]:
    with running_sandbox(SandboxSettings(port=0, records=RECORDS, limits=False)) as url:
        yield url


@dataclass
class Pulled:
    """A mesh whose environment lets it reach the sandbox."""

    mesh: Any
    url: str

    def add(self, connector: str, *, identity: str | None = None, **given: Any) -> None:
        """Adds a connection of tenant `acme` with the sandbox's credentials, from the environment."""
        config = load_spec(connector).config.items()
        new = NewConnection(
            "acme",
            identity or connector,
            connector,
            {name: variable.example or "acme" for name, variable in config if variable.default is None},
            {name: f"env:SANDBOX_{name.upper()}" for name in SECRETS} | given.pop("secrets", {}),
            f"{self.url}/{connector}",
            **given,
        )
        with self.pool() as pool:
            Connections(pool).add(new, actor="test")

    @contextmanager
    def pool(self) -> Iterator[Pool]:
        settings = RegistrySettings(DATABASE_URL=SecretStr(self.mesh.database_url))  # type: ignore[call-arg]  # an alias
        with open_pool(settings) as pool:
            yield pool

    def must(self, *arguments: str) -> dict[str, Any]:
        done = self.mesh.aam("connectors", *arguments)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout) if "--json" in arguments else {}

    def raw(self, count: int) -> list[dict[str, str]]:
        """The headers of raw records, with the id of the record as `id`."""
        found = []
        for message in self.mesh.read(self.mesh.kafka.names.raw_records, count):
            headers = {name: value.decode() for name, value in message.headers() or []}
            record = json.loads(message.value() or b"{}")
            found.append(headers | {"id": str(record.get("id"))})
        return found

    def connection(self, identity: str) -> Any:
        with self.pool() as pool:
            return Connections(pool).get("acme", identity)


@pytest.fixture
def pulled(mesh: Any, sandbox: str) -> Pulled:
    mesh.env |= {f"SANDBOX_{name.upper()}": value for name, value in SECRETS.items()}
    mesh.env["AAM_SECRET_ENV"] = ",".join(f"acme=SANDBOX_{name.upper()}" for name in SECRETS)
    mesh.env["AAM_SECRET_KEY"] = new_key()
    mesh.env["AAM_EGRESS_ALLOW"] = "127.0.0.1:*"
    return Pulled(mesh, sandbox)


def test_all_connectors_become_canonical_events(pulled: Pulled, wait_until: Any) -> None:
    mesh = pulled.mesh
    with pulled.pool() as pool:
        MappingStore(pool).import_seed(load_seeds(), actor="test")
    connectors = list(spec_files())
    for connector in connectors:
        pulled.add(connector, interval_seconds=3600)
    worker = mesh.worker("canonicalize,publish_mappings,sync_connectors")
    wait_until(lambda: all(pulled.connection(name).last_sync_at for name in connectors), seconds=90)
    problems = {name: pulled.connection(name).problems for name in connectors}
    assert not any(problems.values()), problems
    sent = Counter((raw["connector"], raw["entity"]) for raw in pulled.raw(500))
    expected = {(name, entity) for name in connectors for entity in load_spec(name).entities}
    deletions = {("stripe", "customer_deletion"), ("hubspot", "archived_contact")}
    assert expected - deletions <= sent.keys() | {("hubspot", "archived_contact")}
    assert worker.process.poll() is None, mesh.logs()
    wait_until(lambda: worker.metric("aam_records_in_total") >= sum(sent.values()), seconds=60)
    assert worker.metric("aam_dead_letters_total") == 0
    assert worker.metric("aam_records_parked_total") == 0
    assert worker.metric("aam_events_out_total") >= sum(sent.values())


def slowly(pulled: Pulled, folder: Path) -> None:
    """HubSpot by a spec of the user's own: three contacts a page, two pages a second."""
    spec = json.loads(spec_files()["hubspot"].read_text())
    contact = spec["entities"]["contact"]
    contact["pagination"]["page_size"] = 3
    spec |= {"entities": {"contact": contact}, "rate_limits": [{"limit": 2, "per": "second"}], "test_entity": None}
    (folder / "hubspot.json").write_text(json.dumps(spec))
    pulled.mesh.env["AAM_SPECS_FOLDER"] = str(folder)


def test_a_killed_sync_loses_nothing(pulled: Pulled, tmp_path: Path, wait_until: Any) -> None:
    slowly(pulled, tmp_path)
    pulled.add("hubspot", identity="hs")
    command = [sys.executable, "-m", "cli", "connectors", "sync", "hs", "--tenant", "acme"]
    process = subprocess.Popen(command, env=pulled.mesh.env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    wait_until(lambda: pulled.connection("hs").records > 0)
    process.kill()
    process.wait()
    delivered = pulled.connection("hs").records
    assert 0 < delivered < RECORDS
    assert pulled.mesh.aam("connectors", "sync", "hs", "--tenant", "acme").returncode == 3  # the claim isn't over yet
    with psycopg.connect(pulled.mesh.database_url, autocommit=True) as connection:
        connection.execute("UPDATE connection SET claimed_until = now() WHERE id = 'hs'")  # as if it were
    again = pulled.must("sync", "hs", "--tenant", "acme", "--json")
    assert again["records"]["contact"] == RECORDS - delivered
    assert len({raw["id"] for raw in pulled.raw(RECORDS)}) == RECORDS


def test_scan_jobs_announce_schemas_and_what_fails_is_a_dead_letter(pulled: Pulled, wait_until: Any) -> None:
    names = pulled.mesh.kafka.names
    pulled.add("github", identity="gh", entities=["repository"])
    pulled.add("hubspot", identity="hs", entities=["contact"])
    pulled.add("stripe", identity="locked", secrets={"api_key": "env:NOBODYS"})
    pulled.must("scan", "--tenant", "acme")
    pulled.must("scan", "gh", "--tenant", "acme", "--urgency", "critical")
    worker = pulled.mesh.worker("scan_schemas", wait=False)
    changes = [json.loads(message.value() or b"") for message in pulled.mesh.read(names.schema_changes, 3)]
    assert Counter(change["connection"] for change in changes) == {"gh": 2, "hs": 1}
    paths = {change["connection"]: {field["path"] for field in change["fields"]} for change in changes}
    assert "full_name" in paths["gh"]
    assert "properties.favourite_plan__c" in paths["hs"]  # listed by the vendor beside its records
    (letter,) = pulled.mesh.read(names.dead_letters, 1)
    assert json.loads(letter.value() or b"")["connection"] == "locked"
    assert pulled.connection("locked").status == "action_required"
    wait_until(lambda: committed(pulled, names.scan_jobs["bulk"]) == 3)
    assert committed(pulled, names.scan_jobs["critical"]) == 1
    assert worker.stop() == 0


def committed(pulled: Pulled, topic: str) -> int:
    """How many scan jobs of a topic are over."""
    consumer = Consumer(
        {
            "bootstrap.servers": pulled.mesh.kafka.bootstrap_servers,
            "group.id": pulled.mesh.kafka.names.group("scan_schemas"),
        }
    )
    found = consumer.committed([TopicPartition(topic, number) for number in range(6)], timeout=10)
    consumer.close()
    return sum(max(0, partition.offset) for partition in found)


def test_what_goes_wrong_stands_on_the_connection(pulled: Pulled) -> None:
    pulled.add("stripe", identity="locked", secrets={"api_key": "env:NOBODYS"})
    refused = pulled.mesh.aam("connectors", "sync", "locked", "--tenant", "acme")
    assert refused.returncode == 3
    assert "AAM_SECRET_ENV" in refused.stderr
    stored = pulled.connection("locked")
    assert stored.status == "action_required"
    assert "acme=NOBODYS" in stored.reason
    changed = ["--id", "locked", "--base-url", f"{pulled.url}/stripe", "--secret", "api_key=env:SANDBOX_API_KEY"]
    pulled.must("add", "stripe", "--tenant", "acme", *changed)
    pulled.must("resume", "locked", "--tenant", "acme")
    assert pulled.must("sync", "locked", "--tenant", "acme", "--entity", "product", "--json")["problems"] == {}
    assert pulled.connection("locked").status == "active"


def test_a_test_shows_paging_counts_and_schema_and_writes_nothing(pulled: Pulled) -> None:
    pulled.add("github", identity="gh")
    told = pulled.must("test", "gh", "--tenant", "acme", "--entity", "repository", "--json")
    assert told["auth"] == "bearer"
    shown = told["entities"]
    assert [(row["entity"], row["result"], row["paging"]) for row in shown] == [
        ("repository", "ok", "link_header: as the spec says")
    ]
    assert {"id", "name", "full_name"} <= {field["path"] for field in shown[0]["schema"]}
    assert pulled.connection("gh").records == 0


def test_a_secret_is_piped_stored_and_never_shown(pulled: Pulled) -> None:
    command = [
        sys.executable, "-m", "cli", "connectors", "add", "stripe", "--tenant", "acme", "--secret", "api_key=-",
        "--json", "--base-url", f"{pulled.url}/stripe",
    ]  # fmt: skip
    done = subprocess.run(
        command, env=pulled.mesh.env, input="sandbox-token\n", capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["secrets"] == {"api_key": "store:stripe/api_key"}
    assert "sandbox-token" not in done.stdout + done.stderr
    assert pulled.must("sync", "stripe", "--tenant", "acme", "--entity", "product", "--json")["problems"] == {}
    given = pulled.mesh.aam("connectors", "add", "stripe", "--tenant", "acme", "--secret", "api_key=sk_live_1")
    assert given.returncode == 5
    assert "sk_live_1" not in given.stdout + given.stderr
