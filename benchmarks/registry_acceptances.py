"""50,000 review items accepted in one go while a worker maps a steady stream: what it does to the stream's latency.

The acceptance is the command, in a process of its own; the worker publishes as well. Every tenant's set of the streamed
source is among those that change, so the worker compiles what it is using anew.
"""

import json
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import count, islice
from pathlib import Path
from typing import Any, Final

from confluent_kafka import Consumer
from pydantic import SecretStr

from agents.mapping_cache import MARKER
from benchmarks.canonicalize_latency import Load, output_reader, read_latencies
from benchmarks.canonicalize_load import NARROW, Shape, Source, load_sources
from benchmarks.canonicalize_stage import Stage
from benchmarks.worker_process import WorkerProcess
from infra.kafka.broker import RunningKafka
from registry.migrate import migrate
from registry.outbox import Outbox
from registry.pool import open_pool
from registry.review import ReviewItem, ReviewQueue
from registry.settings import RegistrySettings
from schemas.canonical_model import FieldKind, load_entities
from schemas.failures import Bug, TransientError
from topics.read_topic import read_topic
from topics.settings import KafkaSettings

RATE: Final = 500
WARM_UP_SECONDS: Final = 10.0  # what is compiled when it is first needed, and caches
ACCEPTED: Final = 50_000
FIELDS: Final = 20
ADDED_AT_ONCE: Final = 5_000
SETTLE_SECONDS: Final = 60.0

_OPS: Final = {FieldKind.TIMESTAMP: "iso_time", FieldKind.DATE: "iso_date", FieldKind.DECIMAL: "number"}


def measure(kafka: RunningKafka, database_url: str, folder: Path, seconds: float) -> tuple[list[dict[str, Any]], float]:
    """Rows of the latency before, for `seconds`, and meanwhile, and of the acceptance; the ratio of both p99."""
    migrate(database_url)
    settings = KafkaSettings(
        KAFKA_BOOTSTRAP_SERVERS=kafka.bootstrap_servers, topic_prefix="accept", canonical_partitions=4
    )
    stage = Stage(NARROW, settings, database_url, load_sources(NARROW), folder)
    stage.provision()
    with stage.registry() as store:
        store.import_seed([source.mapping_set for source in stage.sources], actor="benchmark")
    registry = RegistrySettings(DATABASE_URL=SecretStr(database_url))  # type: ignore[call-arg]  # an alias
    _ask(registry, stage.sources[0])
    environment = stage.environment | {"AAM_TOPIC_PREFIX": "accept", "AAM_CANONICAL_PARTITIONS": "4"}
    worker = WorkerProcess(environment, folder / "accept.log", agents="canonicalize,publish_mappings")
    reader = output_reader(stage)
    try:
        worker.wait_until_ready()
        _stream(stage, reader, 1, lambda: time.sleep(WARM_UP_SECONDS))
        before = _stream(stage, reader, 2, lambda: time.sleep(seconds))
        acceptance = _Acceptance(environment, registry, worker)
        meanwhile = _stream(stage, reader, 3, acceptance.run)
    finally:
        reader.close()
        worker.stop()
    p99 = [_row(f"a record at {RATE}/s, before the acceptance", before)]
    p99.append(_row("the same meanwhile, until all of it is published and mirrored", meanwhile))
    done = {"what": f"{ACCEPTED:,} acceptances, committed", "seconds": round(acceptance.committed_seconds, 1)}
    seen = {"what": "and in force in the worker", "seconds": round(acceptance.seen_seconds, 1)}
    markers = sum(1 for record in read_topic(settings, settings.names.mapping_table) if record.key == MARKER)
    mirrored = {"what": "and its decisions in aam.registry.events.v1", "seconds": round(acceptance.mirrored_seconds, 1)}
    told = {"what": "publications of the whole run", "count": markers}
    return [*p99, done, seen, mirrored, told], round(p99[1]["p99_ms"] / p99[0]["p99_ms"], 2)


