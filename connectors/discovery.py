"""What discovery finds, whatever it looked at: entities with their schema, each as a schema-change message too.

The ways to find them: an OpenAPI document, a field-metadata endpoint, sampled records.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

from connectors.openapi_access import AuthGuess, BaseUrl
from connectors.openapi_paging import IncrementalGuess, PagingGuess
from schemas.messages import FieldProfile, SchemaChange, SchemaOrigin, SourceSchema

MESSAGE_CHARACTERS: Final = 500_000


@dataclass(frozen=True)
class FoundOperation:
    """One way to get an entity's records. `records_path` is JMESPath; `required` are query parameters that must be,
    `remark` says why it is taken for a list where the document doesn't say so."""

    method: str
    path: str
    kind: str
    records_path: str | None
    required: tuple[str, ...] = ()
    remark: str = ""


@dataclass(frozen=True)
class DiscoveredEntity:
    """One kind of record at its source. `profiles` and `shapes` are by path, where `samples` records were looked at."""

    name: str
    schema: SourceSchema
    origin: SchemaOrigin
    operations: tuple[FoundOperation, ...] = ()
    paging: PagingGuess | None = None
    incremental: IncrementalGuess | None = None
    primary_key_reason: str = ""
    description: str | None = None
    component: str | None = None
    is_cut: bool = False
    profiles: Mapping[str, FieldProfile] = field(default_factory=dict)
    shapes: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    samples: int = 0

    @property
    def list_operation(self) -> FoundOperation | None:
        """The first way to list its records; None where they can only be read one by one."""
        return next((operation for operation in self.operations if operation.kind == "list"), None)


@dataclass(frozen=True)
class Discovery:
    """All that was found; `problems` are what had to be left out, and why."""

    title: str
    entities: tuple[DiscoveredEntity, ...]
    base_url: BaseUrl | None = None
    auth: AuthGuess | None = None
    problems: tuple[str, ...] = ()


def schema_change(
    entity: DiscoveredEntity,
    *,
    tenant: str,
    connector: str,
    connection: str,
    observed_at: datetime,
) -> SchemaChange:
    """The message that says what an entity looks like. Its fingerprint is the same for the same schema, ever.

    One that would be too large for its topic goes without descriptions and samples, which no fingerprint counts.
    """
    change = SchemaChange(
        tenant=tenant,
        connector=connector,
        entity=entity.name,
        connection=connection,
        source=entity.origin,
        fields=entity.schema.fields,
        primary_key=entity.schema.primary_key,
        observed_at=observed_at,
        fingerprint=entity.schema.fingerprint,
        profiles=dict(entity.profiles),
        shapes=dict(entity.shapes),
    )
    if len(change.model_dump_json()) <= MESSAGE_CHARACTERS:
        return change
    bare = tuple(field.model_copy(update={"description": None}) for field in change.fields)
    return change.model_copy(update={"fields": bare, "profiles": {}, "shapes": {}})


def as_json(discovery: Discovery) -> dict[str, Any]:
    """For programs: the whole, without what is empty."""
    return {
        "title": discovery.title,
        "base_url": discovery.base_url.url if discovery.base_url else None,
        "auth": _given(discovery.auth),
        "problems": list(discovery.problems),
        "entities": [_entity(entity) for entity in discovery.entities],
    }


def _entity(entity: DiscoveredEntity) -> dict[str, Any]:
    return {
        "name": entity.name,
        "origin": entity.origin,
        "description": entity.description,
        "openapi_schema": entity.component,
        "primary_key": list(entity.schema.primary_key),
        "primary_key_reason": entity.primary_key_reason,
        "fingerprint": entity.schema.fingerprint,
        "operations": [_given(operation) for operation in entity.operations],
        "paging": _given(entity.paging),
        "incremental": _given(entity.incremental),
        "samples": entity.samples,
        "is_cut": entity.is_cut,
        "fields": [
            found.model_dump(mode="json", exclude_none=True) | _sampled(entity, found.path)
            for found in entity.schema.fields
        ],
    }


def _sampled(entity: DiscoveredEntity, path: str) -> dict[str, Any]:
    """What samples tell of a field beside its schema."""
    profile = entity.profiles.get(path)
    if profile is None:
        return {}
    return {
        "presence": round(profile.present / profile.records, 4) if profile.records else 0.0,
        "distinct_ratio": profile.distinct_ratio,
        "shapes": list(entity.shapes.get(path, ())),
    }


def _given(value: Any) -> dict[str, Any] | None:
    """A dataclass as an object, what is None left out."""
    if value is None:
        return None
    return {name: given for name, given in vars(value).items() if given is not None and given not in ((), "")}
