"""The mapping table in memory: read to its end before the first record, then tailed. Needs no Postgres.

Decides which set is in force: the newest by (epoch, revision), and only what a snapshot-complete marker has closed, so
that no worker ever sees half a publication. Compiling is up to `agents.compiled_sets`.
"""

import json
import logging
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Final

from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaError, KafkaException, TopicPartition
from pydantic import ValidationError

from mapping.mapping_set import ANY_TENANT, MappingSet, compose
from observability import metrics
from schemas.failures import Misconfigured
from topics.clients import as_aam_error, make_consumer
from topics.read_topic import partitions_of
from topics.settings import KafkaSettings

log = logging.getLogger(__name__)

Key = tuple[str, str, str]
MARKER: Final = b"snapshot-complete"
POLL_SECONDS: Final = 0.1
REMIND_SECONDS: Final = 10.0


def key_bytes(key: Key) -> bytes:
    """(tenant or *, connector, entity) as the mapping table's key."""
    return json.dumps(key, ensure_ascii=False, separators=(",", ":")).encode()


@dataclass(frozen=True)
class MappingTable:
    """All sets at one (epoch, revision). Immutable: a batch that holds one sees nothing of later changes."""

    epoch: int = 0
    revision: int = 0
    sets: Mapping[Key, MappingSet] = field(default_factory=lambda: MappingProxyType({}))

    def layers(self, tenant: str, connector: str, entity: str) -> tuple[MappingSet | None, MappingSet | None]:
        """(the connector-wide set, the tenant's own)."""
        return self.sets.get((ANY_TENANT, connector, entity)), self.sets.get((tenant, connector, entity))

    def composed(self, tenant: str, connector: str, entity: str) -> MappingSet | None:
        """The set that maps the tenant's records; None if the source is unknown."""
        return compose(*self.layers(tenant, connector, entity))


class TableAssembler:
    """Turns the topic's records into tables. `table` is None until the first marker."""

    def __init__(self) -> None:
        self.table: MappingTable | None = None
        self._staged: dict[Key, MappingSet] = {}

    def take(self, key: bytes | None, value: bytes | None) -> bool:
        """Takes one record in; whether it completed a newer table."""
        try:
            if key == MARKER:
                marker = json.loads(value or b"{}")
                return self._complete(int(marker["epoch"]), int(marker["revision"]))
            mapping_set = MappingSet.model_validate_json(value or b"")
        except (ValidationError, ValueError, KeyError, TypeError) as error:
            # A newer AAM may write what this one can't read: the last good set stays.
            metrics.SET_FAILURES.labels("parse").inc()
            log.error("mapping table: a record of %d bytes can't be read: %s", len(value or b""), type(error).__name__)
            return False
        self._staged[mapping_set.key] = mapping_set
        return False

    def _complete(self, epoch: int, revision: int) -> bool:
        now = self.table or MappingTable(epoch=-1)
        sets = dict(now.sets)
        for key, mapping_set in self._staged.items():
            held = sets.get(key)
            if held is None or mapping_set.version >= held.version:
                sets[key] = mapping_set
        self._staged.clear()
        newest = max((epoch, revision), (now.epoch, now.revision))
        self.table = MappingTable(*newest, MappingProxyType(sets))
        metrics.MAPPING_EPOCH.set(newest[0])
        metrics.MAPPING_REVISION.set(newest[1])
        metrics.MAPPING_SETS.set(len(sets))
        return True


class MappingCache:
    """Follows the mapping table in a thread of its own. `table` raises until `ready` is set."""

    def __init__(self, settings: KafkaSettings) -> None:
        self._settings = settings
        self._assembler = TableAssembler()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._follow, name="mapping-cache", daemon=True)
        self.ready = threading.Event()
        self.failure: Exception | None = None

    @property
    def table(self) -> MappingTable:
        """The table in force."""
        table = self._assembler.table
        assert table is not None, "asked before ready"
        return table

    def start(self) -> None:
        """Begins to read. Raises Misconfigured if there is no such topic, TransientError without Kafka."""
        to_end: dict[str, Any] = {"enable.partition.eof": True}
        consumer = make_consumer(self._settings, group_id=self._settings.names.group("mapping-cache"), **to_end)
        topic = self._settings.names.mapping_table
        partitions = partitions_of(consumer, topic)
        if partitions != [0]:
            raise Misconfigured(f"{topic} must have one partition, so that a publication is read in order")
        consumer.assign([TopicPartition(topic, 0, OFFSET_BEGINNING)])
        self._consumer: Consumer = consumer
        self._thread.start()

    def stop(self) -> None:
        """Ends the thread; the table stays."""
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join(5)

    def _follow(self) -> None:
        reminded = time.monotonic()
        try:
            while not self._stopping.is_set():
                at_end = self._take_some()
                if at_end and self._assembler.table is not None:
                    self.ready.set()
                if not self.ready.is_set() and time.monotonic() - reminded > REMIND_SECONDS:
                    reminded = time.monotonic()
                    log.warning(
                        "no complete mapping table yet: is a worker with publish_mappings and Postgres running?"
                    )
        except Exception as error:
            log.exception("the mapping cache ends")
            self.failure = error
        finally:
            self._consumer.close()

    def _take_some(self) -> bool:
        """Whether the end was reached."""
        at_end = False
        for message in self._consumer.consume(500, POLL_SECONDS):
            error = message.error()
            if error is None:
                at_end = False
                self._assembler.take(_bytes(message.key()), _bytes(message.value()))
            elif error.code() == KafkaError._PARTITION_EOF:
                at_end = True
            elif error.fatal():
                raise as_aam_error(KafkaException(error), "read the mapping table")
            else:
                log.warning("mapping table: %s", error)
        return at_end


def _bytes(value: Any) -> bytes | None:
    return value if isinstance(value, bytes) or value is None else bytes(value)
