"""The main path beside its peers, on one broker: throughput in two shapes, latency at two rates, and our own figures.

`make bench-canonicalize` writes results/canonicalize.json; QUICK=1 is the same with fewer records and one run. Meant
for a machine that does nothing else: what others use is missing from every system's share, and not from all alike.
"""

import os
import statistics
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from confluent_kafka import KafkaException

from benchmarks.canonicalize_events import compare_events
from benchmarks.canonicalize_figures import mapping_update_seconds, two_workers, worker_megabytes
from benchmarks.canonicalize_latency import run_latency
from benchmarks.canonicalize_load import NARROW, WIDE, Shape
from benchmarks.canonicalize_neighbour import neighbour_figures
from benchmarks.canonicalize_stage import Stage, staged
from benchmarks.canonicalize_systems import latency_systems, prepare, systems, versions
from benchmarks.canonicalize_throughput import run_throughput
from benchmarks.report import print_rows, quick, write_report
from infra.narration import to_stderr
from schemas.failures import AamError

RATES: Final = (2_000, 10_000)
KEY: Final = ("system", "format", "guarantee", "shape")
Row = dict[str, Any]


@dataclass(frozen=True)
class Size:
    """How much is run."""

    records: int
    runs: int
    warm_up_share: float
    latency_shapes: tuple[Shape, ...]
    latency_warm_up_seconds: float
    latency_seconds: float


FULL: Final = Size(600_000, 3, 0.5, (NARROW, WIDE), 10.0, 30.0)
QUICK: Final = Size(80_000, 1, 0.4, (NARROW,), 4.0, 8.0)


@dataclass
class Results:
    """What came of it. A peer that breaks is named in `failures`, and the others go on."""

    rows: list[Row] = field(default_factory=list)
    latency: list[Row] = field(default_factory=list)
    figures: Row = field(default_factory=dict)
    failures: list[str] = field(default_factory=list)


def main() -> None:
    size, small = (QUICK, True) if quick() else (FULL, False)
    prepare()
    results, load = Results(), os.getloadavg()[0]
    with tempfile.TemporaryDirectory(prefix="aam-bench-") as folder:
        for shape in (NARROW, WIDE):
            with staged(shape, size.records, Path(folder)) as stage:
                _compare(stage, size, results, small=small)
                if shape in size.latency_shapes:
                    _latency(stage, size, results)
                if shape is NARROW:
                    _figures(stage, size, results)
    path = write_report(
        "canonicalize",
        quick=small,
        load_average_before=round(load, 2),
        versions=versions(),
        rows=results.rows,
        latency=results.latency,
        figures=results.figures,
        failures=results.failures,
    )
    _print(results)
    to_stderr(f"written: {path}")


def _compare(stage: Stage, size: Size, results: Results, *, small: bool) -> None:
    """Rounds of all systems, after one of which nothing is kept: a fresh broker is slow. The first time, each system's
    events are compared with ours.
    """
    run_throughput(stage, systems(small=small)[0], "warm-up", warm_up_share=size.warm_up_share)
    for run in range(1, size.runs + 1):
        for system in systems(small=small):
            try:
                row = run_throughput(stage, system, str(run), warm_up_share=size.warm_up_share)
                if run == 1:
                    row["same_events"] = compare_events(stage, system.format)
            except (AamError, AssertionError, KafkaException) as error:
                _note_failure(results, f"{system.label}, {stage.shape.name}: {error}")
            else:
                results.rows.append(row)
                to_stderr(f"{stage.shape.name} {run}: {system.label} {row['records_per_s']:,} records/s")


def _latency(stage: Stage, size: Size, results: Results) -> None:
    for system in latency_systems():
        try:
            rows = run_latency(
                stage, system, RATES, warm_up_seconds=size.latency_warm_up_seconds, seconds=size.latency_seconds
            )
        except (AamError, KafkaException) as error:
            _note_failure(results, f"latency of {system.label}, {stage.shape.name}: {error}")
        else:
            results.latency += rows
            for row in rows:
                to_stderr(f"{stage.shape.name}: {system.name} at {row['rate']:,}/s p99 {row['p99_ms']} ms")


