"""What a sync leaves behind when Kafka, Postgres or the vendor don't play along. All three are in memory."""

import asyncio
import json
from collections.abc import Mapping
from typing import Any

import httpx
import pytest
from confluent_kafka import KafkaError
from pydantic import SecretStr

from agents.connection_sync import ConnectionSync, SyncResult, Tools
from connectors.egress import Egress
from connectors.limits import LimitBook
from connectors.settings import ConnectorSettings
from registry.connections import Claim, ClaimLost, StoredConnection
from schemas.failures import AamError
from topics.dead_letter import read_dead_letter
from topics.kafka_record import ConsumedRecord
from topics.names import TopicNames

NAMES = TopicNames()
CLAIM = Claim("acme", "s", "me")


class FakeProducer:
    """Delivers when polled; fails from record `broken_at` on."""

    def __init__(self, broken_at: int | None = None) -> None:
        self.broken_at = broken_at
        self.sent: list[tuple[bytes | None, dict[str, bytes]]] = []
        self.dead: list[tuple[bytes | None, dict[str, bytes]]] = []
        self.waiting: list[Any] = []

    def produce(self, topic: str, value: bytes | None, _key: bytes, *, headers: Any, on_delivery: Any) -> None:
        if topic == NAMES.dead_letters:
            self.dead.append((value, dict(headers)))
            self.waiting.append((on_delivery, None))
            return
        broken = self.broken_at is not None and len(self.sent) >= self.broken_at
        self.sent.append((value, dict(headers)))
        self.waiting.append((on_delivery, KafkaError(KafkaError._MSG_TIMED_OUT) if broken else None))

    def poll(self, _seconds: float) -> int:
        waiting, self.waiting = self.waiting, []
        for on_delivery, error in waiting:
            on_delivery(error, None)
        return len(waiting)


class FakeConnections:
    """Keeps what a sync writes."""

    def __init__(self, *, claim_is_lost: bool = False) -> None:
        self.claim_is_lost = claim_is_lost
        self.saved: dict[Any, Any] = {}
        self.records = 0
        self.released: dict[str, Any] | None = None

    def get(self, tenant: str, identity: str) -> StoredConnection:
        return StoredConnection(tenant, identity, "stripe", secrets={"api_key": "x"}, entities=["customer", "product"])

    def positions(self, *_: str) -> dict[Any, Any]:
        return {}

    def save(self, _: Claim, positions: Mapping[Any, Any], *, records: int, progress: Any) -> None:
        if self.claim_is_lost:
            raise ClaimLost("another sync has taken over")
        self.saved |= positions
        self.records += records

    def release(self, _: Claim, **given: Any) -> None:
        self.released = given


class FakeSecrets:
    def resolve(self, *_: str) -> SecretStr:
        return SecretStr("sk")


def stripe(request: httpx.Request) -> httpx.Response:
    if request.url.path == "/v1/products":
        return httpx.Response(200, json={"data": [{"id": "p1", "created": 1}], "has_more": False})
    first = "starting_after" not in request.url.params
    data = [{"id": f"c{n if first else n + 100}", "created": 1} for n in range(100)]
    return httpx.Response(200, json={"data": data, "has_more": first})


def sync(producer: FakeProducer, connections: FakeConnections, vendor: Any = stripe) -> SyncResult:
    async def work() -> SyncResult:
        settings = ConnectorSettings(retry_attempts=1)
        egress = Egress(settings, transport=httpx.MockTransport(vendor))
        tools = Tools(NAMES, connections, FakeSecrets(), egress, LimitBook(), settings, producer)  # type: ignore[arg-type]  # fakes
        return await ConnectionSync(tools, CLAIM).run()

    return asyncio.run(work())


def test_records_bear_where_they_come_from_and_positions_follow_them() -> None:
    producer, connections = FakeProducer(), FakeConnections()
    result = sync(producer, connections)
    assert result.records == {"customer": 200, "product": 1}
    assert (len(producer.sent), connections.records) == (201, 201)
    value, headers = producer.sent[0]
    assert json.loads(value or b"")["id"]
    assert headers["tenant"] == b"acme"
    assert (headers["connector"], headers["connection"]) == (b"stripe", b"s")
    assert {key[0] for key in connections.saved} == {"customer", "product"}
    assert all("run" not in position for position in connections.saved.values())
    assert connections.released == {"problems": {}, "reason": "", "fix": "", "again_seconds": None}


@pytest.mark.parametrize("broken_at", [0, 50])
def test_no_position_goes_past_what_kafka_did_not_take(broken_at: int) -> None:
    connections = FakeConnections()
    with pytest.raises(AamError):
        sync(FakeProducer(broken_at), connections)
    assert connections.saved == {}
    assert connections.released is not None
    assert connections.released["again_seconds"]


def test_a_sync_that_was_replaced_ends() -> None:
    with pytest.raises(ClaimLost):
        sync(FakeProducer(), FakeConnections(claim_is_lost=True))


def test_one_entity_that_fails_is_told_and_the_other_delivered() -> None:
    def vendor(request: httpx.Request) -> httpx.Response:
        return httpx.Response(404, json={}) if request.url.path == "/v1/customers" else stripe(request)

    producer, connections = FakeProducer(), FakeConnections()
    result = sync(producer, connections, vendor)
    assert list(result.problems) == ["customer"]
    assert connections.released is not None
    assert "404" in connections.released["problems"]["customer"]["reason"]
    assert connections.released["reason"] == ""
    assert len(producer.sent) == 1


def test_refused_credentials_leave_what_to_do() -> None:
    connections = FakeConnections()
    result = sync(FakeProducer(), connections, lambda _: httpx.Response(401, json={}))
    assert result.action_required is not None
    assert connections.released is not None
    assert "401" in connections.released["reason"]
    assert connections.released["fix"]


@pytest.mark.parametrize(("characters", "kept"), [(1_100_000, True), (5_000_000, False)])
def test_a_record_larger_than_the_topic_takes_is_a_dead_letter_and_told(characters: int, kept: bool) -> None:
    def vendor(request: httpx.Request) -> httpx.Response:
        if request.url.path == "/v1/products":
            data = [{"id": "p1", "created": 1, "text": "x" * characters}, {"id": "p2", "created": 1}]
            return httpx.Response(200, json={"data": data, "has_more": False})
        return stripe(request)

    producer, connections = FakeProducer(), FakeConnections()
    result = sync(producer, connections, vendor)
    assert "is a dead letter" in result.problems["product"]["reason"]
    assert len(producer.sent) == 201
    ((value, headers),) = producer.dead
    assert (value is not None and len(value) > characters) == kept
    letter = read_dead_letter(ConsumedRecord(NAMES.dead_letters, 0, 0, 0, b"acme", value, list(headers.items())))
    assert letter is not None
    assert (letter.tenant, letter.connector, letter.entity, letter.kind) == (
        "acme",
        "stripe",
        "product",
        "invalid_record",
    )
    assert (headers["record_id"], headers["connection"]) == (b"p1", b"s")
    assert (letter.truncated, letter.failed_at) == ("" if kept else "value", None)
