"""The catalogue of topics: what each is for, its key and value, and how it is laid out on the cluster.

The data is `catalogue.json`; the canonical template is expanded over the entities of `schemas.canonical_model`.
Creating topics, and comparing them with a cluster, is left to `topics.provision`.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from schemas.canonical_model import load_entities
from topics.names import TopicNames

_HOUR_MS = 3_600_000


class Compaction(BaseModel):
    """When Kafka compacts a topic, and how long a tombstone stays readable."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    min_cleanable_dirty_ratio: float = Field(gt=0, lt=1)
    segment_hours: int = Field(gt=0)
    max_compaction_lag_hours: int = Field(gt=0)
    delete_retention_hours: int = Field(gt=0)


class TopicSpec(BaseModel):
    """One topic as it should be. `compression` is Kafka's `compression.type`: `producer` keeps the producer's."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    purpose: str
    key: str
    value: str
    partitions: int = Field(gt=0)
    cleanup_policy: Literal["delete", "compact"]
    retention_hours: int | None = Field(default=None, gt=0)
    compaction: Compaction | None = None
    max_message_bytes: int = Field(gt=0)
    compression: Literal["producer", "lz4", "zstd"]

    @model_validator(mode="after")
    def _policy_has_its_settings(self) -> "TopicSpec":
        deletes = self.cleanup_policy == "delete"
        if deletes != (self.retention_hours is not None) or deletes == (self.compaction is not None):
            raise ValueError(f"{self.name}: 'delete' takes retention_hours, 'compact' takes compaction")
        return self

    def config(self, replication_factor: int) -> dict[str, str]:
        """Kafka topic properties. One in-sync replica may be missing where there are three or more."""
        properties: dict[str, Any] = {
            "cleanup.policy": self.cleanup_policy,
            "max.message.bytes": self.max_message_bytes,
            "compression.type": self.compression,
            "min.insync.replicas": max(1, replication_factor - 1),
        }
        if self.retention_hours is not None:
            properties["retention.ms"] = self.retention_hours * _HOUR_MS
        if self.compaction is not None:
            properties["min.cleanable.dirty.ratio"] = self.compaction.min_cleanable_dirty_ratio
            properties["segment.ms"] = self.compaction.segment_hours * _HOUR_MS
            properties["max.compaction.lag.ms"] = self.compaction.max_compaction_lag_hours * _HOUR_MS
            properties["delete.retention.ms"] = self.compaction.delete_retention_hours * _HOUR_MS
        return {name: str(value) for name, value in properties.items()}


@dataclass(frozen=True, slots=True)
class Catalogue:
    """All topics of one installation, by name, in the catalogue's order.

    `replication_factor` None stands for min(3, brokers), which only the cluster can answer.
    """

    names: TopicNames
    topics: dict[str, TopicSpec]
    replication_factor: int | None = None

    @classmethod
    def load(
        cls,
        names: TopicNames | None = None,
        *,
        canonical_partitions: int | None = None,
        replication_factor: int | None = None,
    ) -> "Catalogue":
        """The catalogue under a prefix. `canonical_partitions` None keeps the catalogue's own 100."""
        names = names or TopicNames()
        specs = [*_plain(), *_canonical(canonical_partitions)]
        named = [spec.model_copy(update={"name": names.under_prefix(spec.name)}) for spec in specs]
        return cls(names, {spec.name: spec for spec in named}, replication_factor)

    def __iter__(self) -> Iterator[TopicSpec]:
        return iter(self.topics.values())

    def __len__(self) -> int:
        return len(self.topics)

    def __getitem__(self, name: str) -> TopicSpec:
        return self.topics[name]


@cache
def _data() -> dict[str, Any]:
    data: dict[str, Any] = json.loads(files("topics").joinpath("catalogue.json").read_bytes())
    return data


def _plain() -> Iterator[TopicSpec]:
    return (TopicSpec.model_validate(topic) for topic in _data()["topics"])


def _canonical(partitions: int | None) -> Iterator[TopicSpec]:
    template: dict[str, Any] = _data()["canonical"]
    for entity in load_entities():
        values = {k: v.format(entity=entity) if isinstance(v, str) else v for k, v in template.items()}
        yield TopicSpec.model_validate(values | ({"partitions": partitions} if partitions else {}))
