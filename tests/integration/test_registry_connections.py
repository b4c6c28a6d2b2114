"""Connections and secrets on a real Postgres."""

from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from pydantic import SecretStr

from registry.connections import ClaimLost, Connections, NewConnection
from registry.errors import InvalidDecision, RegistryMisconfigured
from registry.pool import Pool, open_pool
from registry.secret_cipher import new_key
from registry.secrets import Secrets, SecretSettings
from registry.settings import RegistrySettings

KEY = new_key()


@pytest.fixture
def pool(database_url: str) -> Iterator[Pool]:
    settings = RegistrySettings(DATABASE_URL=SecretStr(database_url))  # type: ignore[call-arg]  # an alias
    with open_pool(settings) as opened:
        yield opened


@pytest.fixture
def connections(pool: Pool) -> Connections:
    found = Connections(pool)
    for tenant, name in (("acme", "zd-eu"), ("acme", "zd-us"), ("other", "zd-eu")):
        found.add(NewConnection(tenant, name, "zendesk", {"subdomain": name}, {"token": "store:zd/token"}), actor="me")
    return found


def secrets_of(pool: Pool, key: str = KEY, **given: object) -> Secrets:
    environ = {"STRIPE_KEY": "s3cret", "DATABASE_URL": "postgres://x"}
    return Secrets(pool, SecretSettings(secret_key=SecretStr(key), **given), environ)  # type: ignore[arg-type]


def test_a_tenant_has_several_connections_of_a_connector(connections: Connections) -> None:
    assert [stored.id for stored in connections.find("acme")] == ["zd-eu", "zd-us"]
    assert connections.get("other", "zd-eu").settings == {"subdomain": "zd-eu"}
    with pytest.raises(InvalidDecision, match="already"):
        connections.add(NewConnection("acme", "zd-eu", "zendesk"), actor="me")
    with pytest.raises(InvalidDecision, match="has no connection"):
        connections.get("acme", "none")


def test_a_value_in_place_of_a_reference_is_refused_and_not_shown(connections: Connections) -> None:
    with pytest.raises(InvalidDecision, match="token is no reference") as caught:
        connections.add(NewConnection("acme", "x", "stripe", secrets={"token": "sk_live_1"}), actor="me")
    assert "sk_live_1" not in str(caught.value)


@pytest.mark.parametrize(("tenant", "identity"), [("*", "x"), ("acme", "a/b"), ("acme", ""), ("acme", "a b")])
def test_what_no_header_could_carry_is_refused(connections: Connections, tenant: str, identity: str) -> None:
    with pytest.raises(InvalidDecision, match="1 to 200 of letters"):
        connections.add(NewConnection(tenant, identity, "stripe"), actor="me")


def test_one_sync_at_a_time_and_only_it_writes_positions(connections: Connections) -> None:
    first = connections.claim("acme", "zd-eu")
    assert first is not None
    assert connections.claim("acme", "zd-eu") is None
    assert connections.claim("other", "zd-eu") is not None
    connections.save(
        first, {("ticket", ""): {"watermark": 1}}, records=5, progress={"ticket": {"records": 5}}, seconds=-1
    )
    assert connections.get("acme", "zd-eu").progress == {"ticket": {"records": 5}}
    second = connections.claim("acme", "zd-eu")  # the first one's time is over
    assert second is not None
    connections.save(second, {("ticket", ""): {"watermark": 2}, ("ticket", '"p"'): {"watermark": 3}}, records=1)
    with pytest.raises(ClaimLost):
        connections.save(first, {("ticket", ""): {"watermark": 0}})
    connections.release(first, problems={"ticket": {"reason": "late"}})
    assert connections.positions("acme", "zd-eu") == {
        ("ticket", ""): {"watermark": 2},
        ("ticket", '"p"'): {"watermark": 3},
    }
    assert connections.get("acme", "zd-eu").is_syncing
    connections.release(second, problems={})
    stored = connections.get("acme", "zd-eu")
    assert (stored.records, stored.is_syncing, stored.problems) == (6, False, {})
    connections.forget("acme", "zd-eu", "ticket")
    assert connections.positions("acme", "zd-eu") == {}


