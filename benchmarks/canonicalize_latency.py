"""How long a record takes from `produce` to readable by a `read_committed` consumer, at a steady rate.

Load and reader run in this process, beside the system and the broker, for every system alike.
"""

import statistics
import threading
import time
from array import array
from collections.abc import Sequence
from typing import Any, Final

from confluent_kafka import Consumer, Producer, TopicPartition

from benchmarks.canonicalize_load import number_of, records
from benchmarks.canonicalize_stage import Stage
from benchmarks.canonicalize_systems import System
from benchmarks.ledger import source_id
from infra.server_command import log_tail
from schemas.failures import TransientError
from topics.clients import make_consumer, make_producer
from topics.read_topic import partitions_of

TICK_SECONDS: Final = 0.005
START_SECONDS: Final = 90.0
DRAIN_SECONDS: Final = 60.0
PROBE_RATE: Final = 200
FIRST_NUMBER: Final = 1_000_000_000  # beyond the numbers of the records produced once


class Load:
    """Sends numbered records at a rate, in a thread, and notes when each was sent."""

    def __init__(self, stage: Stage, first: int) -> None:
        self._producer: Producer = make_producer(stage.kafka)
        self._topic = stage.kafka.names.raw_records
        self._made = records(stage.sources, stage.shape, first)
        self._first = first
        self._sent_at = array("d")

    @property
    def sent(self) -> int:
        return len(self._sent_at)

    def send_for(self, seconds: float, rate: int) -> None:
        """Blocks for `seconds`."""
        started = time.monotonic()
        done = 0
        while (now := time.monotonic() - started) < seconds:
            due = int(now * rate) - done
            self._queue(due)
            done += due
            time.sleep(TICK_SECONDS)
        self._producer.flush(30)

    def send(self, count: int) -> None:
        """Blocks until Kafka has them."""
        self._queue(count)
        self._producer.flush(30)

    def _queue(self, count: int) -> None:
        for _ in range(count):
            key, value, headers = next(self._made)
            self._sent_at.append(time.monotonic())
            self._producer.produce(self._topic, value, key, headers=headers)
        self._producer.poll(0)

    def seconds_since(self, number: int, now: float) -> float | None:
        """How long ago record `number` was sent; None if it is not of this load."""
        at = number - self._first
        return now - self._sent_at[at] if 0 <= at < len(self._sent_at) else None


def run_latency(
    stage: Stage, system: System, rates: Sequence[int], *, warm_up_seconds: float, seconds: float
) -> list[dict[str, Any]]:
    """A row of the report for each rate. TransientError if the system doesn't start or loses records."""
    stage.fresh_outputs()
    group = system.group(stage, "latency")
    stage.start_group(group, stage.raw_ends())
    reader = output_reader(stage)
    try:
        with system.running(stage, "latency") as processes:
            _await_first(stage, reader, log=processes[0].command.log)
            return [_row(stage, system, reader, rate, warm_up_seconds, seconds) for rate in rates]
    finally:
        reader.close()


def _row(
    stage: Stage, system: System, reader: Consumer, rate: int, warm_up_seconds: float, seconds: float
) -> dict[str, Any]:
    _latencies(reader, Load(stage, FIRST_NUMBER), rate, warm_up_seconds)
    found = _latencies(reader, Load(stage, 2 * FIRST_NUMBER), rate, seconds)
    percentiles = statistics.quantiles(found, n=100)
    return {
        "system": system.name,
        "format": system.format,
        "shape": stage.shape.name,
        "rate": rate,
        "p50_ms": round(percentiles[49] * 1000, 1),
        "p99_ms": round(percentiles[98] * 1000, 1),
    }


def _latencies(reader: Consumer, load: Load, rate: int, seconds: float) -> list[float]:
    """Seconds of each record of the load, once all of them came out."""
    sending = threading.Thread(target=load.send_for, args=(seconds, rate))
    sending.start()
    found: list[float] = []
    end = time.monotonic() + seconds + DRAIN_SECONDS
    while (sending.is_alive() or len(found) < load.sent) and time.monotonic() < end:
        found += read_latencies(reader, load)
    sending.join()
    if len(found) < load.sent:
        raise TransientError(f"{len(found)} of {load.sent} records came out at {rate}/s")
    return found


def read_latencies(reader: Consumer, load: Load) -> list[float]:
    """Latencies of the load's records that became readable."""
    messages = reader.consume(2_000, 0.02)
    now = time.monotonic()
    ages = [load.seconds_since(number_of(source_id(m.value() or b"")), now) for m in messages if m.error() is None]
    return [age for age in ages if age is not None]


def _await_first(stage: Stage, reader: Consumer, *, log: Any) -> None:
    """Send a trickle until the first of it comes out: the system works."""
    end = time.monotonic() + START_SECONDS
    probe = Load(stage, 0)
    while time.monotonic() < end:
        probe.send_for(0.5, PROBE_RATE)
        if read_latencies(reader, probe):
            return
    raise TransientError(f"nothing came out in {START_SECONDS:.0f} s:\n{log_tail(log)}")


def output_reader(stage: Stage) -> Consumer:
    """Reads the outputs from their beginning, as soon as they are committed."""
    extra: dict[str, Any] = {"fetch.wait.max.ms": 20, "fetch.queue.backoff.ms": 5}
    reader = make_consumer(stage.kafka, group_id=stage.kafka.names.group("bench-latency"), **extra)
    topics = stage.outputs.values()
    reader.assign([TopicPartition(topic, p, 0) for topic in topics for p in partitions_of(reader, topic)])
    return reader
