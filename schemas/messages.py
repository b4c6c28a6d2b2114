"""Control messages: what agents tell each other on Kafka, as JSON. Canonical events are in `schemas.event_models`.

All are frozen and carry descriptions of data (paths, types, shapes), never values of it. Readers ignore what they don't
know, so a field may be added; it needs a default.
"""

import hashlib
import json
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from schemas.utc_time import UtcTime

JsonType = Literal["null", "boolean", "integer", "number", "string", "object", "array"]
NovelReason = Literal["unmapped", "unknown_source", "schema_change"]
SchemaOrigin = Literal["openapi", "sample", "producer"]

Name = Annotated[str, Field(min_length=1)]
JsonTypes = Annotated[tuple[JsonType, ...], AfterValidator(lambda types: tuple(sorted(set(types))))]


class Message(BaseModel):
    """Base of all control messages. `model_dump_json` is the form on the wire."""

    model_config = ConfigDict(frozen=True, extra="ignore")


class RawCoordinates(Message):
    """Where a raw record first stood on Kafka."""

    topic: Name
    partition: int = Field(ge=0)
    offset: int = Field(ge=0)


class NovelField(Message):
    """A source path that no mapping reads; or, if `path` is None, a whole entity that no mapping set covers.

    Topic `aam.fields.novel.v1`, key: the tenant. Written by canonicalize (`unmapped`, `unknown_source`) and observe
    schema (`schema_change`), at least once. Read by retrieve mappings.
    """

    tenant: Name
    connector: Name
    entity: Name
    connection: Name
    path: Name | None = None
    types: JsonTypes = ()
    shapes: tuple[str, ...] = Field(default=(), description="Samples with letters as a, digits as 9: `aa@aa.aa`.")
    first_seen: RawCoordinates | None = Field(default=None, description="None if no raw record showed it.")
    reason: NovelReason
    announced_at: UtcTime

    @model_validator(mode="after")
    def _has_a_path(self) -> Self:
        if self.path is None and self.reason != "unknown_source":
            raise ValueError("only an unknown source is announced without a path")
        return self


class SourceField(Message):
    """One leaf of a source's schema. `types` never holds "null": that is `nullable`."""

    path: Name
    types: JsonTypes = ()
    nullable: bool = False
    format: str | None = Field(default=None, description="As in JSON Schema, e.g. date-time.")
    enum: Annotated[tuple[str, ...], AfterValidator(lambda values: tuple(sorted(set(values))))] = ()
    description: str | None = None

    @model_validator(mode="before")
    @classmethod
    def _null_is_nullable(cls, data: Any) -> Any:
        types = data.get("types") if isinstance(data, dict) else None
        if isinstance(types, list | tuple) and "null" in types:
            return data | {"types": [name for name in types if name != "null"], "nullable": True}
        return data


class SourceSchema(Message):
    """What is known of the shape of one entity at its source. Order of fields, types and enum values means nothing."""

    fields: Annotated[
        tuple[SourceField, ...], AfterValidator(lambda fields: tuple(sorted(fields, key=lambda f: f.path)))
    ] = ()
    primary_key: tuple[Name, ...] = Field(default=(), description="Paths; their order is that of a composite key.")

    @model_validator(mode="after")
    def _paths_are_unique(self) -> Self:
        paths = [field.path for field in self.fields]
        if len(paths) != len(set(paths)):
            raise ValueError("a path stands twice in the schema")
        return self

    @property
    def fingerprint(self) -> str:
        """SHA-256, in hexadecimal, of all but the descriptions: a reworded description is no change of schema."""
        content = self.model_dump(mode="json", exclude={"fields": {"__all__": {"description"}}})
        return hashlib.sha256(json.dumps(content, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


class SchemaChange(Message):
    """The schema of a source's entity as somebody saw it, whole: the receiver finds out what changed.

    Topic `aam.raw.schema-changes.v1`, key: the tenant. Written by scan schemas (`openapi`, `sample`) and by producers
    that know their schema, in the manner of Debezium (`producer`). Read by observe schema.
    """

    tenant: Name
    connector: Name
    entity: Name
    connection: Name
    source: SchemaOrigin
    fields: tuple[SourceField, ...]
    primary_key: tuple[Name, ...] = ()
    observed_at: UtcTime
    fingerprint: str | None = Field(default=None, description="The writer's own mark of this version, if it has one.")

    @model_validator(mode="after")
    def _schema_is_sound(self) -> Self:
        self.source_schema()
        return self

    def source_schema(self) -> SourceSchema:
        """The schema without where and when it was seen."""
        return SourceSchema(fields=self.fields, primary_key=self.primary_key)


class RegistryEvent(Message):
    """The registry changed and workers know it.

    Topic `aam.registry.events.v1`. Written by publish mappings, in the transaction that publishes the change. Read by
    whoever waits for it: the release of parked records, the operator's dashboard.
    """

    kind: Name = Field(description="`mapping_set_published`; readers skip kinds that they don't know.")
    epoch: int = Field(ge=0)
    revision: int = Field(ge=0)
    tenant: Name = Field(description="`*` for all tenants of the connector.")
    connector: Name
    entity: Name
    at: UtcTime
