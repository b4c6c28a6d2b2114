"""Which source paths were already announced as novel, so that each is told once, and again after a while.

At least once: what a batch announces is remembered only once it has committed, and all is forgotten when partitions
move, since another worker's memory is not ours. A caller that remembers shapes of leftovers need not ask about them
again as long as `generation` stays the same.
"""

import logging
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any, Final, Protocol, cast

from mapping.origin import Origin
from mapping.profile import json_type, leaf_paths, shape_of
from schemas.messages import JsonType, NovelField, NovelReason, RawCoordinates

log = logging.getLogger(__name__)

# A source with more unmapped paths than this has keys that are data (ids, dates); telling them all would never end.
PATHS_OF_A_SOURCE: Final = 2_000
SHAPES_TOLD: Final = 5
# Longer paths are data, too, and one of them could be larger than the topic takes.
PATH_CHARACTERS: Final = 1_000

Source = tuple[str, str, str]  # (tenant, connector, entity)


class Place(Protocol):
    """Where a record stands, or first stood."""

    @property
    def topic(self) -> str: ...
    @property
    def partition(self) -> int: ...
    @property
    def offset(self) -> int: ...


class NovelFields:
    """The memory of one worker. Each batch: `begin`, any number of announcements, and `committed` if it has."""

    def __init__(self, *, reannounce_seconds: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._reannounce_seconds = reannounce_seconds
        self._clock = clock
        self._since: dict[Source, float] = {}
        self._paths: dict[Source, set[str | None]] = {}
        self._uncommitted: list[tuple[Source, str | None]] = []
        self.generation = 0

    def begin(self) -> None:
        """A new batch: what an aborted one announced does not count, what is older than the limit is due again."""
        for source, path in self._uncommitted:
            self._paths.get(source, set()).discard(path)
        now = self._clock()
        due = [source for source, since in self._since.items() if now - since >= self._reannounce_seconds]
        for source in due:
            del self._since[source], self._paths[source]
        if due or self._uncommitted:
            self.generation += 1
        self._uncommitted.clear()

    def committed(self) -> None:
        """The batch has committed: what it announced is remembered."""
        self._uncommitted.clear()

    def forget(self) -> None:
        """Partitions moved. Not to be called while a batch is under way."""
        self._paths.clear()
        self._since.clear()
        self._uncommitted.clear()
        self.generation += 1

    def announce(
        self,
        origin: Origin,
        leftover: dict[str, Any],
        *,
        ignored: tuple[str, ...] = (),
        reason: NovelReason = "unmapped",
        place: Place | None,
    ) -> list[NovelField]:
        """The messages for the paths of `leftover` that are new, or due again; paths that never had a value are not."""
        source = (origin.tenant, origin.connector, origin.entity)
        known = self._known(source)
        found: dict[str, list[Any]] = {}
        for path, value in leaf_paths(leftover):
            if len(path) > PATH_CHARACTERS or path in known:
                continue
            if not any(covers(known_as_nothing, path) for known_as_nothing in ignored):
                found.setdefault(path, []).append(value)
        return [
            _message(origin, path, values, reason, place)
            for path, values in found.items()
            if self._remember(source, known, path)
        ]

    def announce_source(self, origin: Origin, place: Place) -> list[NovelField]:
        """The message for a source that no set covers, if it is new or due again."""
        source = (origin.tenant, origin.connector, origin.entity)
        known = self._known(source)
        if None in known or not self._remember(source, known, None):
            return []
        return [_message(origin, None, [], "unknown_source", place)]

    def _known(self, source: Source) -> set[str | None]:
        if source not in self._paths:
            self._since[source] = self._clock()
            self._paths[source] = set()
        return self._paths[source]

    def _remember(self, source: Source, known: set[str | None], path: str | None) -> bool:
        if len(known) >= PATHS_OF_A_SOURCE:
            return False
        known.add(path)
        if len(known) == PATHS_OF_A_SOURCE:
            log.warning("%s has over %d unmapped paths; further ones are not announced", source, PATHS_OF_A_SOURCE)
        self._uncommitted.append((source, path))
        return True


def covers(known: str, path: str) -> bool:
    """Whether `path` is what `known` names, or lies inside it."""
    return path == known or path.startswith((known + ".", known + "[]"))


def _message(
    origin: Origin, path: str | None, values: list[Any], reason: NovelReason, place: Place | None
) -> NovelField:
    return NovelField(
        tenant=origin.tenant,
        connector=origin.connector,
        entity=origin.entity,
        connection=origin.connection,
        path=path,
        types=cast(tuple[JsonType, ...], tuple({json_type(value) for value in values})),
        shapes=tuple(_first_shapes(values)),
        first_seen=None
        if place is None
        else RawCoordinates(topic=place.topic, partition=place.partition, offset=place.offset),
        reason=reason,
        announced_at=datetime.now(UTC),
    )


def _first_shapes(values: list[Any]) -> Iterator[str]:
    shapes = dict.fromkeys(shape_of(value) for value in values if isinstance(value, str))
    return iter(sorted(shapes)[:SHAPES_TOLD])
