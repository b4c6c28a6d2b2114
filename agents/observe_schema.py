"""Keeps the schemas of sources as they are observed, and announces the fields that they add and no mapping reads.

Low rate, after-writes: Postgres first, then the announcements, then the offsets. A message read twice gets the same
answer from the registry, so a crash in between announces again and loses nothing.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime

from confluent_kafka import Message

from agents.batch import Batch
from agents.control_message import parse_message
from agents.dead_letters import Output, bury_message
from agents.mapping_cache import MappingTable
from agents.novel_fields import covers
from agents.registry_access import OpenPool, RegistryAccess
from mapping.mapping_set import MappingSet
from observability import metrics
from registry.source_schemas import SourceSchemas
from schemas.failures import Misconfigured, TransientError
from schemas.messages import FieldProfile, NovelField, SchemaChange, SourceField
from topics.names import TopicNames


class SchemaObserver:
    """Reads schema changes. Postgres is asked for when the first one comes, and may be away."""

    def __init__(self, *, names: TopicNames, table: Callable[[], MappingTable], open_pool: OpenPool) -> None:
        self._names = names
        self._table = table
        self._registry = RegistryAccess(open_pool)

    def close(self) -> None:
        """Give the connections back."""
        self._registry.close()

    async def handle(self, batch: Batch) -> None:
        """Settle one batch."""
        with batch.outcome():
            outcomes = await batch.in_thread(self.process, batch.messages, batch)
            batch.after_commit(lambda: _tell(outcomes))

    def process(self, messages: Iterable[Message], output: Output) -> Counter[str]:
        """Store and announce. Raises TransientError or Misconfigured without Postgres: to be tried again."""
        outcomes: Counter[str] = Counter()
        for message in messages:
            try:
                outcomes[self._observe(parse_message(SchemaChange, message.value()), output)] += 1
            except (TransientError, Misconfigured):
                raise
            except Exception as error:
                bury_message(message, error, agent="observe_schema", names=self._names, output=output)
                outcomes["dead_letter"] += 1
        return outcomes

    def _observe(self, change: SchemaChange, output: Output) -> str:
        added = SourceSchemas(self._registry.pool).observe(change).added
        for field in self._novel(change, set(added)):
            body = field.model_dump_json().encode()
            output.produce(self._names.fields_novel, body, change.tenant.encode())
            metrics.NOVEL_FIELDS.labels(field.reason).inc()
        return "new" if added else "known"

    def _novel(self, change: SchemaChange, added: set[str]) -> Iterator[NovelField]:
        mapping_set = self._table().composed(change.tenant, change.connector, change.entity)
        known = _known_paths(mapping_set) if mapping_set is not None else set()
        known.update(change.primary_key)  # what identifies records is told by every event
        if mapping_set is None and added:
            yield _unknown(change)
        for field in change.fields:
            if field.path in added and not any(covers(path, field.path) for path in known):
                yield _announcement(change, field)


def _known_paths(mapping_set: MappingSet) -> set[str]:
    """What the set reads, or knows to have no canonical counterpart."""
    known = {*mapping_set.primary_key, *mapping_set.ignored}
    for mapping in mapping_set.mappings:
        known.update(mapping.fallbacks, mapping.transform.inputs)
        if mapping.source_field is not None:
            known.add(mapping.source_field)
    return known


def _announcement(change: SchemaChange, field: SourceField) -> NovelField:
    return NovelField(
        tenant=change.tenant,
        connector=change.connector,
        entity=change.entity,
        connection=change.connection,
        path=field.path,
        types=field.types,
        shapes=change.shapes.get(field.path, ()),
        reason="schema_change",
        profile=_profile(field, change.profiles.get(field.path, FieldProfile())),
        announced_at=datetime.now(UTC),
    )


def _profile(field: SourceField, sampled: FieldProfile) -> FieldProfile:
    """What records showed, but for what the schema itself tells."""
    return sampled.model_copy(update={"enum": field.enum or sampled.enum, "format": field.format or sampled.format})


def _unknown(change: SchemaChange) -> NovelField:
    return NovelField(
        tenant=change.tenant,
        connector=change.connector,
        entity=change.entity,
        connection=change.connection,
        reason="unknown_source",
        announced_at=datetime.now(UTC),
    )


def _tell(outcomes: Counter[str]) -> None:
    for outcome, count in outcomes.items():
        metrics.SOURCE_SCHEMAS.labels(outcome).inc(count)
