"""Which source paths were already announced as novel, so that each is told once and again after a while.

At least once: what a batch announces is remembered only when it has committed, and all is forgotten when partitions
move, since another worker's memory is not ours. Steady state costs one look at the shape of what is left over.
"""

import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

from mapping.origin import Origin
from mapping.profile import fingerprint, json_type, leaf_paths, shape_of
from schemas.messages import NovelField, NovelReason, RawCoordinates

_SHAPES_KEPT = 100_000


class NovelFields:
    """The memory of one worker. Call `committed` when what `announce` gave has been committed."""

    def __init__(self, *, reannounce_seconds: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._reannounce_seconds = reannounce_seconds
        self._clock = clock
        self._shapes: dict[Any, float] = {}
        self._paths: dict[tuple[Origin, str | None], float] = {}
        self._new_shapes: dict[Any, float] = {}
        self._new_paths: dict[tuple[Origin, str | None], float] = {}

    def begin(self) -> None:
        """A new batch: what an aborted one announced doesn't count."""
        self.now = self._clock()
        self._new_shapes.clear()
        self._new_paths.clear()

    def committed(self) -> None:
        """The batch has committed."""
        if len(self._shapes) > _SHAPES_KEPT:
            self._shapes.clear()
        self._shapes.update(self._new_shapes)
        self._paths.update(self._new_paths)

    def forget(self) -> None:
        """Partitions moved."""
        self._shapes.clear()
        self._paths.clear()

    def announce(
        self, origin: Origin, leftover: dict[str, Any], ignored: tuple[str, ...], seen_at: RawCoordinates
    ) -> Iterator[NovelField]:
        """The messages for paths of `leftover` that are new, or due again."""
        shape = (origin, fingerprint(leftover))
        told = self._shapes.get(shape) or self._new_shapes.get(shape)
        if told is not None and self.now - told < self._reannounce_seconds:
            return
        self._new_shapes[shape] = self.now
        found: dict[str, list[Any]] = {}
        for path, value in leaf_paths(leftover):
            if self._is_due(origin, path) and not any(_covers(known, path) for known in ignored):
                found.setdefault(path, []).append(value)
        for path, values in found.items():
            self._new_paths[origin, path] = self.now
            yield _message(origin, path, values, "unmapped", seen_at)

    def announce_source(self, origin: Origin, seen_at: RawCoordinates) -> Iterator[NovelField]:
        """The message for a source that no set covers, if it is new or due again."""
        if self._is_due(origin, None):
            self._new_paths[origin, None] = self.now
            yield _message(origin, None, [], "unknown_source", seen_at)

    def _is_due(self, origin: Origin, path: str | None) -> bool:
        if (origin, path) in self._new_paths:
            return False
        told = self._paths.get((origin, path))
        return told is None or self.now - told >= self._reannounce_seconds


def _covers(known: str, path: str) -> bool:
    return path == known or path.startswith((known + ".", known + "[]"))


def _message(
    origin: Origin, path: str | None, values: list[Any], reason: NovelReason, seen_at: RawCoordinates
) -> NovelField:
    return NovelField(
        tenant=origin.tenant,
        connector=origin.connector,
        entity=origin.entity,
        connection=origin.connection,
        path=path,
        types=tuple({json_type(value) for value in values}),
        shapes=tuple(sorted({shape_of(value) for value in values if isinstance(value, str)}))[:5],
        first_seen=seen_at,
        reason=reason,
        announced_at=datetime.now(UTC),
    )
