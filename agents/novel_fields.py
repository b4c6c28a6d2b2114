"""Watches what no mapping reads: which source paths are new, what their values look like, and when to tell of them.

A path is announced at the end of the batch that first shows it, with its profile so far, and again when the profile has
changed much. At least once: what a batch announces is remembered only once it has committed, and all is forgotten when
partitions move, since another worker's memory is not ours.
"""

import heapq
import logging
import time
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime
from itertools import count
from typing import Any, Final, Protocol, cast

from mapping.origin import Origin
from mapping.profile import Shapes, leaf_paths
from mapping.profiler import Profiler, changed_much
from schemas.messages import FieldProfile, JsonType, NovelField, NovelReason, RawCoordinates

log = logging.getLogger(__name__)

# A source with more unmapped paths than this has keys that are data (ids, dates); telling them all would never end.
PATHS_OF_A_SOURCE: Final = 2_000
# Longer paths are data, too, and one of them could be larger than the topic takes.
PATH_CHARACTERS: Final = 8_000
SHAPES_KEPT: Final = 10_000
# Records that are looked into after a new path was seen, and each time that a source is looked at again.
SAMPLE_RECORDS: Final = 200
FIRST_LOOK_SECONDS: Final = 30.0
LOOK_FACTOR: Final = 4
# A profile of fewer records changes much with every one of them.
FEWEST_RECORDS: Final = 10

Source = tuple[str, str, str]  # (tenant, connector, entity)
Types = tuple[JsonType, ...]


class Place(Protocol):
    """Where a record stands, or first stood."""

    @property
    def topic(self) -> str: ...
    @property
    def partition(self) -> int: ...
    @property
    def offset(self) -> int: ...


class SourceWatch:
    """One source. While `samples_left` is not 0, `take` wants every leftover; else those that `shapes` doesn't know."""

    def __init__(self, touched: "dict[SourceWatch, None]") -> None:
        self._touched = touched
        self._origin: Origin
        self._ignored: tuple[str, ...] = ()
        self._reason: NovelReason = "unmapped"
        self.forget()

    def forget(self) -> None:
        """As if nothing had been seen yet."""
        self.shapes = Shapes()
        self.samples_left = 0
        self._paths: dict[str, Profiler] = {}
        self._places: dict[str | None, RawCoordinates | None] = {}  # where a path, or the source, was first seen
        self.look_seconds = FIRST_LOOK_SECONDS
        self._records = 0
        self._told: dict[str, tuple[FieldProfile, set[str]]] = {}
        self._next: dict[str, int] = {}  # path -> records at which its profile is compared with what was told
        self._skipped: set[str] = set()
        self._source_told: set[NovelReason] = set()

    def set_up(self, origin: Origin, ignored: tuple[str, ...], reason: NovelReason) -> None:
        """What the table in force says of the source."""
        self._origin, self._ignored, self._reason = origin, ignored, reason
        self._skipped = set()

    def take(self, leftover: dict[str, Any], place: Place | None) -> None:
        """Look at what one record has that no mapping reads."""
        if len(self.shapes) >= SHAPES_KEPT:
            self.shapes = Shapes()
        self.shapes.add(leftover)
        self._touched[self] = None
        self._records += 1
        self._places.setdefault(None, _coordinates(place))
        for path, value in leaf_paths(leftover):
            profiler = self._paths.get(path)
            if profiler is None:
                if path in self._skipped or not self._is_field(path):
                    continue
                profiler = self._paths[path] = Profiler(self._records)
                self._next[path] = 0
                self._places[path] = _coordinates(place)
                self.samples_left = SAMPLE_RECORDS
            profiler.take(self._records, value)
        self.samples_left = max(0, self.samples_left - 1)

    def due(self) -> Iterator[NovelField]:
        """What is to be told now."""
        if self._reason == "unknown_source":
            yield from self._source("unknown_source")
        if len(self._paths) >= PATHS_OF_A_SOURCE:
            yield from self._source("too_many_fields")
        for path, at in [*self._next.items()]:
            if at <= self._records:
                yield from self._field(path)

    def _field(self, path: str) -> Iterator[NovelField]:
        profiler = self._paths[path]
        profile = profiler.profile(self._records - profiler.first + 1)
        told = self._told.get(path)
        self._next[path] = max(FEWEST_RECORDS, self._records * 2)
        if told is None or told[1] != profiler.types or changed_much(told[0], profile):
            self._told[path] = (profile, set(profiler.types))
            yield self._message(
                path, self._reason, profile, types=cast(Types, tuple(profiler.types)), shapes=profiler.shapes()
            )

    def _source(self, reason: NovelReason) -> Iterator[NovelField]:
        if reason not in self._source_told:
            self._source_told.add(reason)
            yield self._message(None, reason, FieldProfile(records=self._records))

    def _is_field(self, path: str) -> bool:
        room = len(self._paths) < PATHS_OF_A_SOURCE
        if room and len(path) <= PATH_CHARACTERS and not any(covers(known, path) for known in self._ignored):
            return True
        if len(self._skipped) < PATHS_OF_A_SOURCE:
            self._skipped.add(path)
        return False

    def _message(
        self,
        path: str | None,
        reason: NovelReason,
        profile: FieldProfile,
        *,
        types: Types = (),
        shapes: tuple[str, ...] = (),
    ) -> NovelField:
        return NovelField(
            tenant=self._origin.tenant,
            connector=self._origin.connector,
            entity=self._origin.entity,
            connection=self._origin.connection,
            path=path,
            types=types,
            shapes=shapes,
            first_seen=self._places.get(path),
            reason=reason,
            profile=profile,
            announced_at=datetime.now(UTC),
        )


