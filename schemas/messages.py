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
NovelReason = Literal["unmapped", "unknown_source", "schema_change", "too_many_fields"]
FoundBy = Literal["rag", "llm"]
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


class FieldProfile(Message):
    """What the values of one source path look like, told without telling any of them.

    A share is of `records`, the records looked at since the path was first seen; 0 if only a schema told of it.
    """

    records: int = Field(default=0, ge=0)
    present: int = Field(default=0, ge=0, description="Those of `records` that have a value there.")
    lengths: tuple[int, int] | None = Field(default=None, description="Least and most characters of its texts.")
    magnitudes: tuple[int, int] | None = Field(
        default=None, description="Least and most integer digits of its numbers."
    )
    whole: bool | None = Field(default=None, description="Whether all of its numbers are integers.")
    distinct_ratio: float | None = Field(default=None, ge=0, le=1, description="Different values by all values.")
    words: int | None = Field(default=None, ge=1, description="How many words it chooses from, if it seems to.")
    enum: tuple[str, ...] = Field(default=(), description="Its words: the schema's, or a discovery's samples'.")
    format: str | None = Field(default=None, description="As in JSON Schema, and epoch-seconds, currency, country, ….")


class NovelField(Message):
    """A source path that no mapping reads; or, if `path` is None, a whole entity that no mapping set covers, or one
    with so many paths that further ones are not told.

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
    profile: FieldProfile = FieldProfile()
    announced_at: UtcTime

    @model_validator(mode="after")
    def _has_a_path(self) -> Self:
        if self.path is None and self.reason not in ("unknown_source", "too_many_fields"):
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
    profiles: dict[Name, FieldProfile] = Field(
        default_factory=dict, description="By path, where records were looked at: no part of the schema."
    )
    shapes: dict[Name, tuple[str, ...]] = Field(default_factory=dict, description="By path, as of a novel field.")

    @model_validator(mode="after")
    def _schema_is_sound(self) -> Self:
        self.source_schema()
        return self

    def source_schema(self) -> SourceSchema:
        """The schema without where and when it was seen."""
        return SourceSchema(fields=self.fields, primary_key=self.primary_key)


class ScanJob(Message):
    """A connection whose vendor is to be looked at, for the schemas that its records have now.

    Topics `aam.jobs.scan.critical.v1`, `….normal.v1` and `….bulk.v1`, key: the tenant. Written by `aam connectors
    scan`, and by scan schemas for another try (header `aam-error-attempts`). Read by scan schemas, critical ones first.
    """

    tenant: Name
    connection: Name
    entities: tuple[Name, ...] = Field(default=(), description="Empty: all that the connection reads.")
    requested_at: UtcTime
    not_before: UtcTime | None = Field(default=None, description="Of another try; null: as soon as may be.")


class TransformWords(Message):
    """A step of the closed vocabulary of transforms, as data; the shape of `mapping.mapping_set.Transform`."""

    op: Name = "copy"
    inputs: tuple[str, ...] = ()
    params: dict[str, Any] = Field(default_factory=dict)


class ProposedTarget(Message):
    """A canonical field that a source path may be. `transform` None: none of the vocabulary is sure to fit."""

    field: Name
    probability: float = Field(ge=0, le=1, description="Calibrated, before and after a model was asked.")
    signals: dict[str, float] = Field(default_factory=dict)
    transform: TransformWords | None = None
    note: str = Field(default="", description="Why there is no transform, or what to know of it.")


class FieldEvidence(Message):
    """One source path with its candidates, best first, and the probability that it has no counterpart."""

    path: Name
    types: JsonTypes = ()
    shapes: tuple[str, ...] = ()
    profile: FieldProfile = FieldProfile()
    candidates: tuple[ProposedTarget, ...] = ()
    nothing: float = Field(default=0.0, ge=0, le=1)
    remark: str = Field(default="", description="What became of asking a model, if that matters to a reviewer.")


class ProposedEntity(Message):
    """A canonical entity that a source's entity may be; None: none of them."""

    entity: str | None
    probability: float = Field(ge=0, le=1)


class UnresolvedFields(Message):
    """Source paths of one entity that retrieval could not tell.

    Topic `aam.fields.unresolved.v1`, key: the tenant. Written by retrieve mappings. Read by ask llm.
    """

    tenant: Name
    connector: Name
    entity: Name
    connection: Name
    canonical_entity: Name
    fields: tuple[FieldEvidence, ...]
    model: str = Field(default="", description="Version of what the probabilities were made by.")
    at: UtcTime


class MappingProposal(Message):
    """What source paths of one entity may be, ready to be decided; or, if `canonical_entity` is None, what the entity
    itself may be.

    Topic `aam.mapping.proposals.v1`, key: the tenant. Written by retrieve mappings (`rag`) and ask llm (`llm`), at
    least once. Read by decide mappings.
    """

    tenant: Name
    connector: Name
    entity: Name
    connection: Name
    canonical_entity: Name | None
    entities: tuple[ProposedEntity, ...] = ()
    fields: tuple[FieldEvidence, ...] = ()
    method: FoundBy
    model: str = Field(default="", description="Version of what the probabilities were made by.")
    at: UtcTime

    @model_validator(mode="after")
    def _is_of_something(self) -> Self:
        if self.canonical_entity is None and self.fields:
            raise ValueError("fields are proposed for a canonical entity")
        return self


class RegistryEvent(Message):
    """A mapping set is published (`mapping_set_published`), or something was decided (`decision`).

    Topic `aam.registry.events.v1`. Written by publish mappings: the former in the transaction that publishes the
    change, so workers know it; the latter, the registry's audit trail in order of `audit_id`, at least once. Read by
    whoever waits for it: the operator's dashboard, archives.
    """

    kind: Name = Field(description="Readers skip kinds that they don't know.")
    epoch: int = Field(ge=0, description="0 for decisions.")
    revision: int = Field(ge=0)
    tenant: Name = Field(description="`*` for all tenants of the connector.")
    connector: Name
    entity: Name
    at: UtcTime
    audit_id: int | None = Field(default=None, description="Of a decision, as all below. Equal ids are one decision.")
    action: str | None = None
    actor: str | None = None
    canonical_entity: str | None = None
    canonical_field: str | None = None
    version: int | None = Field(default=None, description="Of the mapping.")
    before: dict[str, Any] | None = None
    after: dict[str, Any] | None = None
    reason: str = ""
    evidence: dict[str, Any] | None = Field(default=None, description="Candidates, scores, shapes; never values.")
