"""One run of one system: how fast its committed offsets move, and what its processes cost meanwhile.

Committed offsets are the one thing that all systems have in common, and the only progress that counts after a crash. A
run is measured between two of its commits: the first one after the warm-up, and the last.
"""

import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final

import psutil
from confluent_kafka import Consumer, TopicPartition

from benchmarks.canonicalize_stage import Stage
from benchmarks.canonicalize_systems import System
from infra.owned_process import OwnedProcess
from infra.server_command import log_tail
from schemas.failures import TransientError

SAMPLE_SECONDS: Final = 0.05
STALL_SECONDS: Final = 90.0
MEGABYTE: Final = 1_000_000


@dataclass(frozen=True)
class Sample:
    """What was seen at a moment: `records` committed, `cpu` seconds used by then, `memory` in bytes."""

    at: float
    records: int
    cpu: float
    memory: int


def run_throughput(stage: Stage, system: System, run: str, *, warm_up_share: float) -> dict[str, Any]:
    """A row of the report. TransientError if the system ends or stands still."""
    limit = min(stage.count, system.records or stage.count)
    stage.fresh_outputs()
    group = system.group(stage, run)
    stage.start_group(group, stage.raw_starts())
    with system.running(stage, run) as processes:
        samples = _samples(stage, group, processes, limit, system.label)
    first, last = window(samples, int(limit * warm_up_share), stage.count)
    records, seconds = last.records - first.records, last.at - first.at
    return {
        "system": system.name,
        "format": system.format,
        "guarantee": system.guarantee,
        "shape": stage.shape.name,
        "tenants": stage.shape.tenants,
        "entities": stage.shape.entities,
        "run": run,
        "workers": system.workers,
        "records": records,
        "records_per_s": round(records / seconds),
        "cpu_s_per_million": round((last.cpu - first.cpu) / records * 1e6, 2),
        "peak_mb": round(max(sample.memory for sample in samples) / MEGABYTE, 1),
    }


def _samples(stage: Stage, group: str, processes: Sequence[OwnedProcess], limit: int, label: str) -> list[Sample]:
    """A sample at each commit, until `limit` records are committed."""
    watcher = stage.watcher(group)
    places = stage.raw_starts()
    samples: list[Sample] = []
    progress = time.monotonic()
    try:
        while True:
            found = sample(processes, _committed(watcher, places))
            if not samples or found.records > samples[-1].records:
                samples.append(found)
                progress = time.monotonic()
            if found.records >= limit:
                return samples
            if any(process.ended for process in processes) or time.monotonic() - progress > STALL_SECONDS:
                tail = log_tail(processes[0].command.log)
                raise TransientError(f"{label} stopped at {found.records:,} of {limit:,} records:\n{tail}")
            time.sleep(SAMPLE_SECONDS)
    finally:
        watcher.close()


def window(samples: Sequence[Sample], warm_up: int, total: int) -> tuple[Sample, Sample]:
    """(first commit after the warm-up, last commit). The very last of all records may have waited for the next commit
    of a system that commits by the clock: where there are others, it doesn't count."""
    warm = [s for s in samples if s.records >= max(1, warm_up)]
    if len(warm) > 2 and warm[-1].records >= total:
        warm.pop()
    first = warm[0] if len(warm) > 1 else samples[0]
    return first, warm[-1]


def sample(processes: Sequence[OwnedProcess], records: int) -> Sample:
    """CPU and memory of the processes and their children now."""
    cpu, memory = 0.0, 0
    for process in processes:
        with suppress(psutil.NoSuchProcess):
            root = psutil.Process(process.pid)
            for one in (root, *root.children(recursive=True)):
                times = one.cpu_times()
                cpu += times.user + times.system
                memory += one.memory_info().rss
    return Sample(time.monotonic(), records, cpu, memory)


def _committed(watcher: Consumer, places: list[TopicPartition]) -> int:
    return sum(max(0, place.offset) for place in watcher.committed(places, timeout=10))
