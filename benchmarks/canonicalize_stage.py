"""Where the systems compete: one broker and registry of the benchmark's own, raw records produced once, and fresh
output topics and offsets for each run. What is run on it, and how it is measured, is up to the other modules.
"""

import os
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final

from confluent_kafka import Consumer, KafkaException, TopicPartition
from pydantic import SecretStr

from benchmarks.canonicalize_load import Shape, Source, load_sources, produce, raw_ends
from benchmarks.canonicalize_peers.mapped import Job
from benchmarks.worker_process import WorkerProcess
from infra.kafka.broker import owned_kafka
from infra.narration import to_stderr
from infra.postgres.server import owned_postgres
from infra.settings import LocalSettings
from mapping.mapping_set import MappingSet
from registry.mapping_store import MappingStore
from registry.migrate import migrate
from registry.pool import open_pool
from registry.settings import RegistrySettings
from schemas.canonical_model import CanonicalEntity, CanonicalField, load_entities
from topics import provision
from topics.clients import make_admin
from topics.settings import KafkaSettings

BROKER_HEAP_MIB: Final = 1024
PUBLISHER_SLOT: Final = 9
GROUP_EMPTY_SECONDS: Final = 30.0
DELETED_SECONDS: Final = 60.0


@dataclass
class Stage:
    """One shape's broker, registry, raw records and mapping sets."""

    shape: Shape
    kafka: KafkaSettings
    database_url: str
    sources: Sequence[Source]
    folder: Path
    revision: int = 0
    count: int = 0
    runs: int = field(default=0)

    @property
    def sets(self) -> list[MappingSet]:
        """What the registry holds, for systems that don't ask it."""
        return [s.mapping_set.model_copy(update={"revision": self.revision}) for s in self.sources]

    @property
    def outputs(self) -> dict[str, str]:
        """Canonical entity → topic."""
        return {source.target: self.kafka.names.canonical(source.target) for source in self.sources}

    @property
    def environment(self) -> dict[str, str]:
        """What a user would set for `aam worker`."""
        given = {name: value for name, value in os.environ.items() if not name.startswith("AAM_")}
        return given | {
            "KAFKA_BOOTSTRAP_SERVERS": self.kafka.bootstrap_servers,
            "DATABASE_URL": self.database_url,
            "AAM_LOG_LEVEL": "WARNING",
        }

    def job(self, group: str, *, event_format: str, guarantee: str, commit_seconds: float | None) -> dict[str, Any]:
        """The job of one run, as its file holds it."""
        self.runs += 1
        state = self.folder / f"state-{self.shape.name}-{self.runs}"
        state.mkdir()
        job = Job(
            bootstrap_servers=self.kafka.bootstrap_servers,
            raw_topic=self.kafka.names.raw_records,
            group=group,
            outputs=self.outputs,
            event_format="avro" if event_format == "avro" else "json",
            guarantee=guarantee,
            commit_seconds=commit_seconds,
            state=str(state),
            sets=[s.model_dump(mode="json") for s in self.sets],
            entities={s.target: _described(load_entities()[s.target]) for s in self.sources},
        )
        return asdict(job)

    def fresh_outputs(self) -> None:
        """Delete the output topics and make them anew."""
        admin, names = make_admin(self.kafka), list(self.outputs.values())
        for deleted in admin.delete_topics(names, operation_timeout=30).values():
            deleted.result()
        end = time.monotonic() + DELETED_SECONDS
        while set(names) & provision.metadata(admin).topics.keys() and time.monotonic() < end:
            time.sleep(0.1)
        self.provision()

    def provision(self) -> None:
        """Create what the catalogue has and the broker hasn't."""
        admin, catalogue = make_admin(self.kafka), self.kafka.catalogue()
        provision.apply(admin, catalogue, provision.plan(admin, catalogue))

    def start_group(self, group: str, places: Sequence[TopicPartition]) -> None:
        """Have `group` begin at `places`; waits until its former members are gone."""
        end = time.monotonic() + GROUP_EMPTY_SECONDS
        consumer = self.watcher(group)
        try:
            while True:
                try:
                    consumer.commit(offsets=list(places), asynchronous=False)
                except KafkaException:
                    if time.monotonic() > end:
                        raise
                    time.sleep(0.5)
                else:
                    return
        finally:
            consumer.close()

    def raw_starts(self) -> list[TopicPartition]:
        """The beginning of each raw partition."""
        return [TopicPartition(place.topic, place.partition, 0) for place in self.raw_ends()]

    def raw_ends(self) -> list[TopicPartition]:
        return raw_ends(self.kafka)

    def watcher(self, group: str) -> Consumer:
        """A client that reads and writes the offsets of `group` without being a member."""
        return Consumer(
            {
                "bootstrap.servers": self.kafka.bootstrap_servers,
                "group.id": group,
                # else it would wait for transactions that have offsets pending
                "isolation.level": "read_uncommitted",
                "enable.auto.commit": False,
            }
        )

    @contextmanager
    def registry(self) -> Iterator[MappingStore]:
        """The registry's mappings."""
        settings = RegistrySettings(DATABASE_URL=SecretStr(self.database_url))  # type: ignore[call-arg]  # an alias
        with open_pool(settings) as pool:
            yield MappingStore(pool)


@contextmanager
def staged(shape: Shape, count: int, folder: Path) -> Iterator[Stage]:
    """Everything up, `count` raw records written, the mapping sets published by a worker that does nothing else."""
    root = LocalSettings().root
    with ExitStack() as stack:
        broker = stack.enter_context(owned_kafka(root, heap_mib=BROKER_HEAP_MIB))
        postgres = stack.enter_context(owned_postgres(root))
        kafka = KafkaSettings().model_copy(update={"bootstrap_servers": broker.bootstrap_servers})
        stage = Stage(shape, kafka, postgres.database_url, load_sources(shape), folder)
        stage.provision()
        migrate(stage.database_url)
        with stage.registry() as store:
            stage.revision = store.import_seed([source.mapping_set for source in stage.sources], actor="benchmark")
        to_stderr(f"{shape.name}: writing {count:,} raw records")
        produce(kafka, stage.sources, shape, count)
        stage.count = count
        log = folder / f"{shape.name}-publisher.log"
        publisher = WorkerProcess(stage.environment, log, slot=PUBLISHER_SLOT, agents="publish_mappings")
        stack.callback(publisher.stop)
        publisher.wait_until_ready()
        yield stage


def _described(entity: CanonicalEntity) -> dict[str, Any]:
    return {"version": entity.version, "fields": [_field(canonical) for canonical in entity.fields]}


def _field(canonical: CanonicalField) -> dict[str, Any]:
    return {
        "name": canonical.name,
        "kind": canonical.kind.value if canonical.kind else "record",
        "is_list": canonical.is_list,
        "members": [_field(member) for member in canonical.members],
    }
