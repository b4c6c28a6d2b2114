"""Scan jobs in hand: which is begun next, and up to where each partition is over. Decides only; reads no Kafka.

Lanes are topics, the most urgent first. A job of a less urgent lane begins only while slots are left for the others, so
that a thousand slow vendors of a bulk scan keep no critical job waiting. A committed offset never passes an open job.
"""

import heapq
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import count

from confluent_kafka import Message

from agents.batch import Partition

Place = tuple[str, int, int]
"""(topic, partition, offset)"""


@dataclass(frozen=True, slots=True)
class QueuedJob:
    """A job as it was read; `due` is when it may begin, in epoch seconds."""

    message: Message
    place: Place
    due: float


@dataclass(frozen=True)
class Lane:
    """A topic, and how many jobs may run, of all lanes together, for one of this lane to begin."""

    topic: str
    most_running: int


@dataclass
class ScanQueue:
    """Jobs that were read and are not over."""

    lanes: Sequence[Lane]
    _waiting: dict[str, list[tuple[float, int, QueuedJob]]] = field(default_factory=dict)
    _open: dict[Partition, dict[int, None]] = field(default_factory=dict)  # offsets, in the order read
    _next: dict[Partition, int] = field(default_factory=dict)
    _told: dict[Partition, int] = field(default_factory=dict)
    _numbers: "count[int]" = field(default_factory=count)

    def add(self, job: QueuedJob) -> None:
        """Takes a job in."""
        topic, partition, offset = job.place
        heapq.heappush(self._waiting.setdefault(topic, []), (job.due, next(self._numbers), job))
        self._open.setdefault((topic, partition), {})[offset] = None
        self._next[topic, partition] = offset + 1

    def take(self, now: float, running: int) -> QueuedJob | None:
        """The job to begin while `running` others are under way; None if there is none, or no slot for it."""
        for lane in self.lanes:
            waiting = self._waiting.get(lane.topic)
            if waiting and waiting[0][0] <= now and running < lane.most_running:
                return heapq.heappop(waiting)[2]
        return None

    def due(self, topic: str, now: float) -> int:
        """How many jobs of a lane could begin; those that wait for another try don't count."""
        return sum(due <= now for due, _, _ in self._waiting.get(topic, ()))

    def over(self, place: Place) -> None:
        """A job is done or dead. One of a partition that went meanwhile is its new owner's."""
        topic, partition, offset = place
        self._open.get((topic, partition), {}).pop(offset, None)

    def committable(self) -> dict[Partition, int]:
        """Offsets that may be committed and were not `committed` yet."""
        found = {partition: next(iter(self._open[partition]), following) for partition, following in self._next.items()}
        return {partition: offset for partition, offset in found.items() if self._told.get(partition) != offset}

    def committed(self, offsets: Mapping[Partition, int]) -> None:
        """Notes what was committed."""
        self._told.update(offsets)

    def drop(self, partitions: Collection[Partition]) -> None:
        """Forgets partitions that another worker reads now."""
        for partition in partitions:
            for kept in (self._open, self._next, self._told):
                kept.pop(partition, None)
        for topic, waiting in self._waiting.items():
            kept_jobs = [entry for entry in waiting if entry[2].place[:2] not in partitions]
            heapq.heapify(kept_jobs)
            self._waiting[topic] = kept_jobs