@dataclass
class _Acceptance:
    """`aam review accept` of everything, until the worker has it in force and the audit trail is in Kafka."""

    environment: dict[str, str]
    settings: RegistrySettings
    worker: WorkerProcess
    committed_seconds: float = 0.0
    seen_seconds: float = 0.0
    mirrored_seconds: float = 0.0

    def run(self) -> None:
        started = time.monotonic()
        # a person's machine is another one: the cores are the mesh's first
        command = [
            "nice",
            "-n",
            "10",
            sys.executable,
            "-m",
            "cli",
            "review",
            "accept",
            "--min-probability",
            "0",
            "--yes",
            "--json",
        ]
        ended = subprocess.run(command, env=self.environment, capture_output=True, text=True, check=False)
        self.committed_seconds = time.monotonic() - started
        if ended.returncode != 0:
            raise Bug(f"the acceptance failed: {ended.stderr}")
        said = json.loads(ended.stdout)
        if said["items"] != ACCEPTED:
            raise Bug(f"not everything was accepted: {said}")
        end = started + self.committed_seconds + SETTLE_SECONDS
        self.seen_seconds = _seconds_until(
            lambda: self.worker.metric("aam_mapping_revision") >= said["revision"], started, end
        )
        with open_pool(self.settings) as pool:
            outbox = Outbox(pool)
            self.mirrored_seconds = _seconds_until(lambda: not outbox.decisions(1), started, end)


def _seconds_until(true: Callable[[], bool], started: float, end: float) -> float:
    while not true():
        if time.monotonic() > end:
            raise TransientError("the acceptance did not get through")
        time.sleep(0.1)
    return time.monotonic() - started


def _stream(stage: Stage, reader: Consumer, number: int, act: Callable[[], None]) -> list[float]:
    """Latencies, in seconds, of the records that are sent while `act` runs."""
    load, done = Load(stage, number * 1_000_000_000), threading.Event()

    def send() -> None:
        while not done.is_set():
            load.send_for(0.5, RATE)

    found: list[float] = []
    sending, acting = threading.Thread(target=send), _Acting(act, done)
    sending.start()
    acting.start()
    end: float | None = None
    while sending.is_alive() or len(found) < load.sent:
        found += read_latencies(reader, load)
        end = end or (time.monotonic() + SETTLE_SECONDS if done.is_set() else None)
        if end is not None and time.monotonic() > end:
            raise TransientError(f"{len(found)} of {load.sent} records came out")
    if acting.error is not None:
        raise acting.error
    return found


class _Acting(threading.Thread):
    """Runs `act`, then sets `done`, also after an error, which it keeps."""

    def __init__(self, act: Callable[[], None], done: threading.Event) -> None:
        super().__init__()
        self._act, self._done = act, done
        self.error: Exception | None = None

    def run(self) -> None:
        try:
            self._act()
        except Exception as error:  # raised again by who waits
            self.error = error
        finally:
            self._done.set()


def _ask(settings: RegistrySettings, streamed: Source) -> None:
    with open_pool(settings) as pool:
        queue, items = ReviewQueue(pool), list(islice(_items(NARROW, streamed), ACCEPTED))
        for start in range(0, len(items), ADDED_AT_ONCE):
            queue.add(items[start : start + ADDED_AT_ONCE])


def _items(shape: Shape, streamed: Source) -> Iterator[ReviewItem]:
    """For each tenant all fields of the streamed entity, then up to 20 fields each of others, without end."""
    every = [(name, path, field) for name, entity in load_entities().items() for path, field in entity.targets()]
    scalar = [(name, path, field.kind) for name, path, field in every if "[]" not in path and not field.is_list]
    tenants = [f"tenant-{number:03d}" for number in range(shape.tenants)]
    own = [target for target in scalar if target[0] == streamed.target]
    for tenant in tenants:
        for target in own:
            yield _item((tenant, streamed.mapping_set.connector, streamed.mapping_set.entity), *target)
    for number in count():
        start = number * FIELDS % (len(scalar) - FIELDS)
        for tenant in tenants:
            for target in scalar[start : start + FIELDS]:
                yield _item((tenant, f"vendor-{number % 10}", f"object_{number:03d}"), *target)


def _item(key: tuple[str, str, str], target: str, path: str, kind: FieldKind | None) -> ReviewItem:
    transform = {"op": _OPS.get(kind or FieldKind.STRING, "copy"), "inputs": [], "params": {}}
    signals = {"name": 0.8, "meaning": 0.7, "type_fit": 1.0}
    candidates = [{"field": path, "probability": 0.8, "signals": signals, "transform": transform}]
    profile = {"types": ["string"], "shapes": ["Aaaa"], "present": 90, "records": 100}
    source = f"extra.{path}_{target}"
    return ReviewItem(*key, source, target, candidates, "two are alike", profile, 100, 0.2)


def _row(what: str, seconds: list[float]) -> dict[str, Any]:
    cuts = statistics.quantiles(seconds, n=100)
    return {"what": what, "p50_ms": round(cuts[49] * 1_000, 1), "p99_ms": round(cuts[98] * 1_000, 1)}
