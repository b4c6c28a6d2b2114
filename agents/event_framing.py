"""The framing before each canonical event's Avro body: the id of its schema, ours or the Schema Registry's."""

from collections.abc import Mapping

from mapping.decode_json import dump
from schemas.canonical_model import CanonicalEntity, versions_of
from schemas.schema_ids import schema_id
from schemas.wire_format import frame
from topics.settings import KafkaSettings


def event_prefixes(settings: KafkaSettings, entities: Mapping[str, CanonicalEntity]) -> dict[str, bytes]:
    """Canonical entity → the 5 bytes before an event's body.

    Without SCHEMA_REGISTRY_URL the ids are those of `schemas.schema_ids`; with one, every version is registered there,
    in order, under `<topic>-value`, and the newest's id counts. Raises as `topics.schema_registry` does.
    """
    if not settings.schema_registry_url:
        return {name: frame(schema_id(entity)) for name, entity in entities.items()}
    from topics.schema_registry import open_client, register  # noqa: PLC0415  # 14 MB that few need

    client = open_client(settings)
    found = {}
    for name in entities:
        subject = f"{settings.names.canonical(name)}-value"
        for version in versions_of(name):
            found[name] = frame(register(client, subject, dump(version.avro).decode()))
    return found