class NovelFields:
    """The memory of one worker. A batch: `begin`, `take`s of watches, `drain`; `undo` if it is aborted."""

    def __init__(self, *, reannounce_seconds: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._reannounce_seconds = reannounce_seconds
        self._clock = clock
        self._watches: dict[Source, SourceWatch] = {}
        self._touched: dict[SourceWatch, None] = {}  # in this batch
        self._order = count()
        self._looks: list[tuple[float, int, SourceWatch, bool]] = []  # when to look again; whether at everything anew
        self.generation = 0

    def begin(self) -> None:
        """A new batch: what is older than the limit is due again."""
        changed = False
        now = self._clock()
        while self._looks and self._looks[0][0] <= now:
            _, _, watch, anew = heapq.heappop(self._looks)
            if anew:
                watch.forget()
                changed = True
                self._look_later(watch, now)
            else:
                watch.samples_left = max(watch.samples_left, SAMPLE_RECORDS // LOOK_FACTOR)
                watch.look_seconds *= LOOK_FACTOR
                self._look_again(watch, now)
        if changed:
            self.generation += 1

    def watch(self, origin: Origin, *, ignored: tuple[str, ...] = (), reason: NovelReason = "unmapped") -> SourceWatch:
        """The watch of a source; to be asked for anew when its set or `generation` has changed."""
        source = (origin.tenant, origin.connector, origin.entity)
        watch = self._watches.get(source)
        if watch is None:
            watch = self._watches[source] = SourceWatch(self._touched)
            self._look_later(watch, self._clock())
        watch.set_up(origin, ignored, reason)
        return watch

    def drain(self) -> tuple[list[NovelField], list[SourceWatch]]:
        """The messages that are due, to be written with the batch; and what to `undo` if it does not commit."""
        seen = list(self._touched)
        self._touched.clear()
        return [field for watch in seen for field in watch.due()], seen

    def undo(self, seen: Iterable[SourceWatch] = ()) -> None:
        """A batch is read again: what it saw, and what was seen since, does not count."""
        for watch in (*seen, *self._touched):
            watch.forget()
        self._touched.clear()
        self.generation += 1

    def forget(self) -> None:
        """Partitions moved. Not to be called while a batch is worked on."""
        self._watches.clear()
        self._touched.clear()
        self._looks.clear()
        self.generation += 1

    def _look_later(self, watch: SourceWatch, now: float) -> None:
        heapq.heappush(self._looks, (now + self._reannounce_seconds, next(self._order), watch, True))
        self._look_again(watch, now)

    def _look_again(self, watch: SourceWatch, now: float) -> None:
        if watch.look_seconds < self._reannounce_seconds:
            heapq.heappush(self._looks, (now + watch.look_seconds, next(self._order), watch, False))


def covers(known: str, path: str) -> bool:
    """Whether `path` is what `known` names, or lies inside it."""
    return path == known or path.startswith((known + ".", known + "[]"))


def _coordinates(place: Place | None) -> RawCoordinates | None:
    return None if place is None else RawCoordinates(topic=place.topic, partition=place.partition, offset=place.offset)
