"""The mapping table in memory: read to its end before the first record, then tailed. Needs no Postgres.

Decides which set is in force: the newest by (epoch, revision), and only what a snapshot-complete marker has closed, so
that no worker ever sees half a publication. Compiling is up to `agents.compiled_sets`.
"""

import json
import logging
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Final

from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaError, KafkaException, TopicPartition
from pydantic import ValidationError

from agents.bites import in_bites
from mapping.mapping_set import ANY_TENANT, MappingSet, compacted, compose
from observability import metrics
from schemas.failures import Misconfigured, TransientError
from topics.clients import as_aam_error, make_consumer
from topics.read_topic import partitions_of
from topics.settings import KafkaSettings

log = logging.getLogger(__name__)

Key = tuple[str, str, str]  # (tenant or *, connector, entity)
MARKER: Final = b"snapshot-complete"
POLL_SECONDS: Final = 0.1
REMIND_SECONDS: Final = 10.0
RESTART_SECONDS: Final = 1.0


def key_bytes(key: Key) -> bytes:
    """(tenant or *, connector, entity) as the mapping table's key: a JSON array, so no name needs escaping."""
    return json.dumps(key, ensure_ascii=False, separators=(",", ":")).encode()


def marker_bytes(epoch: int, revision: int) -> bytes:
    """The value of a snapshot-complete record."""
    return json.dumps({"epoch": epoch, "revision": revision}, separators=(",", ":")).encode()


@dataclass(frozen=True)
class MappingTable:
    """All sets at one (epoch, revision). Immutable: a batch that holds one sees nothing of later changes."""

    epoch: int = 0
    revision: int = 0
    sets: Mapping[Key, MappingSet] = field(default_factory=lambda: MappingProxyType({}))

    @property
    def version(self) -> tuple[int, int]:
        return self.epoch, self.revision

    def layers(self, tenant: str, connector: str, entity: str) -> tuple[MappingSet | None, MappingSet | None]:
        """(the connector-wide set, the tenant's own)."""
        return self.sets.get((ANY_TENANT, connector, entity)), self.sets.get((tenant, connector, entity))

    def composed(self, tenant: str, connector: str, entity: str) -> MappingSet | None:
        """The set that maps the tenant's records; None if the source is unknown."""
        return compose(*self.layers(tenant, connector, entity))


class TableAssembler:
    """Turns the topic's records into tables. `table` is None until the first marker; any thread may read it."""

    def __init__(self) -> None:
        self.table: MappingTable | None = None
        self.unreadable: set[bytes] = set()
        self._staged: dict[Key, MappingSet] = {}

    def take(self, key: bytes | None, value: bytes | None) -> bool:
        """Takes one record in; whether it completed a table."""
        try:
            if key == MARKER:
                marker = json.loads(value or b"")
                self._complete((int(marker["epoch"]), int(marker["revision"])))
            else:
                self._stage(compacted(MappingSet.model_validate_json(value or b"")))
        except (ValidationError, ValueError, KeyError, TypeError) as error:
            # A newer AAM may write what this one can't read: the last good set stays.
            self.unreadable.add(key or b"")
            metrics.SET_FAILURES.labels("parse").inc()
            log.error("mapping table: the record of key %r can't be read: %s", key, type(error).__name__)
            return False
        self.unreadable.discard(key or b"")
        return key == MARKER

    def _stage(self, mapping_set: MappingSet) -> None:
        staged = self._staged.get(mapping_set.key)
        if staged is None or mapping_set.version >= staged.version:
            self._staged[mapping_set.key] = mapping_set

    def _complete(self, version: tuple[int, int]) -> None:
        sets: dict[Key, MappingSet] = dict(self.table.sets) if self.table else {}
        for key, mapping_set in self._staged.items():
            if key not in sets or mapping_set.version > sets[key].version:
                sets[key] = mapping_set
        self._staged.clear()
        newest = max(version, self.table.version) if self.table else version
        self.table = MappingTable(*newest, MappingProxyType(sets))


class MappingCache:
    """Follows the mapping table in a thread of its own; what it has read stays in force whatever happens to Kafka."""

    def __init__(self, settings: KafkaSettings) -> None:
        self._settings = settings
        self._assembler = TableAssembler()
        self._stopping = threading.Event()
        self._listeners: list[Callable[[], None]] = []
        self._thread = threading.Thread(target=self._follow, name="mapping-cache", daemon=True)
        self.ready = threading.Event()

    def snapshot(self) -> MappingTable:
        """The table in force. Raises TransientError before `ready`."""
        table = self._assembler.table
        if table is None or not self.ready.is_set():
            raise TransientError("the mapping table is not read yet")
        return table

    def on_change(self, listener: Callable[[], None]) -> None:
        """Has `listener` called, in the cache's thread, after each publication."""
        self._listeners.append(listener)

    def start(self) -> None:
        """Begins to read."""
        self._thread.start()

    def stop(self) -> None:
        """Ends the thread; the table stays."""
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join(5)

    def _follow(self) -> None:
        while not self._stopping.is_set():
            try:
                self._read()
            except Exception:
                # Read anew from the start: sets in force are only replaced by newer ones.
                log.exception("the mapping cache begins again")
                self._stopping.wait(RESTART_SECONDS)

    def _read(self) -> None:
        topic = self._settings.names.mapping_table
        extra: dict[str, Any] = {"enable.partition.eof": True}
        consumer = make_consumer(self._settings, group_id=self._settings.names.group("mapping-cache"), **extra)
        try:
            if partitions_of(consumer, topic) != [0]:
                raise Misconfigured(f"{topic} must have one partition, so that a publication is read in order")
            consumer.assign([TopicPartition(topic, 0, OFFSET_BEGINNING)])
            reminded = time.monotonic()
            while not self._stopping.is_set():
                if self._take_some(consumer):
                    self._at_end()
                if not self.ready.is_set() and time.monotonic() - reminded > REMIND_SECONDS:
                    reminded = time.monotonic()
                    log.warning("waiting for a complete mapping table: does a worker with publish_mappings run?")
        finally:
            consumer.close()

    def _at_end(self) -> None:
        table = self._assembler.table
        if table is not None and not self.ready.is_set():
            log.info("mapping table read: %d sets, epoch %d, revision %d", len(table.sets), *table.version)
            self.ready.set()

    def _take_some(self, consumer: Consumer) -> bool:
        """Whether the topic's end was reached."""
        at_end = completed = False
        messages = consumer.consume(500, POLL_SECONDS)
        for message in in_bites(messages) if self.ready.is_set() else messages:  # before, no record waits
            error = message.error()
            if error is None:
                completed |= self._assembler.take(message.key(), message.value())
            elif error.code() == KafkaError._PARTITION_EOF:
                at_end = True
            elif error.fatal():
                raise as_aam_error(KafkaException(error), "read the mapping table")
            else:
                log.warning("mapping table: %s", error)
        if completed:
            self._completed()
        return at_end

    def _completed(self) -> None:
        table = self._assembler.table
        assert table is not None, "a marker was read"
        metrics.MAPPING_EPOCH.set(table.epoch)
        metrics.MAPPING_REVISION.set(table.revision)
        metrics.MAPPING_SETS.set(len(table.sets))
        metrics.SETS_FAILING.labels("parse").set(len(self._assembler.unreadable))
        for listener in self._listeners:
            listener()
