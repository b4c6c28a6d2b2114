"""Changes of the registry: 50,000 mappings imported from files, and how soon running workers have a change."""

import os
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from itertools import count
from pathlib import Path
from typing import Any, Final

from pydantic import SecretStr

from benchmarks.worker_process import WorkerProcess
from infra.kafka.broker import RunningKafka
from mapping.mapping_set import Mapping, MappingSet, Transform
from registry.mapping_store import MappingStore
from registry.migrate import migrate
from registry.pool import Pool, open_pool
from registry.rollback import Rollbacks
from registry.seeds import load_seeds
from registry.settings import RegistrySettings
from registry.yaml_history import read_versions
from registry.yaml_import import import_file
from registry.yaml_writer import write_mappings
from schemas.canonical_model import FieldKind, load_entities
from schemas.failures import Bug, TransientError
from topics import provision
from topics.clients import make_admin
from topics.settings import KafkaSettings

FILES, ENTITIES, FIELDS = 50, 50, 20
IMPORTED: Final = FILES * ENTITIES * FIELDS
WORKERS: Final = 2
UPDATES: Final = 10
SETTLE_SECONDS: Final = 30.0

_OPS: Final = {FieldKind.TIMESTAMP: "iso_time", FieldKind.DATE: "iso_date", FieldKind.DECIMAL: "number"}


def settings(database_url: str) -> RegistrySettings:
    """The registry's settings as they are by default."""
    return RegistrySettings(DATABASE_URL=SecretStr(database_url))  # type: ignore[call-arg]  # an alias


def import_seconds(pool: Pool) -> dict[str, Any]:
    """All files, from opening the first to the commit of the last, as `aam mappings import` does it."""
    with tempfile.TemporaryDirectory(prefix="aam-bench-") as folder:
        paths = [_write(Path(folder), number) for number in range(FILES)]
        store = MappingStore(pool)
        started = time.perf_counter()
        reports = [import_file(pool, store, read_versions(path, None, actor="benchmark")) for path in paths]
        seconds = time.perf_counter() - started
    if sum(report.mappings for report in reports) != IMPORTED or any(report.refused for report in reports):
        raise Bug("not everything was imported")
    return {
        "what": f"import of {IMPORTED:,} mappings from {FILES} YAML files, synced to disk",
        "seconds": round(seconds, 2),
    }


def update_seconds(kafka: RunningKafka, database_url: str, folder: Path) -> tuple[list[float], list[float]]:
    """(of some changes, of the rollback of each): from its commit until every worker has it in force, in seconds.

    Each worker's metric is asked in turn, without a pause; the registry holds the connectors' seeds.
    """
    migrate(database_url)
    environment = {name: value for name, value in os.environ.items() if not name.startswith("AAM_")} | {
        "KAFKA_BOOTSTRAP_SERVERS": kafka.bootstrap_servers,
        "DATABASE_URL": database_url,
        "AAM_TOPIC_PREFIX": "bench",
        "AAM_CANONICAL_PARTITIONS": "4",
    }
    names = KafkaSettings(KAFKA_BOOTSTRAP_SERVERS=kafka.bootstrap_servers, topic_prefix="bench", canonical_partitions=4)
    admin, catalogue = make_admin(names), names.catalogue()
    provision.apply(admin, catalogue, provision.plan(admin, catalogue))
    with open_pool(settings(database_url)) as pool:
        MappingStore(pool).import_seed(load_seeds(), actor="benchmark")
        workers = [
            WorkerProcess(environment, folder / f"worker-{slot}.log", slot=slot, agents="canonicalize,publish_mappings")
            for slot in range(WORKERS)
        ]
        try:
            for worker in workers:
                worker.wait_until_ready()
            taken = [_change_and_rollback(pool, workers, number) for number in range(UPDATES)]
        finally:
            for worker in workers:
                worker.stop()
    return [changed for changed, _ in taken], [undone for _, undone in taken]


def _change_and_rollback(pool: Pool, workers: Sequence[WorkerProcess], number: int) -> tuple[float, float]:
    mapping = Mapping(canonical_entity="customer", canonical_field="company_name", source_field="description")

    def change() -> int:
        return MappingStore(pool).set_mapping(
            connector="stripe", entity="customer", mapping=mapping, method="manual", actor="benchmark"
        )

    def undo() -> int:
        return Rollbacks(pool).field(("*", "stripe", "customer"), mapping.target, actor="benchmark").revision

    return _seconds_until_seen(change, workers, number), _seconds_until_seen(undo, workers, number)


def _seconds_until_seen(decide: Callable[[], int], workers: Sequence[WorkerProcess], number: int) -> float:
    time.sleep(0.37 * (number % 3))  # at different moments of the publisher's interval
    revision = decide()
    committed = time.perf_counter()
    for worker in workers:
        while worker.metric("aam_mapping_revision") < revision:
            if time.perf_counter() - committed > SETTLE_SECONDS:
                raise TransientError("a change did not reach the workers")
    return time.perf_counter() - committed


def _write(folder: Path, number: int) -> Path:
    connector = f"vendor-{number:02d}"
    path = folder / f"{connector}.yaml"
    path.write_text(write_mappings(connector, "*", list(_sets(connector))), encoding="utf-8")
    return path


def _sets(connector: str) -> Iterator[MappingSet]:
    targets = [
        Mapping(
            canonical_entity=entity.name,
            canonical_field=path,
            source_field=f"record.{path}",
            transform=Transform(op=_OPS.get(field.kind or FieldKind.STRING, "copy")),
            confidence=0.97,
        )
        for entity in load_entities().values()
        for path, field in entity.targets()
        if "[]" not in path
    ]
    for number in range(ENTITIES):
        start = number * FIELDS % (len(targets) - FIELDS)
        yield MappingSet(
            connector=connector,
            entity=f"object_{number:02d}",
            epoch=0,
            revision=0,
            primary_key=("id",),
            mappings=_distinct(targets[start : start + FIELDS]),
        )


def _distinct(mappings: Sequence[Mapping]) -> tuple[Mapping, ...]:
    """Each with a source path of its own."""
    numbers = count()
    return tuple(m.model_copy(update={"source_field": f"{m.source_field}_{next(numbers)}"}) for m in mappings)
