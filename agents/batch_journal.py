"""Finds the record whose processing kills the process: a segfault, or memory that the system refuses.

Before a batch is worked on, its places are written to a file; afterwards they are crossed out. A worker that starts and
finds them standing knows where its predecessor died, and reads half as many records at a time. A single record that has
ended three workers is condemned: the agent makes it a dead letter unprocessed. A file, not Kafka: it must be there
before each batch at no cost, and survive only the process (in Kubernetes an emptyDir does).
"""

import json
import logging
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Final

from confluent_kafka import Message

from schemas.failures import Misconfigured

log = logging.getLogger(__name__)

# Once may be the operator's kill, twice bad luck.
DEATHS_OF_THE_CONDEMNED: Final = 3

Place = tuple[str, int, int]  # (topic, partition, offset)


@dataclass
class Entry:
    """What the file holds. `limit` None: batches are as large as ever. `left`: records until they are so again."""

    working_on: list[Place] = field(default_factory=list)  # the whole of a single record, else first and last
    records: int = 0
    limit: int | None = None
    left: int = 0
    deaths: dict[str, int] = field(default_factory=dict)  # of single records, by place


class BatchJournal:
    """One source's file; unreadable ones count as empty."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._entry = _after_death(_load(path))
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._write()
        except OSError as error:
            raise Misconfigured(f"AAM_STATE_DIR: {path.parent} can't be written: {error.strerror}") from error
        if self._entry.limit is not None:
            log.warning("the last worker died at work; %d records are read at a time", self._entry.limit)

    def limit(self, records: int) -> int:
        """How many records a batch may have, at most `records`."""
        return records if self._entry.limit is None else min(records, self._entry.limit)

    def begin(self, messages: Sequence[Message]) -> None:
        """These are worked on from now on."""
        entry = self._entry
        entry.working_on = [_place(messages[0]), _place(messages[-1])] if len(messages) > 1 else [_place(messages[0])]
        entry.records = len(messages)
        self._write()

    def end(self) -> None:
        """They didn't kill us."""
        entry = self._entry
        if entry.records == 1:
            entry.deaths.pop(_name(entry.working_on[0]), None)
        if entry.limit is not None:
            entry.left -= entry.records
            if entry.left <= 0:
                entry.limit = None
        entry.working_on, entry.records = [], 0
        self._write()

    def condemned(self, messages: Sequence[Message]) -> list[Message]:
        """Those of `messages` that have ended too many workers."""
        if not self._entry.deaths:
            return []
        return [m for m in messages if self._entry.deaths.get(_name(_place(m)), 0) >= DEATHS_OF_THE_CONDEMNED]

    def _write(self) -> None:
        self._path.write_text(json.dumps(asdict(self._entry)), encoding="utf-8")


def _after_death(entry: Entry) -> Entry:
    """What to do if `entry` tells of unfinished work."""
    if not entry.records:
        return entry
    if entry.records == 1:
        name = _name(entry.working_on[0])
        entry.deaths[name] = entry.deaths.get(name, 0) + 1
    if entry.limit is None:
        entry.left = entry.records
    entry.limit = max(1, entry.records // 2)
    entry.working_on, entry.records = [], 0
    return entry


def _load(path: Path) -> Entry:
    try:
        found = Entry(**json.loads(path.read_text(encoding="utf-8")))
        found.working_on = [(topic, partition, offset) for topic, partition, offset in found.working_on]
    except (OSError, ValueError, TypeError):
        return Entry()
    return found


def _place(message: Message) -> Place:
    return message.topic() or "", message.partition() or 0, message.offset() or 0


def _name(place: Place) -> str:
    return "{}[{}]@{}".format(*place)
