"""A thousand vendors onboarded: discovered over HTTP, their fields mapped by retrieval, by a model, or left to review.

`make bench-onboarding` writes results/onboarding.json; QUICK=1 takes 60 vendors. Everything is real but the people and
the model: a sandbox over HTTP, Kafka, Postgres, two `aam worker`s, an OpenAI-compatible endpoint that counts. The first
tenth of the vendors teaches: a person settles what is in doubt there and confirms the rest. Entities in doubt are
confirmed everywhere.
"""

import os
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any, Final

import numpy as np
import psycopg

from agents.compiled_sets import CompiledSets
from agents.mapping_cache import MappingCache
from benchmarks.llm_server import ModelServer, choosing
from benchmarks.onboarding_people import Reviewer, answer_by_names
from benchmarks.onboarding_vendors import Truth, discover, truth_of
from benchmarks.report import print_rows, quick, write_report
from benchmarks.worker_process import WorkerProcess
from inference.settings import InferenceSettings
from infra.kafka.broker import owned_kafka
from infra.narration import to_stderr
from infra.postgres.server import owned_postgres
from registry.known_mappings import known_mappings
from registry.lookup import find_mappings
from registry.mapping_store import MappingStore
from registry.migrate import migrate
from registry.pool import Pool, open_pool
from registry.reference_mappings import reference_mappings, with_reference
from registry.seeds import load_seeds
from registry.settings import RegistrySettings
from sandbox.server import running_sandbox
from sandbox.settings import SandboxSettings
from schemas.canonical_model import load_entities
from schemas.messages import SchemaChange
from topics import provision
from topics.clients import make_admin, make_producer
from topics.settings import KafkaSettings

VENDORS: Final = 1_000
TEACHING: Final = 0.1
WORKERS: Final = 2
PATIENCE_SECONDS: Final = 900.0
LOOKUP_PAUSE_SECONDS: Final = 0.02
# The workers share the partitions out in two rounds, some seconds after each of them has its first.
SETTLING_SECONDS: Final = 10.0
BARS: Final = {
    "total_s": 300.0,
    "precision": 0.95,
    "rag_hit_rate_last_900": 0.95,
    "lookup_p99_ms": 1.0,
    "lookup_loaded_p99_ms": 500.0,
    "retrieval_fields_per_s": 2_000.0,
}


@dataclass
class Bench:
    """What is running."""

    kafka: KafkaSettings
    database_url: str
    pool: Pool
    sandbox: str
    model: ModelServer


def main() -> None:
    load = os.getloadavg()[0]
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # as every command has it, for the processes that match
    count = 60 if quick() else VENDORS
    truths = [truth_of(number) for number in range(1, count + 1)]
    teaching, others = truths[: round(count * TEACHING)], truths[round(count * TEACHING) :]
    figures: dict[str, float] = {}
    with running(count) as bench:
        reviewer = Reviewer(bench.pool, {t.connector: t for t in truths}, {t.connector for t in teaching})
        started = time.perf_counter()
        rows = [_phase(bench, "the first tenth, with a person", teaching, reviewer, settle=True)]
        lookups = Lookups(bench.pool, others)
        rows.append(_phase(bench, "the others", others, reviewer, settle=False))
        figures["total_s"] = time.perf_counter() - started
        reviewer.stop()
        figures |= _quality(bench, others, rows)
        figures["llm_calls"] = bench.model.counted.calls
        figures["llm_cost_usd"] = _usd(bench.model)
        figures["lookup_loaded_p99_ms"] = lookups.stop()
        figures["lookup_p99_ms"] = _cached_lookups(bench, others)
        figures["retrieval_fields_per_s"] = _retrieval(bench.pool, others)
        rows.append({"what": "answers of the person", **_row(0, 0.0), "note": str(dict(reviewer.answers))})
    path = write_report(
        "onboarding", quick=quick(), load_average_before=round(load, 2), bars=BARS, rows=rows, figures=figures
    )
    print_rows("onboarding", rows)
    for figure, value in figures.items():
        bar = f" (bar {BARS[figure]:g})" if figure in BARS else ""
        to_stderr(f"{figure}: {value:,.4g}{bar}")
    to_stderr(f"written: {path}")


