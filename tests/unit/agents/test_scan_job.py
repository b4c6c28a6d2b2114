"""What becomes of a scan job: schema changes, another try later, or a dead letter with the reason."""

import asyncio
import json
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest
from pydantic import SecretStr

from agents import scan_job
from agents.scan_job import ATTEMPTS, ScanTools, Settled, run_scan
from connectors.egress import Egress
from connectors.limits import LimitBook
from connectors.settings import ConnectorSettings
from registry.connections import StoredConnection
from registry.errors import InvalidDecision, RegistryUnavailable
from topics.names import TopicNames

NAMES = TopicNames()
LANE = NAMES.scan_jobs["normal"]
JOB = {"tenant": "acme", "connection": "s", "requested_at": "2026-01-01T00:00:00Z"}
Vendor = Callable[[httpx.Request], httpx.Response]


class FakeConnections:
    def __init__(self, error: Exception | None = None, **given: Any) -> None:
        self.error = error
        self.given = {"secrets": {"api_key": "x"}, "entities": ["customer", "product"]} | given
        self.statuses: list[tuple[str, str]] = []

    def get(self, tenant: str, identity: str) -> StoredConnection:
        if self.error:
            raise self.error
        return StoredConnection(tenant, identity, "stripe", **self.given)

    def set_status(self, _tenant: str, _identity: str, status: str, *, reason: str, fix: str) -> None:
        assert fix
        self.statuses.append((status, reason))


class FakeSecrets:
    def resolve(self, *_: str) -> SecretStr:
        return SecretStr("sk")


def stripe(request: httpx.Request) -> httpx.Response:
    name = request.url.path.rpartition("/")[2]
    return httpx.Response(200, json={"data": [{"id": "1", "created": 1, f"of_{name}": "x"}], "has_more": False})


@pytest.fixture
def scan(message: Callable[..., Any]) -> Callable[..., Settled]:
    def run(
        vendor: Vendor = stripe,
        *,
        job: Any = JOB,
        connections: FakeConnections | None = None,
        attempts: int | None = None,
        **given: Any,
    ) -> Settled:
        async def work() -> Settled:
            settings = ConnectorSettings(retry_attempts=1)
            egress = Egress(settings, transport=httpx.MockTransport(vendor))
            kept: Any = connections or FakeConnections()
            secrets: Any = FakeSecrets()
            tools = ScanTools(NAMES, kept, secrets, egress, LimitBook(), settings, **given)
            headers = [] if attempts is None else [("aam-error-attempts", b"%d" % attempts)]
            return await run_scan(tools, message(job, the_topic=LANE, the_headers=headers))

        return asyncio.run(work())

    return run


def header(write: Any, name: str) -> str:
    return str(dict(write.headers)[name].decode())


def test_each_entity_becomes_a_schema_change(scan: Callable[..., Settled]) -> None:
    settled = scan()
    assert settled.outcome == "done"
    changes = [json.loads(write.value or b"") for write in settled.writes]
    assert [write.topic for write in settled.writes] == [NAMES.schema_changes] * 2
    assert [(one["tenant"], one["connector"], one["connection"], one["entity"]) for one in changes] == [
        ("acme", "stripe", "s", "customer"),
        ("acme", "stripe", "s", "product"),
    ]
    assert "of_customers" in {field["path"] for field in changes[0]["fields"]}
    assert [write.key for write in settled.writes] == [b"acme"] * 2


def test_only_the_entities_that_the_job_names(scan: Callable[..., Settled]) -> None:
    settled = scan(job=JOB | {"entities": ["product"]})
    assert [json.loads(write.value or b"")["entity"] for write in settled.writes] == ["product"]


def half_down(request: httpx.Request) -> httpx.Response:
    return httpx.Response(503) if request.url.path.endswith("/products") else stripe(request)


def test_what_did_not_answer_is_tried_again_later_and_alone(scan: Callable[..., Settled]) -> None:
    settled = scan(half_down, attempts=2, pause_seconds=100.0)
    change, again = settled.writes
    assert (settled.outcome, change.topic, again.topic) == ("retried", NAMES.schema_changes, LANE)
    later = json.loads(again.value or b"")
    assert later["entities"] == ["product"]
    wait = datetime.fromisoformat(later["not_before"]) - datetime.now(UTC)
    assert 90 < wait.total_seconds() <= 200  # the second pause of 100, 200, 400 …, half of it by chance
    assert header(again, "aam-error-attempts") == "3"


