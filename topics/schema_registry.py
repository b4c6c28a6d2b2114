"""A Confluent-compatible Schema Registry of the user's own: reads schemas by id, and registers the canonical ones.

Imported where SCHEMA_REGISTRY_URL is set; what is done with the schemas is up to `topics.avro_reader` and the worker.
"""

import json
from collections.abc import Iterable, Mapping
from typing import Any

import httpx
from confluent_kafka.schema_registry import Schema, SchemaRegistryClient
from confluent_kafka.schema_registry.error import OAuthTokenError, SchemaRegistryError

from schemas.failures import InvalidRecord, Misconfigured, TransientError
from topics.settings import KafkaSettings

MAX_REFERENCES = 100
TIMEOUT_SECONDS = 5.0


def open_client(settings: KafkaSettings) -> SchemaRegistryClient:
    """The client for SCHEMA_REGISTRY_URL. Asks nothing yet.

    Raises:
        Misconfigured: the address is none.
    """
    config: dict[str, Any] = {"url": settings.schema_registry_url, "timeout": TIMEOUT_SECONDS, "max.retries": 2}
    if settings.schema_registry_username:
        password = settings.schema_registry_password
        secret = password.get_secret_value() if password else ""
        config["basic.auth.user.info"] = f"{settings.schema_registry_username}:{secret}"
    try:
        return SchemaRegistryClient(config)
    except (ValueError, TypeError) as error:
        raise Misconfigured("SCHEMA_REGISTRY_URL must be an http or https address without credentials") from error


def register(client: SchemaRegistryClient, subject: str, schema: str) -> int:
    """The id of an Avro schema under `subject`; a known one keeps its id.

    Raises:
        Misconfigured: the registry refuses our credentials or the schema.
        TransientError: it does not answer.
    """
    try:
        return client.register_schema(subject, Schema(schema, "AVRO"))
    except SchemaRegistryError as error:
        if error.http_status_code >= httpx.codes.INTERNAL_SERVER_ERROR:
            raise TransientError(f"the Schema Registry answers HTTP {error.http_status_code}") from error
        raise Misconfigured(f"the Schema Registry refuses {subject} (HTTP {error.http_status_code})") from error
    except (httpx.HTTPError, OAuthTokenError, OSError) as error:
        raise _unanswered(error) from error


class RegistrySchemas:
    """The schemas of a Confluent-compatible Schema Registry."""

    def __init__(self, client: SchemaRegistryClient) -> None:
        self._client = client

    def find(self, schema_id: int) -> tuple[Any, Mapping[str, Any]]:
        """The registered schema and, to the end, those that it refers to."""
        try:
            found = self._client.get_schema(schema_id)
            if (found.schema_type or "AVRO") != "AVRO":
                raise InvalidRecord(f"schema {schema_id} is not an Avro schema")
            named: dict[str, Any] = {}
            self._collect(found.references or (), named)
            return json.loads(found.schema_str or ""), named
        except SchemaRegistryError as error:
            raise _translated(error, schema_id) from error
        except (httpx.HTTPError, OAuthTokenError, OSError) as error:
            raise _unanswered(error) from error
        except (ValueError, RecursionError) as error:
            raise InvalidRecord(f"schema {schema_id} is not JSON") from error

    def _collect(self, references: Iterable[Any], named: dict[str, Any]) -> None:
        """Adds each after those that it refers to itself: the order that fastavro needs. A registry has no cycles."""
        for reference in references:
            if reference.name in named:
                continue
            if len(named) >= MAX_REFERENCES:
                raise InvalidRecord(f"a schema with more than {MAX_REFERENCES} references")
            schema = self._client.get_version(reference.subject, reference.version).schema
            self._collect(schema.references or (), named)
            named[reference.name] = json.loads(schema.schema_str or "")


def _translated(error: SchemaRegistryError, schema_id: int) -> Exception:
    status = error.http_status_code
    if status == 404:
        return InvalidRecord(f"schema {schema_id} is not in the Schema Registry")
    if status in (401, 403):
        return Misconfigured(f"the Schema Registry refuses our credentials (HTTP {status})")
    return TransientError(f"the Schema Registry answers HTTP {status}")


def _unanswered(error: Exception) -> TransientError:
    return TransientError(f"the Schema Registry does not answer: {type(error).__qualname__}")