def _figures(stage: Stage, size: Size, results: Results) -> None:
    ours = [row for row in medians(results.rows) if row["system"] == "ours" and row["format"] == "avro"]
    measures: dict[str, Callable[[], float]] = {
        "mapping_update_s": lambda: mapping_update_seconds(stage),
        "worker_mb_50000_mappings": lambda: worker_megabytes(stage),
    }
    if ours:
        alone = ours[0]["records_per_s"]
        measures["workers_2_vs_1"] = lambda: round(two_workers(stage, warm_up_share=size.warm_up_share) / alone, 2)
    results.figures["cores"] = os.cpu_count()
    try:
        results.figures |= neighbour_figures(stage)
    except (AamError, KafkaException) as error:
        _note_failure(results, f"a neighbour of garbage: {error}")
    for name, measure in measures.items():
        try:
            results.figures[name] = measure()
        except (AamError, KafkaException) as error:
            _note_failure(results, f"{name}: {error}")


def _note_failure(results: Results, text: str) -> None:
    to_stderr(f"FAILED {text}")
    results.failures.append(text)


def _print(results: Results) -> None:
    print_rows(f"canonicalize, median of runs, {os.cpu_count()} cores", list(medians(results.rows)))
    print_rows("latency, produce to readable", results.latency)
    print_rows("figures", [{"figure": name, "value": value} for name, value in results.figures.items()])
    print_rows("bars", list(_bars(results)))


def medians(rows: Sequence[Row]) -> Iterator[Row]:
    """One row for each system and shape, in the order of the rows."""
    grouped: dict[tuple[Any, ...], list[Row]] = {}
    for row in rows:
        grouped.setdefault(tuple(row[name] for name in KEY), []).append(row)
    for key, group in grouped.items():
        measured = ("records_per_s", "cpu_s_per_million", "peak_mb")
        yield dict(zip(KEY, key, strict=True)) | {
            name: round(statistics.median(row[name] for row in group), 1) for name in measured
        }


def _bars(results: Results) -> Iterator[Row]:
    """What the project asks of itself, and what came out."""
    found = {tuple(row[name] for name in KEY): row for row in medians(results.rows)}

    def ratio(shape: str, mine: tuple[str, str], other: tuple[str, str, str], what: str) -> float | None:
        one, two = found.get((*mine, "exactly-once", shape)), found.get((*other, shape))
        return None if one is None or two is None else round(one[what] / two[what], 2)

    avro, text = ("ours", "avro"), ("ours", "json")
    streams, quix = ("kafka-streams", "json", "exactly-once"), ("quix", "json", "exactly-once")
    for shape in ("narrow", "wide"):
        yield _bar(shape, "Avro / Quix exactly once", ratio(shape, avro, quix, "records_per_s"), "≥ 2")
        bare = ratio(shape, avro, ("bare", "avro", "exactly-once"), "records_per_s")
        yield _bar(shape, "Avro / bare loop Avro", bare, "≥ 0.85")
        yield _bar(shape, "JSON / Kafka Streams", ratio(shape, text, streams, "records_per_s"), "≥ 0.9")
        yield _bar(shape, "CPU: JSON / Kafka Streams", ratio(shape, text, streams, "cpu_s_per_million"), "< 1")
    faust = ratio("narrow", avro, ("faust", "json", "at-least-once"), "records_per_s")
    yield _bar("narrow", "Avro / stock Faust", faust, "≥ 12")
    p99 = {(row["system"], row["shape"], row["rate"]): row["p99_ms"] for row in results.latency}
    for (system, shape, rate), value in p99.items():
        if system == "ours" and ("kafka-streams", shape, rate) in p99:
            against = round(value / p99["kafka-streams", shape, rate], 2)
            yield _bar(shape, f"p99 at {rate:,}/s: Avro / Kafka Streams", against, "≤ 1")
    for name, bar in (("garbage_p99_ratio", "≤ 1.2"), ("garbage_rate_ratio", "≥ 0.8")):
        yield _bar("narrow", name, results.figures.get(name), bar)
    for name, bar in (("worker_mb_50000_mappings", "≤ 300"), ("mapping_update_s", "≤ 2"), ("workers_2_vs_1", "≥ 1.5")):
        yield _bar("narrow", name, results.figures.get(name), bar)


def _bar(shape: str, what: str, value: float | None, bar: str) -> Row:
    return {"shape": shape, "what": what, "measured": "none" if value is None else value, "bar": bar}


if __name__ == "__main__":
    main()
