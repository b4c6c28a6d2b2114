"""What the Python systems share: the job they are given, and our compiled mapping as one plain function.

It is the fastest mapping in Python that we know, and every system gets it, so what differs is how records travel. It
runs in each system's own environment, so it imports nothing but `mapping` and `schemas`.
"""

import json
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mapping.compile import Apply, compile_set
from mapping.event_format import EventFormat
from mapping.mapping_set import MappingSet
from mapping.origin import Delivery, Origin
from schemas.canonical_model import load_entities
from schemas.schema_ids import schema_id
from schemas.wire_format import frame

Headers = Sequence[tuple[str, bytes]]
Place = tuple[str, int, int, int]  # topic, partition, offset, timestamp in milliseconds
Canonicalize = Callable[[Headers, dict[str, Any], Place], list[tuple[str, bytes]]]


@dataclass(frozen=True)
class Job:
    """What a system has to do: read `raw_topic` from the group's offsets on, write to the topics of `outputs`."""

    bootstrap_servers: str
    raw_topic: str
    group: str
    outputs: Mapping[str, str]  # canonical entity -> topic
    event_format: EventFormat
    guarantee: str
    commit_seconds: float | None  # None: the system's own default
    state: str  # a folder of the system's own
    sets: Sequence[Mapping[str, Any]]
    entities: Mapping[str, Any]  # canonical entity -> its version and fields, for systems that don't know `schemas`


def read_job() -> Job:
    """The job whose file is this process's only argument."""
    return Job(**json.loads(Path(sys.argv[1]).read_text(encoding="utf-8")))


def canonicalizer(job: Job) -> Canonicalize:
    """(headers, record, place) → [(topic, event)]. KeyError for a source that the job has no set for."""
    entities = load_entities()
    prefixes = {name: frame(schema_id(entity)) for name, entity in entities.items()}
    functions: dict[tuple[str, str], Apply] = {}
    for given in job.sets:
        mapping_set = MappingSet.model_validate(given)
        compiled = compile_set(mapping_set, entities, event_format=job.event_format, prefixes=prefixes)
        functions[mapping_set.connector, mapping_set.entity] = compiled.apply
    known: dict[tuple[tuple[str, bytes], ...], tuple[Origin, Apply]] = {}
    outputs = job.outputs

    def canonicalize(headers: Headers, record: dict[str, Any], place: Place) -> list[tuple[str, bytes]]:
        key = tuple(headers)
        found = known.get(key)
        if found is None:
            tenant, connector, entity = (dict(headers)[name].decode() for name in ("tenant", "connector", "entity"))
            found = known[key] = (Origin(tenant, connector, entity, connector), functions[connector, entity])
        origin, apply = found
        events, _ = apply(record, origin, Delivery(*place, "upsert", None, None, int(time.time() * 1_000_000)))
        return [(outputs[entity], event) for entity, event in events]

    return canonicalize
