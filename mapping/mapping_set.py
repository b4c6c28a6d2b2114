"""A mapping set: what is known of one (tenant or *, connector, entity), as data.

It is the value of `aam.mapping.table.v1`, written by the registry's publisher and compiled by `mapping.compile`.
This module holds the shape and the precedence of tenant over connector; what a transform does is in
`mapping.transforms`.
"""

from collections.abc import Sequence
from sys import intern
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

ANY_TENANT = "*"

MappingStatus = Literal["active", "provisional"]


class Transform(BaseModel):
    """One step of the closed vocabulary, e.g. `{"op": "minor_units", "inputs": ["currency"]}`.

    `inputs` are further source paths, after the mapping's own; `params` are the op's constants.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    op: str = "copy"
    inputs: tuple[str, ...] = ()
    params: dict[str, Any] = Field(default_factory=dict)


class Mapping(BaseModel):
    """canonical field ← transform(source path). `fallbacks` are read in order where the source is missing or null."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    canonical_entity: str
    canonical_field: str
    source_field: str | None
    fallbacks: tuple[str, ...] = ()
    transform: Transform = Transform()
    confidence: float = Field(default=1.0, ge=0.0, le=1.0)
    status: MappingStatus = "active"

    @property
    def target(self) -> tuple[str, str]:
        """(canonical entity, canonical field): what at most one active mapping of a scope writes."""
        return self.canonical_entity, self.canonical_field


class Experiment(BaseModel):
    """Two sets of mappings live at once: arm A is the set itself, arm B the set with `mappings` in place of its own.

    `percent` of the records, chosen by `mapping.experiment.arm_of` with `salt`, go to B.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    id: int = Field(ge=1)
    percent: float = Field(gt=0, lt=100)
    salt: str
    mappings: tuple[Mapping, ...] = Field(min_length=1)


class MappingSet(BaseModel):
    """All mappings of one (tenant or *, connector, entity) at one revision of the registry.

    `primary_key` are the source paths that identify a record; `ignored` the paths that are known to have no
    canonical counterpart: they go to custom fields and are not announced as novel.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    tenant: str = ANY_TENANT
    connector: str
    entity: str
    epoch: int = Field(ge=0)
    revision: int = Field(ge=0)
    primary_key: tuple[str, ...] = ()
    ignored: tuple[str, ...] = ()
    mappings: tuple[Mapping, ...] = ()
    experiment: Experiment | None = None

    @property
    def key(self) -> tuple[str, str, str]:
        """(tenant, connector, entity): the key in the mapping table."""
        return self.tenant, self.connector, self.entity

    @property
    def version(self) -> tuple[int, int]:
        """(epoch, revision): what is newer wins, whenever it arrives."""
        return self.epoch, self.revision


def compose(base: MappingSet | None, override: MappingSet | None) -> MappingSet | None:
    """The set a tenant's records are mapped by: the override's mappings over the base's, target by target.

    The revision is the newest of the two. Of two experiments the tenant's own runs; the connector's leaves alone what
    the tenant maps itself. None if both are None or no mapping remains.
    """
    if base is None or override is None:
        composed = override or base
        return composed if composed is not None and composed.mappings else None
    targets = {m.target: m for m in base.mappings} | {m.target: m for m in override.mappings}
    if not targets:
        return None
    newest = max(base, override, key=lambda s: s.version)
    return MappingSet(
        tenant=override.tenant,
        connector=base.connector,
        entity=base.entity,
        epoch=newest.epoch,
        revision=newest.revision,
        primary_key=override.primary_key or base.primary_key,
        ignored=_merged(base.ignored, override.ignored),
        mappings=tuple(targets.values()),
        experiment=override.experiment or _for_tenant(base.experiment, override),
    )


def _for_tenant(experiment: Experiment | None, override: MappingSet) -> Experiment | None:
    own = {m.target for m in override.mappings}
    if experiment is None or not any(m.target in own for m in experiment.mappings):
        return experiment
    left = tuple(m for m in experiment.mappings if m.target not in own)
    return experiment.model_copy(update={"mappings": left}) if left else None


def _merged(first: Sequence[str], second: Sequence[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys((*first, *second)))


_PLAIN_COPY = Transform()
_ALL_FIELDS = set(Mapping.model_fields)


def compacted(mapping_set: MappingSet) -> MappingSet:
    """The same set in less than half of the memory, for those who hold thousands: what is equal is held once."""
    return mapping_set.model_copy(update={"mappings": tuple(map(_compacted, mapping_set.mappings))})


def _compacted(mapping: Mapping) -> Mapping:
    values = mapping.__dict__ | {
        "canonical_entity": intern(mapping.canonical_entity),
        "canonical_field": intern(mapping.canonical_field),
        "transform": _PLAIN_COPY if mapping.transform == _PLAIN_COPY else mapping.transform,
    }
    return Mapping.model_construct(_fields_set=_ALL_FIELDS, **values)
