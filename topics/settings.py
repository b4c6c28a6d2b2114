"""How to reach Kafka and the Schema Registry, and how this installation's topics are named and laid out.

The only reader of the Kafka environment. Clients are built by `topics.clients`; the address of a local broker is
filled in by the CLI.
"""

import json
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, SecretStr, field_validator, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from schemas.failures import Misconfigured
from topics.catalogue import Catalogue
from topics.names import DEFAULT_PREFIX, TopicNames
from topics.raw_bindings import RawBindings

# What AAM's guarantees rest on: an operator may tune everything else.
FIXED_PROPERTIES = frozenset(
    {
        "acks",
        "bootstrap.servers",
        "enable.auto.commit",
        "enable.idempotence",
        "group.id",
        "isolation.level",
        "partitioner",
        "request.required.acks",
        "transactional.id",
    }
)


class KafkaSettings(BaseSettings):
    """Kafka, as one installation sees it. Values of secrets are never shown; errors don't quote the input."""

    model_config = SettingsConfigDict(env_prefix="AAM_", frozen=True, extra="ignore", hide_input_in_errors=True)

    bootstrap_servers: str = Field(
        default="", validation_alias="KAFKA_BOOTSTRAP_SERVERS", description="host:port of some brokers, by comma"
    )
    kafka_security_protocol: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = Field(
        default="PLAINTEXT", description="how clients talk to the brokers"
    )
    kafka_sasl_mechanism: str | None = Field(default=None, description="PLAIN, SCRAM-SHA-256, SCRAM-SHA-512, …")
    kafka_sasl_username: str | None = Field(default=None, description="SASL user")
    kafka_sasl_password: SecretStr | None = Field(default=None, description="SASL password")
    kafka_ssl_ca_location: str | None = Field(default=None, description="file of CA certificates, PEM")
    kafka_ssl_certificate_location: str | None = Field(default=None, description="file of our certificate, PEM")
    kafka_ssl_key_location: str | None = Field(default=None, description="file of our private key, PEM")
    kafka_ssl_key_password: SecretStr | None = Field(default=None, description="password of the private key")
    kafka_extra: SecretStr = Field(
        default=SecretStr("{}"), description="further librdkafka properties, a JSON object; may hold secrets"
    )
    topic_prefix: str = Field(
        default=DEFAULT_PREFIX, description="first part of all topics, groups and transactional ids"
    )
    replication_factor: int | None = Field(
        default=None, ge=1, description="copies of each new topic; default min(3, brokers)"
    )
    canonical_partitions: int = Field(default=100, ge=1, description="partitions of each canonical topic")
    tenant_topics: dict[str, str] = Field(
        default_factory=dict, description="JSON {topic: tenant}: raw topics on which only that tenant may write"
    )
    raw_topics: Path | None = Field(
        default=None, description="JSON or YAML file: topics you already have -> tenant, connector, entity, form"
    )
    schema_registry_url: str | None = Field(
        default=None, validation_alias="SCHEMA_REGISTRY_URL", description="http(s) address of a Schema Registry"
    )
    schema_registry_username: str | None = Field(default=None, description="Schema Registry user (HTTP Basic)")
    schema_registry_password: SecretStr | None = Field(default=None, description="Schema Registry password")

    @field_validator("topic_prefix")
    @classmethod
    def _prefix_is_a_topic_name(cls, prefix: str) -> str:
        try:
            return TopicNames(prefix).prefix
        except Misconfigured as error:
            raise ValueError(str(error).removeprefix("AAM_TOPIC_PREFIX ")) from None

    @field_validator("kafka_extra")
    @classmethod
    def _extra_is_an_object(cls, extra: SecretStr) -> SecretStr:
        properties = _json_object(extra.get_secret_value())
        fixed = sorted(FIXED_PROPERTIES & properties.keys())
        if fixed:
            raise ValueError(f"may not set {', '.join(fixed)}: AAM's guarantees rest on them")
        return extra

    @model_validator(mode="after")
    def _sasl_is_complete(self) -> "KafkaSettings":
        if self.kafka_sasl_mechanism and not self.kafka_security_protocol.startswith("SASL"):
            raise ValueError("AAM_KAFKA_SASL_MECHANISM needs AAM_KAFKA_SECURITY_PROTOCOL=SASL_SSL or SASL_PLAINTEXT")
        return self

    @cached_property
    def names(self) -> TopicNames:
        """Topics, groups and transactional ids under this installation's prefix."""
        return TopicNames(self.topic_prefix)

    @cached_property
    def raw_bindings(self) -> RawBindings:
        """Whose records the topics of AAM_RAW_TOPICS carry. Raises Misconfigured where the file is wrong."""
        if self.raw_topics is None:
            return RawBindings({})
        own = [spec.name for spec in self.catalogue()]
        bindings = RawBindings.load(self.raw_topics, own_topics=own)
        twice = next((topic for topic in self.tenant_topics if bindings.find(topic) is not None), None)
        if twice is not None:
            raise Misconfigured(f"{twice} is in both AAM_TENANT_TOPICS and AAM_RAW_TOPICS")
        return bindings

    def catalogue(self) -> Catalogue:
        """The topics of this installation."""
        return Catalogue.load(
            self.names,
            canonical_partitions=self.canonical_partitions,
            replication_factor=self.replication_factor,
        )

    def client_config(self, **extra: Any) -> dict[str, Any]:
        """Properties for librdkafka, secrets in clear: hand them to a client, never to a log.

        Order, the last one wins: address and security; AAM_KAFKA_EXTRA; `extra`, the caller's own by dotted name,
        e.g. `client_config(**{"group.id": group})`. Raises Misconfigured without KAFKA_BOOTSTRAP_SERVERS.
        """
        if not self.bootstrap_servers.strip():
            raise Misconfigured("no Kafka address: set KAFKA_BOOTSTRAP_SERVERS=host:port")
        config: dict[str, Any] = {
            "bootstrap.servers": self.bootstrap_servers,
            "security.protocol": self.kafka_security_protocol,
            "sasl.mechanism": self.kafka_sasl_mechanism,
            "sasl.username": self.kafka_sasl_username,
            "sasl.password": _reveal(self.kafka_sasl_password),
            "ssl.ca.location": self.kafka_ssl_ca_location,
            "ssl.certificate.location": self.kafka_ssl_certificate_location,
            "ssl.key.location": self.kafka_ssl_key_location,
            "ssl.key.password": _reveal(self.kafka_ssl_key_password),
        }
        given = {name: value for name, value in config.items() if value is not None}
        return given | _json_object(self.kafka_extra.get_secret_value()) | extra


def _reveal(secret: SecretStr | None) -> str | None:
    return None if secret is None else secret.get_secret_value()


def _json_object(text: str) -> dict[str, Any]:
    try:
        value = json.loads(text)
    except ValueError:
        raise ValueError("is not JSON") from None
    if not isinstance(value, dict):
        raise ValueError("is not a JSON object")
    return value
