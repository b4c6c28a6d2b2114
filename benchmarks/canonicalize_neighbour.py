"""What a tenant that sends nothing but garbage does to the others: their latency at a steady rate, and their rate out
of a backlog, beside a neighbour of garbage and, for comparison, beside the same neighbour sending good records.
"""

import statistics
import threading
import time
from collections.abc import Callable
from typing import Any, Final

from benchmarks.canonicalize_latency import Load, output_reader, read_latencies
from benchmarks.canonicalize_stage import Stage
from benchmarks.canonicalize_systems import SESSION_SECONDS
from benchmarks.worker_process import WorkerProcess
from schemas import headers as names
from schemas.failures import TransientError

NEIGHBOUR: Final = b"noisy"
RATE: Final = 2_000
SECONDS: Final = 10.0
BACKLOG: Final = 50_000
PARTS: Final = 10
PATIENCE_SECONDS: Final = 90.0
OTHERS, NOISE = 5_000_000_000, 6_000_000_000


class Neighbour(Load):
    """One tenant's records; `spoil` makes of each value what is sent."""

    def __init__(self, stage: Stage, spoil: Callable[[bytes], bytes]) -> None:
        super().__init__(stage, NOISE)
        self._made = ((NEIGHBOUR, spoil(value), _as_neighbour(headers)) for _, value, headers in self._made)


def neighbour_figures(stage: Stage) -> dict[str, float]:
    """Ratios, garbage ÷ good neighbour: of the others' p99, and of their rate out of a backlog."""
    found: dict[str, tuple[float, float]] = {}
    for name, spoil in (("good", bytes), ("garbage", lambda value: value[:-2])):
        found[name] = _p99_beside(stage, name, spoil), _rate_beside(stage, name, spoil)
    (good_p99, good_rate), (p99, rate) = found["good"], found["garbage"]
    return {
        "others_p99_beside_good_ms": round(good_p99 * 1000, 1),
        "others_p99_beside_garbage_ms": round(p99 * 1000, 1),
        "garbage_p99_ratio": round(p99 / good_p99, 2),
        "garbage_rate_ratio": round(rate / good_rate, 2),
    }


def _p99_beside(stage: Stage, name: str, spoil: Callable[[bytes], bytes]) -> float:
    """Seconds, of records of the others at `RATE`, with as many of the neighbour's; the median over the run's parts."""
    _from_now_on(stage)
    others = Load(stage, OTHERS)
    senders = [
        threading.Thread(target=load.send_for, args=(SECONDS, RATE)) for load in (others, Neighbour(stage, spoil))
    ]
    worker = _worker(stage, f"{name}-steady")
    try:
        worker.wait_until_ready()
        for sender in senders:
            sender.start()
        found = _read(stage, others, until=lambda: not senders[0].is_alive())
    finally:
        for sender in senders:
            sender.join()
        worker.stop()
    # The first part warms up. Of the others the median, for one hiccup of the machine makes a p99 of its own.
    size = len(found) // PARTS
    parts = [found[start : start + size] for start in range(size, size * PARTS, size)]
    return statistics.median(statistics.quantiles(part, n=100)[98] for part in parts)


def _rate_beside(stage: Stage, name: str, spoil: Callable[[bytes], bytes]) -> float:
    """Records of the others a second, out of a backlog that is half the neighbour's."""
    _from_now_on(stage)
    others, neighbour = Load(stage, OTHERS), Neighbour(stage, spoil)
    for _ in range(BACKLOG // 1_000):
        others.send(1_000)
        neighbour.send(1_000)
    worker = _worker(stage, f"{name}-backlog")
    try:
        moments: list[float] = []
        _read(stage, others, until=lambda: True, moments=moments)
    finally:
        worker.stop()
    warm = moments[len(moments) // PARTS :]
    return len(warm) / (warm[-1] - warm[0])


def _read(stage: Stage, load: Load, *, until: Callable[[], bool], moments: list[float] | None = None) -> list[float]:
    """Latencies of the load's records, once `until` and all came out; `moments`: when each was read."""
    reader, end = output_reader(stage), time.monotonic() + PATIENCE_SECONDS
    found: list[float] = []
    try:
        while not (until() and len(found) >= load.sent):
            if time.monotonic() > end:
                raise TransientError(f"{len(found)} of {load.sent} records of the others came out")
            ages = read_latencies(reader, load)
            found += ages
            if moments is not None:
                moments += [time.monotonic()] * len(ages)
    finally:
        reader.close()
    return found


def _from_now_on(stage: Stage) -> None:
    stage.fresh_outputs()
    stage.start_group(stage.kafka.names.group("canonicalize"), stage.raw_ends())


def _worker(stage: Stage, name: str) -> WorkerProcess:
    log = stage.folder / f"{stage.shape.name}-neighbour-{name}.log"
    environment = stage.environment | {"AAM_SESSION_TIMEOUT_SECONDS": SESSION_SECONDS}
    return WorkerProcess(environment, log, agents="canonicalize")


def _as_neighbour(headers: Any) -> Any:
    return [
        *((name, value) for name, value in dict(headers).items() if name != names.TENANT),
        (names.TENANT, NEIGHBOUR),
    ]