def test_what_is_due_is_claimed_once(connections: Connections) -> None:
    assert connections.claim_due(limit=10) == []
    for tenant, name in (("acme", "zd-eu"), ("acme", "zd-us"), ("other", "zd-eu")):
        connections.change(NewConnection(tenant, name, "zendesk", interval_seconds=3600))
    connections.set_status("acme", "zd-us", "paused")
    due = connections.claim_due(limit=1) + connections.claim_due(limit=10)
    assert sorted((claim.tenant, claim.id) for claim in due) == [("acme", "zd-eu"), ("other", "zd-eu")]
    for claim in due:
        connections.release(claim, problems={})
    assert connections.claim_due(limit=10) == []
    connections.set_status("acme", "zd-us", "active")
    assert [claim.id for claim in connections.claim_due(limit=10)] == ["zd-us"]


def test_a_connection_that_needs_action_says_why_and_what_to_do(connections: Connections) -> None:
    claim = connections.claim("acme", "zd-eu")
    assert claim is not None
    connections.release(claim, problems={}, reason="refused", fix="authorize again")
    stored = connections.get("acme", "zd-eu")
    assert (stored.status, stored.reason, stored.fix) == ("action_required", "refused", "authorize again")
    connections.set_status("acme", "zd-eu", "active")
    assert connections.get("acme", "zd-eu").reason == ""


def test_a_stored_secret_is_unreadable_in_the_database_and_for_others(pool: Pool, database_url: str) -> None:
    secrets = secrets_of(pool)
    assert secrets.put("acme", "zd/token", SecretStr("s3cret")) == "store:zd/token"
    secrets.put("acme", "zd/token", SecretStr("s3cret2"))
    assert secrets.resolve("acme", "store:zd/token").get_secret_value() == "s3cret2"
    with pytest.raises(RegistryMisconfigured, match="is not there"):
        secrets.resolve("other", "store:zd/token")
    with psycopg.connect(database_url, autocommit=True) as connection:
        assert "s3cret" not in str(connection.execute("SELECT * FROM secret").fetchall())
        connection.execute("UPDATE secret SET tenant = 'other'")
        with pytest.raises(RegistryMisconfigured, match="not this tenant's"):
            secrets.resolve("other", "store:zd/token")
        connection.execute("SET ROLE aam_tenant")
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            connection.execute("SELECT * FROM secret")
        connection.execute("SELECT set_config('aam.tenant', 'acme', false)")
        assert connection.execute("SELECT count(*) FROM connection").fetchone() == (0,)


def test_keys_rotate(pool: Pool) -> None:
    new = new_key()
    secrets_of(pool).put("acme", "a", SecretStr("v"))
    assert secrets_of(pool, f"{new},{KEY}").rotate() == 1
    assert secrets_of(pool, new).resolve("acme", "store:a").get_secret_value() == "v"
    assert secrets_of(pool, new).rotate() == 0


def test_variables_and_files_are_bound_to_a_tenant(pool: Pool, tmp_path: Path) -> None:
    for tenant in ("acme", "other"):
        (tmp_path / tenant).mkdir()
        (tmp_path / tenant / "key").write_text(f"{tenant}-key\n")
    secrets = secrets_of(pool, secret_env=("acme=STRIPE_KEY",), secrets_folder=tmp_path)
    assert secrets.resolve("acme", "env:STRIPE_KEY").get_secret_value() == "s3cret"
    assert secrets.resolve("acme", "file:key").get_secret_value() == "acme-key"
    for tenant, reference in [
        ("other", "env:STRIPE_KEY"), ("acme", "env:DATABASE_URL"), ("acme", "file:../other/key"),
        ("acme", f"file:{tmp_path}/other/key"), ("..", "file:key"), ("acme", "file:."), ("acme", "s3cret"),
    ]:  # fmt: skip
        with pytest.raises(RegistryMisconfigured):
            secrets.resolve(tenant, reference)
