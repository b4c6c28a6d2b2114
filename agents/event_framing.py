"""The framing before each canonical event's Avro body: the id of its schema, ours or the Schema Registry's."""

from collections.abc import Mapping

from confluent_kafka.schema_registry import Schema, SchemaRegistryClient
from confluent_kafka.schema_registry.error import SchemaRegistryError

from mapping.decode_json import dump
from schemas.canonical_model import CanonicalEntity, versions_of
from schemas.failures import Misconfigured, TransientError
from schemas.schema_ids import schema_id
from schemas.wire_format import frame
from topics.settings import KafkaSettings


def event_prefixes(settings: KafkaSettings, entities: Mapping[str, CanonicalEntity]) -> dict[str, bytes]:
    """Canonical entity → the 5 bytes before an event's body.

    Without SCHEMA_REGISTRY_URL the ids are those of `schemas.schema_ids`; with one, every version is registered there,
    in order, under `<topic>-value`.

    Raises:
        Misconfigured: the registry refuses our credentials or a schema.
        TransientError: it does not answer.
    """
    if not settings.schema_registry_url:
        return {name: frame(schema_id(entity)) for name, entity in entities.items()}
    client = _client(settings)
    return {name: frame(_register(client, f"{settings.names.canonical(name)}-value", name)) for name in entities}


def _client(settings: KafkaSettings) -> SchemaRegistryClient:
    config: dict[str, object] = {"url": settings.schema_registry_url}
    if settings.schema_registry_username:
        secret = settings.schema_registry_password.get_secret_value() if settings.schema_registry_password else ""
        config["basic.auth.user.info"] = f"{settings.schema_registry_username}:{secret}"
    return SchemaRegistryClient(config)


def _register(client: SchemaRegistryClient, subject: str, entity: str) -> int:
    """Idempotent: a known schema keeps its id. The id of the newest version."""
    found = 0
    try:
        for version in versions_of(entity):
            found = client.register_schema(subject, Schema(dump(version.avro).decode(), "AVRO"))
    except SchemaRegistryError as error:
        if error.http_status_code >= 500:
            raise TransientError(f"the Schema Registry answers HTTP {error.http_status_code}") from error
        raise Misconfigured(f"the Schema Registry refuses {subject} (HTTP {error.http_status_code})") from error
    except OSError as error:
        raise TransientError("the Schema Registry does not answer") from error
    return found