@contextmanager
def running(vendors: int) -> Iterator[Bench]:
    """Everything up, the seeds imported; ends with the block, data included."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="aam-bench-", ignore_cleanup_errors=True)))
        folder.chmod(0o755)  # Postgres may run as another account
        broker, postgres = stack.enter_context(owned_kafka(folder)), stack.enter_context(owned_postgres(folder))
        kafka = KafkaSettings().model_copy(
            update={"bootstrap_servers": broker.bootstrap_servers, "canonical_partitions": 4}
        )
        admin, catalogue = make_admin(kafka), kafka.catalogue()
        provision.apply(admin, catalogue, provision.plan(admin, catalogue))
        migrate(postgres.database_url)
        settings = RegistrySettings.model_validate({"DATABASE_URL": postgres.database_url})
        pool = stack.enter_context(open_pool(settings))
        MappingStore(pool).import_seed(load_seeds(()), actor="bench")
        model = stack.enter_context(ModelServer(choosing(answer_by_names), keep_bodies=False).running())
        sandbox = stack.enter_context(running_sandbox(SandboxSettings(port=0, vendors=vendors, limits=False)))
        for slot in range(WORKERS):
            environment = _environment(kafka, postgres.database_url, model)
            worker = WorkerProcess(environment, folder / f"worker-{slot}.log", slot=slot)
            stack.callback(worker.stop)
            worker.wait_until_ready()
        time.sleep(SETTLING_SECONDS)
        yield Bench(kafka, postgres.database_url, pool, sandbox, model)


def _environment(kafka: KafkaSettings, database_url: str, model: ModelServer) -> dict[str, str]:
    given = {name: value for name, value in os.environ.items() if not name.startswith("AAM_")}
    return given | {
        "KAFKA_BOOTSTRAP_SERVERS": kafka.bootstrap_servers,
        "DATABASE_URL": database_url,
        "OPENAI_BASE_URL": model.url,
        "OPENAI_API_KEY": "none",
        "AAM_LOG_LEVEL": "WARNING",
        "PYTHONFAULTHANDLER": "1",  # a worker that hangs tells where, on SIGABRT
        "AAM_CANONICAL_PARTITIONS": "4",
        "AAM_LLM_CALLS_PER_MONTH": "100000",
        "AAM_LLM_TOKENS_PER_MONTH": "1000000000",
    }


def _phase(bench: Bench, what: str, truths: Sequence[Truth], reviewer: Reviewer, *, settle: bool) -> dict[str, Any]:
    """Discover and announce `truths`, and wait until every field is decided; with `settle`, and answered."""
    to_stderr(f"{what}: {len(truths)} vendors …")
    started = time.perf_counter()
    changes = discover(bench.sandbox, truths)
    discovered = time.perf_counter() - started
    _announce(bench.kafka, changes)
    fields = sum(len({f.path for f in change.fields} - set(change.primary_key)) for change in changes)
    _wait_until_decided(bench, [change.connector for change in changes], fields)
    if settle:
        while reviewer.round():
            pass
        reviewer.confirm([truth.connector for truth in truths])
    _wait_until_published(bench)
    return {"what": what, **_row(fields, time.perf_counter() - started), "note": f"discovery {discovered:.1f} s"}


def _row(fields: int, seconds: float) -> dict[str, Any]:
    return {"fields": fields, "seconds": round(seconds, 1)}


def _announce(kafka: KafkaSettings, changes: Sequence[SchemaChange]) -> None:
    producer = make_producer(kafka)
    for change in changes:
        producer.produce(kafka.names.schema_changes, change.model_dump_json().encode(), change.tenant.encode())
        producer.poll(0)
    assert producer.flush(60) == 0, "Kafka took all"


def _wait_until_decided(bench: Bench, connectors: Sequence[str], fields: int) -> None:
    statement = """SELECT count(*) FROM novel_field
        WHERE source_system = ANY(%s) AND verdict IS NOT NULL AND verdict <> 'ask'"""
    end = time.monotonic() + PATIENCE_SECONDS
    with psycopg.connect(bench.database_url, autocommit=True) as connection:
        while True:
            row = connection.execute(statement, (list(connectors),)).fetchone()
            decided = row[0] if row else 0
            if decided >= fields:
                return
            if time.monotonic() > end:
                raise RuntimeError(f"{decided} of {fields} fields decided in {PATIENCE_SECONDS:g} s")
            time.sleep(0.25)


def _wait_until_published(bench: Bench) -> None:
    with psycopg.connect(bench.database_url, autocommit=True) as connection:
        while connection.execute("SELECT 1 FROM outbox WHERE published_at IS NULL LIMIT 1").fetchone():
            time.sleep(0.1)


def _quality(bench: Bench, truths: Sequence[Truth], rows: list[dict[str, Any]]) -> dict[str, float]:
    """How often retrieval settled a field by itself, and how often what was settled without a person is right."""
    by_name = {truth.connector: truth for truth in truths}
    statement = """SELECT source_system, path, verdict, method, evidence -> 'candidates' -> 0 ->> 'field',
            s.canonical_entity
        FROM novel_field AS f JOIN novel_source AS s USING (tenant, source_system, source_entity)
        WHERE f.source_system = ANY(%s)"""
    tally: dict[str, list[int]] = {}
    with psycopg.connect(bench.database_url) as connection:
        for connector, path, verdict, method, target, entity in connection.execute(statement, (list(by_name),)):
            right = by_name[connector].fields.get(path)
            mapped = right == target and entity == by_name[connector].canonical_entity
            correct = {"active": mapped, "provisional": mapped, "nothing": right is None}
            counts = tally.setdefault(f"{method} {verdict}", [0, 0])
            counts[0] += 1
            counts[1] += correct.get(verdict, False)
    fields = sum(counts[0] for counts in tally.values())
    hits = sum(tally.get(f"rag {verdict}", [0, 0])[0] for verdict in ("active", "nothing"))
    settled = [tally.get(f"{m} {v}", [0, 0]) for m in ("rag", "llm") for v in ("active", "nothing")]
    for name, (count, found) in sorted(tally.items()):
        share = f"{found / count:.1%} right" if not name.endswith("review") else ""
        rows.append({"what": f"last nine tenths: {name}", **_row(count, 0.0), "note": f"{count / fields:.1%}, {share}"})
    return {
        "precision": sum(s[1] for s in settled) / max(1, sum(s[0] for s in settled)),
        "rag_hit_rate_last_900": hits / max(1, fields),
    }


def _usd(model: ModelServer) -> float:
    prices = InferenceSettings()
    counted = model.counted
    return (counted.input_tokens * prices.llm_input_usd + counted.output_tokens * prices.llm_output_usd) / 1e6


class Lookups:
    """Asks the registry for mappings, one path after another, while others work."""

    def __init__(self, pool: Pool, truths: Sequence[Truth]) -> None:
        self._pool = pool
        self._asked = [(t, path) for t in truths for path in t.fields]
        self._times: list[float] = []
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._ask, daemon=True)
        self._thread.start()

    def _ask(self) -> None:
        number = 0
        while not self._stopping.wait(LOOKUP_PAUSE_SECONDS):
            truth, path = self._asked[(number := number + 7919) % len(self._asked)]
            started = time.perf_counter()
            find_mappings(
                self._pool, tenant=truth.tenant, connector=truth.connector, entity=truth.entity, source_field=path
            )
            self._times.append(time.perf_counter() - started)

    def stop(self) -> float:
        """The 99th percentile, in milliseconds."""
        self._stopping.set()
        self._thread.join()
        return float(np.percentile(self._times, 99)) * 1000


def _cached_lookups(bench: Bench, truths: Sequence[Truth]) -> float:
    """The 99th percentile of finding a source's function in a worker's cache, in milliseconds."""
    cache = MappingCache(bench.kafka)
    cache.start()
    assert cache.ready.wait(60), "the table was read"
    sets = CompiledSets(load_entities(), event_format="json", prefixes={})
    table, times = cache.snapshot(), []
    for _ in range(20):
        for truth in truths:
            started = time.perf_counter()
            sets.find(table, truth.tenant, truth.connector, truth.entity)
            times.append(time.perf_counter() - started)
    cache.stop()
    return float(np.percentile(times[len(truths) :], 99)) * 1000  # the first round compiles


def _retrieval(pool: Pool, truths: Sequence[Truth]) -> float:
    """Fields a second that two processes match, with the corpus as it is now; both start at once, warmed up."""
    known = with_reference(known_mappings(pool), reference_mappings())
    half = len(truths) // 2
    with ProcessPoolExecutor(2, mp_context=get_context("spawn")) as processes:
        parts = list(processes.map(_match, [known, known], [truths[:half], truths[half:]]))
    return sum(fields for fields, _ in parts) / max(seconds for _, seconds in parts)


def _match(known: Sequence[Any], truths: Sequence[Truth]) -> tuple[int, float]:
    from inference.local_embedder import LocalEmbedder  # noqa: PLC0415  # in processes of their own
    from mapping.candidates import FieldDescription, KnownMapping, targets_of  # noqa: PLC0415
    from mapping.corpus import Corpus  # noqa: PLC0415
    from mapping.matcher import Matcher  # noqa: PLC0415
    from mapping.score_model import load_model  # noqa: PLC0415

    matcher = Matcher(load_model(), LocalEmbedder(), Corpus(KnownMapping(*one) for one in known))
    targets: Mapping[str, Any] = {name: targets_of(entity) for name, entity in load_entities().items()}

    def match(truth: Truth) -> int:
        fields = [FieldDescription(path, "string") for path in truth.fields]
        entity = truth.canonical_entity
        matcher.match_fields(truth.connector, truth.entity, entity, fields, targets[entity])
        return len(fields)

    for truth in truths[:20]:
        match(truth)
    started = time.perf_counter()
    return sum(match(truth) for truth in truths), time.perf_counter() - started


if __name__ == "__main__":
    main()
