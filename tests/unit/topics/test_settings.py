"""Kafka's settings: what reaches librdkafka, what is refused, and that no secret is ever shown."""

import json

import pytest
from confluent_kafka import KafkaError, KafkaException
from pydantic import ValidationError

from schemas.failures import Misconfigured, TransientError
from topics.clients import as_aam_error, make_admin, make_consumer, make_producer
from topics.settings import KafkaSettings

SECRET = "hunter2-not-shown"


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    monkeypatch.setenv("KAFKA_BOOTSTRAP_SERVERS", "127.0.0.1:1")
    return monkeypatch


def test_security_reaches_librdkafka(environment: pytest.MonkeyPatch) -> None:
    environment.setenv("AAM_KAFKA_SECURITY_PROTOCOL", "SASL_SSL")
    environment.setenv("AAM_KAFKA_SASL_MECHANISM", "SCRAM-SHA-512")
    environment.setenv("AAM_KAFKA_SASL_USERNAME", "aam")
    environment.setenv("AAM_KAFKA_SASL_PASSWORD", SECRET)
    environment.setenv("AAM_KAFKA_SSL_CA_LOCATION", "/etc/ca.pem")
    settings = KafkaSettings()
    assert settings.client_config(**{"client.id": "x"}) == {
        "bootstrap.servers": "127.0.0.1:1",
        "security.protocol": "SASL_SSL",
        "sasl.mechanism": "SCRAM-SHA-512",
        "sasl.username": "aam",
        "sasl.password": SECRET,
        "ssl.ca.location": "/etc/ca.pem",
        "client.id": "x",
    }
    assert SECRET not in repr(settings) + str(settings) + settings.model_dump_json()


def test_extra_properties_pass_through_and_stay_secret(environment: pytest.MonkeyPatch) -> None:
    environment.setenv("AAM_KAFKA_EXTRA", json.dumps({"socket.keepalive.enable": True, "sasl.password": SECRET}))
    settings = KafkaSettings()
    assert settings.client_config()["socket.keepalive.enable"] is True
    assert SECRET not in repr(settings)


@pytest.mark.parametrize(
    "extra", ["{", "[]", '{"enable.auto.commit": true}', '{"partitioner": "random"}', f'{{"a": {SECRET}}}']
)
def test_extra_properties_that_are_refused(environment: pytest.MonkeyPatch, extra: str) -> None:
    environment.setenv("AAM_KAFKA_EXTRA", extra)
    with pytest.raises(ValidationError) as caught:
        KafkaSettings()
    assert "kafka_extra" in str(caught.value)
    assert SECRET not in str(caught.value)


def test_a_property_that_librdkafka_refuses(environment: pytest.MonkeyPatch) -> None:
    environment.setenv("AAM_KAFKA_EXTRA", '{"no.such.property": 1}')
    with pytest.raises(Misconfigured, match=r"no\.such\.property"):
        make_producer(KafkaSettings())


def test_sasl_without_its_protocol(environment: pytest.MonkeyPatch) -> None:
    environment.setenv("AAM_KAFKA_SASL_MECHANISM", "PLAIN")
    with pytest.raises(ValidationError, match="AAM_KAFKA_SECURITY_PROTOCOL"):
        KafkaSettings()


def test_without_an_address(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("KAFKA_BOOTSTRAP_SERVERS", raising=False)
    with pytest.raises(Misconfigured, match="KAFKA_BOOTSTRAP_SERVERS"):
        KafkaSettings().client_config()


def test_layout_is_a_setting(environment: pytest.MonkeyPatch) -> None:
    environment.setenv("AAM_TOPIC_PREFIX", "staging")
    environment.setenv("AAM_CANONICAL_PARTITIONS", "4")
    environment.setenv("AAM_REPLICATION_FACTOR", "2")
    environment.setenv("AAM_TENANT_TOPICS", '{"acme.raw": "acme"}')
    settings = KafkaSettings()
    catalogue = settings.catalogue()
    assert settings.names.raw_records == "staging.raw.records.v1"
    assert catalogue.replication_factor == 2
    assert {spec.partitions for spec in catalogue if ".canonical." in spec.name} == {4}
    assert settings.tenant_topics == {"acme.raw": "acme"}


def test_clients_start_without_a_broker(environment: pytest.MonkeyPatch) -> None:
    settings = KafkaSettings()
    make_producer(settings, transactional_id="t")
    make_admin(settings)
    make_consumer(settings, group_id="g", group_instance_id="g-0").close()


def test_a_kafka_error_names_its_reaction() -> None:
    down = KafkaException(KafkaError(KafkaError._ALL_BROKERS_DOWN))
    denied = KafkaException(KafkaError(KafkaError.TOPIC_AUTHORIZATION_FAILED))
    assert isinstance(as_aam_error(down, "read"), TransientError)
    assert isinstance(as_aam_error(denied, "read"), Misconfigured)