def test_the_last_try_is_a_dead_letter_with_the_tries_counted(scan: Callable[..., Settled]) -> None:
    settled = scan(half_down, attempts=ATTEMPTS)
    change, letter = settled.writes
    assert (settled.outcome, settled.kind) == ("dead_letter", "transient")
    assert (change.topic, letter.topic) == (NAMES.schema_changes, NAMES.dead_letters)
    assert json.loads(letter.value or b"") == JOB
    assert header(letter, "aam-error-attempts") == str(ATTEMPTS)
    assert header(letter, "__connect.errors.exception.message").startswith("product: ")


def test_a_vendor_that_is_too_slow_is_tried_again(scan: Callable[..., Settled]) -> None:
    async def never(_: httpx.Request) -> httpx.Response:
        await asyncio.sleep(60)
        raise AssertionError

    settled = scan(never, patience_seconds=0.05)
    assert settled.outcome == "retried"
    assert json.loads(settled.writes[0].value or b"")["entities"] == ["customer", "product"]


def test_an_answer_that_no_other_try_changes_is_a_dead_letter_at_once(scan: Callable[..., Settled]) -> None:
    def html(request: httpx.Request) -> httpx.Response:
        return httpx.Response(404) if request.url.path.endswith("/products") else stripe(request)

    settled = scan(html)
    assert (settled.outcome, settled.kind) == ("dead_letter", "invalid_record")
    assert [write.topic for write in settled.writes] == [NAMES.schema_changes, NAMES.dead_letters]


def test_refused_credentials_wait_for_somebody(scan: Callable[..., Settled]) -> None:
    connections = FakeConnections()
    settled = scan(lambda _: httpx.Response(401), connections=connections)
    assert (settled.outcome, settled.kind) == ("dead_letter", "misconfigured")
    assert [(status, "401" in reason) for status, reason in connections.statuses] == [("action_required", True)]


@pytest.mark.parametrize("status", ["paused", "action_required"])
def test_a_connection_that_rests_is_left_alone(scan: Callable[..., Settled], status: str) -> None:
    def nobody(_: httpx.Request) -> httpx.Response:
        raise AssertionError("asked")

    connections = FakeConnections(status=status)
    settled = scan(nobody, connections=connections)
    assert (settled.kind, connections.statuses) == ("misconfigured", [])
    assert status.replace("_", " ") in header(settled.writes[0], "__connect.errors.exception.message")


@pytest.mark.parametrize(
    ("job", "reason"),
    [
        ({"tenant": "acme"}, "no ScanJob"),
        (b"<html>", "no ScanJob"),
        (None, "no ScanJob"),
        (JOB | {"entities": ["invoices"]}, "no entity invoices"),
    ],
)
def test_what_is_no_job_is_a_dead_letter(scan: Callable[..., Settled], job: Any, reason: str) -> None:
    settled = scan(job=job)
    assert settled.kind == "invalid_record"
    assert reason in header(settled.writes[0], "__connect.errors.exception.message")


def test_a_connection_that_is_gone(scan: Callable[..., Settled]) -> None:
    settled = scan(connections=FakeConnections(InvalidDecision("tenant acme has no connection s")))
    assert settled.kind == "invalid_record"


def test_a_bug_in_what_becomes_of_a_job_ends_that_job_alone(
    scan: Callable[..., Settled], monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: Any, **__: Any) -> None:
        raise ZeroDivisionError("of the vendor's")

    monkeypatch.setattr(scan_job, "schema_change", broken)
    settled = scan()
    assert (settled.outcome, settled.kind) == ("dead_letter", "bug")
    assert "vendor's" not in header(settled.writes[0], "__connect.errors.exception.message")


def test_without_the_registry_a_job_stays_open(scan: Callable[..., Settled]) -> None:
    with pytest.raises(RegistryUnavailable):
        scan(connections=FakeConnections(RegistryUnavailable("away")))
