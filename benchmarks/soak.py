"""`make soak MINUTES=n`: numbered records through real processes while these are killed, frozen, restarted at random.

Prints its seed, every fault, the ledger, and memory and latency over time; writes results/soak.json and its chart. Exit
code 1 if any record is missing, doubled, misplaced or out of order, or a novel field was not announced.
"""

import logging
import random
import statistics
import sys
import threading
import time
from collections import Counter
from dataclasses import asdict, dataclass
from typing import Annotated, Any, Final

import typer
from confluent_kafka import KafkaException

from benchmarks.ledger import Ledger, LedgerReader, LedgerSender, Verdict
from benchmarks.plot import draw_soak
from benchmarks.report import print_rows, write_report
from benchmarks.soak_faults import FAULTS, WITNESS, Installation, installed
from infra.narration import to_stderr
from schemas.failures import AamError

RATE: Final = 500  # records a second
TICK_SECONDS: Final = 0.1
POINT_SECONDS: Final = 5.0
QUIET_SECONDS: Final = (3.0, 15.0)  # between two faults
DRAIN_SECONDS: Final = 300.0
ROWS_SHOWN: Final = 20
MEGABYTE: Final = 1_000_000


@dataclass(frozen=True)
class Point:
    """What was seen in one interval: seconds since the start, the witness' memory, latencies in seconds; None where
    nothing came out."""

    at: float
    witness_mb: float
    sent: int
    settled: int
    p50_s: float | None
    p99_s: float | None


class Feeding:
    """Sends the ledger's records at a steady rate, in a thread, until stopped."""

    def __init__(self, system: Installation, ledger: Ledger) -> None:
        self._sender = LedgerSender(system.kafka, ledger)
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._feed, daemon=True)
        self._thread.start()

    def _feed(self) -> None:
        due = time.monotonic()
        while not self._stopping.is_set():
            self._sender.send(int(RATE * TICK_SECONDS))
            due += TICK_SECONDS
            self._stopping.wait(max(0.0, due - time.monotonic()))

    def stop(self) -> None:
        self._stopping.set()
        self._thread.join()
        self._sender.flush()


class Watching:
    """Reads the outputs into the ledger and takes a point now and then, in a thread, until stopped."""

    def __init__(self, system: Installation, ledger: Ledger) -> None:
        self.points: list[Point] = []
        self.reader = LedgerReader(system.kafka, ledger)
        self._system = system
        self._ledger = ledger
        self._started = time.monotonic()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()

    def _watch(self) -> None:
        due = time.monotonic() + POINT_SECONDS
        while not self._stopping.is_set():
            self.reader.read(0.2)
            if time.monotonic() >= due:
                due += POINT_SECONDS
                self._take_point()

    def _take_point(self) -> None:
        latencies, self._ledger.latencies = self._ledger.latencies, []
        percentiles = statistics.quantiles(latencies, n=100) if len(latencies) > 1 else None
        self.points.append(
            Point(
                at=round(time.monotonic() - self._started, 1),
                witness_mb=round(self._system.workers[WITNESS].rss_bytes() / MEGABYTE, 1),
                sent=self._ledger.sent,
                settled=self._ledger.settled,
                p50_s=round(percentiles[49], 3) if percentiles else None,
                p99_s=round(percentiles[98], 3) if percentiles else None,
            )
        )

    def stop(self) -> None:
        self._stopping.set()
        self._thread.join()


def main(
    minutes: Annotated[float, typer.Option(min=0.2, help="How long faults go on.")] = 20.0,
    seed: Annotated[int | None, typer.Option(help="Of the faults' order and times; random by default.")] = None,
) -> None:
    """Break everything at random and keep a ledger of every record."""
    logging.getLogger("aam.kafka").setLevel(logging.ERROR)  # a client that lost the broker says so all the time
    chosen = random.SystemRandom().randrange(10**6) if seed is None else seed
    to_stderr(f"soak: {minutes:g} minutes, {RATE} records/s, seed {chosen} (again with --seed {chosen})")
    ledger = Ledger()
    with installed() as system:
        watching, feeding = Watching(system, ledger), Feeding(system, ledger)
        faults = _break(system, random.Random(chosen), minutes * 60)  # noqa: S311  # to be repeatable
        to_stderr("soak: no more faults; reading what is left")
        feeding.stop()
        watching.stop()
        _drain(system, watching, ledger)
    _report(ledger.verdict(), faults, watching.points, seed=chosen, minutes=minutes, restarts=system.restarts)


def _break(system: Installation, chance: random.Random, seconds: float) -> Counter[str]:
    """Fault after fault with pauses between, ended workers restarted meanwhile."""
    done: Counter[str] = Counter()
    end = time.monotonic() + seconds
    while True:
        _pause(system, min(chance.uniform(*QUIET_SECONDS), end - time.monotonic()))
        if time.monotonic() >= end:
            return done
        name = chance.choice(list(FAULTS))
        to_stderr(f"soak: {end - time.monotonic():4.0f} s left: {name}")
        try:
            FAULTS[name](system, chance)
        except (AamError, KafkaException) as error:
            to_stderr(f"soak: the fault itself failed: {error}")  # a client of ours, amid the last fault's effects
        done[name] += 1


def _pause(system: Installation, seconds: float) -> None:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        system.supervise()
        time.sleep(0.2)


def _drain(system: Installation, watching: Watching, ledger: Ledger) -> None:
    end = time.monotonic() + DRAIN_SECONDS
    while ledger.missing_count() and time.monotonic() < end:
        system.supervise()
        watching.reader.read(0.5)
    watching.reader.read_all(seconds=30.0)
    watching.reader.close()


def _report(
    verdict: Verdict, faults: Counter[str], points: list[Point], *, seed: int, minutes: float, restarts: int
) -> None:
    fates = [
        {"fate": fate.name.lower().replace("_", " "), "sent": verdict.sent[fate], "found": verdict.found[fate]}
        for fate in verdict.sent
    ]
    print_rows("ledger", fates)
    print_rows("faults", [{"fault": name, "times": times} for name, times in faults.items()])
    print_rows("over time", [asdict(point) for point in points[:: max(1, len(points) // ROWS_SHOWN)]])
    memory = _memory(points)
    to_stderr(f"soak: {restarts} workers ended by themselves and were restarted; witness {memory}")
    path = write_report(
        "soak",
        seed=seed,
        minutes=minutes,
        rate=RATE,
        ledger=fates,
        problems=verdict.problems,
        faults=dict(faults),
        restarts=restarts,
        memory=memory,
        points=[asdict(point) for point in points],
    )
    to_stderr(f"soak: written {path} and {draw_soak()}")
    for problem in verdict.problems:
        to_stderr(f"soak: {problem} (seed {seed})")
    if verdict.problems:
        sys.exit(1)
    to_stderr("soak: nothing missing, doubled, misplaced or out of order")


def _memory(points: list[Point]) -> dict[str, Any]:
    """The witness' memory early (the second fifth) and late (the last fifth), and how much it grew, in megabytes."""
    fifth = max(1, len(points) // 5)
    early, late = points[fifth : 2 * fifth] or points, points[-fifth:]
    if not points:
        return {}
    early_mb, late_mb = (statistics.median(point.witness_mb for point in part) for part in (early, late))
    return {"early_mb": early_mb, "late_mb": late_mb, "growth_mb": round(late_mb - early_mb, 1)}


if __name__ == "__main__":
    typer.run(main)
