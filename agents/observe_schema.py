"""Keeps the schemas of sources as they are observed, and announces the fields that they add and no mapping reads.

Low rate, after-writes: Postgres first, then the announcements, then the offsets. A message read twice gets the same
answer from the registry, so a crash in between announces again and loses nothing.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from datetime import UTC, datetime

from confluent_kafka import Message
from pydantic import ValidationError

from agents.batch import Batch
from agents.dead_letters import Output, bury
from agents.mapping_cache import MappingTable
from agents.novel_fields import covers
from agents.publish_mappings import OpenPool
from mapping.mapping_set import MappingSet
from observability import metrics
from registry.pool import Pool
from registry.source_schemas import SourceSchemas
from schemas.failures import InvalidRecord, Misconfigured, TransientError
from schemas.messages import NovelField, SchemaChange, SourceField
from topics.names import TopicNames


class SchemaObserver:
    """Reads schema changes. Postgres is asked for when the first one comes, and may be away."""

    def __init__(self, *, names: TopicNames, table: Callable[[], MappingTable], open_pool: OpenPool) -> None:
        self._names = names
        self._table = table
        self._open_pool = open_pool
        self._opened = ExitStack()
        self._pool: Pool | None = None

    def close(self) -> None:
        """Give the connections back."""
        self._opened.close()

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
                outcomes[self._observe(_parsed(message), output)] += 1
            except (TransientError, Misconfigured):
                raise
            except Exception as error:
                kind, _ = bury(message, error, stage="observe schema", names=self._names, output=output)
                metrics.DEAD_LETTERS.labels("observe_schema", kind).inc()
                outcomes["dead_letter"] += 1
        return outcomes

    def _observe(self, change: SchemaChange, output: Output) -> str:
        added = SourceSchemas(self._registry()).observe(change).added
        for field in self._novel(change, set(added)):
            body = field.model_dump_json().encode()
            output.produce(self._names.fields_novel, body, change.tenant.encode())
            metrics.NOVEL_FIELDS.labels("schema_change").inc()
        return "new" if added else "known"

    def _registry(self) -> Pool:
        if self._pool is None:
            self._pool = self._opened.enter_context(self._open_pool())
        return self._pool

    def _novel(self, change: SchemaChange, added: set[str]) -> Iterator[NovelField]:
        mapping_set = self._table().composed(change.tenant, change.connector, change.entity)
        known = _known_paths(mapping_set) if mapping_set is not None else set()
        for field in change.fields:
            if field.path in added and not any(covers(path, field.path) for path in known):
                yield _announcement(change, field)


def _parsed(message: Message) -> SchemaChange:
    try:
        return SchemaChange.model_validate_json(message.value() or b"")
    except ValidationError as error:
        # Which fields are wrong and how, not what they hold.
        complaints = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors(include_input=False))
        raise InvalidRecord(f"not a schema change: {complaints}") from error


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
        reason="schema_change",
        announced_at=datetime.now(UTC),
    )


def _tell(outcomes: Counter[str]) -> None:
    for outcome, count in outcomes.items():
        metrics.SOURCE_SCHEMAS.labels(outcome).inc(count)
