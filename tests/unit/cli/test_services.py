"""A command's Kafka and Postgres: the environment first, the local one next, else both ways out are named."""

import pytest
from pydantic import SecretStr

from cli import services
from gateway.settings import GatewaySettings
from schemas.failures import Misconfigured


@pytest.fixture(autouse=True)
def _nothing_is_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("KAFKA_BOOTSTRAP_SERVERS", raising=False)
    monkeypatch.delenv("DATABASE_URL", raising=False)
    monkeypatch.setattr(services, "local_kafka", lambda: None)
    monkeypatch.setattr(services, "local_postgres", lambda: None)


def test_without_any_service_both_ways_out_are_named() -> None:
    with pytest.raises(Misconfigured, match=r"aam kafka start.*KAFKA_BOOTSTRAP_SERVERS"):
        services.kafka_settings()
    with pytest.raises(Misconfigured, match=r"aam postgres start.*DATABASE_URL"):
        services.registry_settings()


def test_the_running_local_ones_are_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(services, "local_kafka", lambda: "127.0.0.1:1")
    monkeypatch.setattr(services, "local_postgres", lambda: "postgresql://local")
    assert services.kafka_settings().client_config()["bootstrap.servers"] == "127.0.0.1:1"
    assert services.registry_settings().database_url == SecretStr("postgresql://local")


def test_the_environment_comes_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(services, "local_kafka", lambda: pytest.fail("asked"))
    monkeypatch.setattr(services, "local_postgres", lambda: pytest.fail("asked"))
    monkeypatch.setenv("KAFKA_BOOTSTRAP_SERVERS", "broker:9092")
    monkeypatch.setenv("DATABASE_URL", "postgresql://far")
    assert services.kafka_settings().bootstrap_servers == "broker:9092"
    assert services.registry_settings().database_url == SecretStr("postgresql://far")


def test_wrong_settings_are_named_by_their_variable_and_not_quoted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AAM_KAFKA_EXTRA", "hunter2")
    monkeypatch.setenv("AAM_TOPIC_PREFIX", "a b")
    with pytest.raises(Misconfigured) as caught:
        services.kafka_settings()
    assert "AAM_KAFKA_EXTRA: is not JSON" in str(caught.value)
    assert "AAM_TOPIC_PREFIX: must be" in str(caught.value)
    assert "hunter2" not in str(caught.value)
    monkeypatch.setenv("AAM_GATEWAY_PORT", "0")
    with pytest.raises(Misconfigured, match="AAM_GATEWAY_PORT: "):
        services.load_settings(GatewaySettings)
