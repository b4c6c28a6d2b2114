"""How an incremental listing begins, moves on and ends: windows, watermarks, cursors. Pure; times are given.

`begin` makes the run that a position then holds, `bounds` says what its requests ask for, `wanted` which records of a
page are new, `advance` where the listing stands after a page. Forms of times are up to `connectors.watermarks`.
"""

from collections.abc import Sequence
from typing import Any, Final

from connectors.expressions import expression
from connectors.page import Page
from connectors.paging import Token
from connectors.request_parts import PageRequest, place_of
from connectors.sync_state import Position, Run
from connectors.templates import Variables, render
from connectors.watermarks import SECOND, Mark, read_mark, start_mark, write_mark
from schemas.connector_spec import EntitySpec, Incremental
from schemas.spec_part import variables_of

CLOCK_SKEW_SECONDS: Final = 3_600


def begin(entity: EntitySpec, position: Position, variables: Variables, *, now: float, full: bool) -> Run:
    """A new run. `now` in epoch seconds; `full`: whatever was read before."""
    run = Run(full=full)
    incremental = entity.incremental
    if incremental is None:
        return run
    known = None if full else position.watermark
    if incremental.mode == "cursor" and not full and position.cursor is not None:
        run.token = position.cursor
        return run
    if known is not None:
        lookback = incremental.lookback_seconds * SECOND
        run.since = max(known - lookback, 0) if isinstance(known, int) else known
    elif incremental.start is not None:
        run.since = start_mark(render(incremental.start, variables), incremental.format)
    if incremental.format != "text":
        run.until = int(now) * SECOND - incremental.end_margin_seconds * SECOND
        if isinstance(run.since, int):
            run.since = min(run.since, run.until)
        run.window_until = _window_end(incremental, run.since, run.until)
    return run


def advance(
    entity: EntitySpec, position: Position, run: Run, token: Token | None, page: Page | None, *, now: float
) -> bool:
    """Moves `position` past a page: to the page of `token`, the next window, or the end; whether a window begins."""
    incremental = entity.incremental
    if token is not None:
        run.token = token
        return False
    if incremental is not None and run.window_until is not None and run.until != run.window_until:
        run.since, run.token = run.window_until, None
        run.window_until = _window_end(incremental, run.since, run.until)
        return True
    if incremental is not None:
        _finish(position, entity, incremental, run, page, int(now) * SECOND)
    position.run = None
    return False


def _finish(
    position: Position, entity: EntitySpec, incremental: Incremental, run: Run, page: Page | None, now: int
) -> None:
    if incremental.mode == "cursor":
        path = incremental.cursor_path or entity.pagination.cursor_path
        found = expression(path)(page.data) if path and page is not None else None
        position.cursor = found if isinstance(found, str | int) and found != "" else run.token
    reached = [mark for mark in (position.watermark, run.highest) if mark is not None]
    if isinstance(run.until, int) and _asks_until(entity):
        reached.append(min(run.until, now - CLOCK_SKEW_SECONDS * SECOND))
    if not reached:
        return
    if incremental.format == "text":
        position.watermark = max(str(mark) for mark in reached)
        return
    # A record dated in the future must not make the next sync skip what changes until then.
    position.watermark = min(max(mark for mark in reached if isinstance(mark, int)), now)


def bounds(entity: EntitySpec, run: Run) -> tuple[dict[str, Any], list[PageRequest]]:
    """({since} and {until} for templates, parameters of the increment)."""
    incremental = entity.incremental
    if incremental is None:
        return {}, []
    form = incremental.format
    since = None if run.since is None else write_mark(run.since, form)
    until = run.window_until if run.window_until is not None else run.until
    values: dict[str, Any] = {}
    first = run.token is None or incremental.mode == "server"
    if incremental.param and since is not None and incremental.mode != "client" and first:
        values[incremental.param] = since
    if incremental.until_param and until is not None:
        values[incremental.until_param] = write_mark(until, form, up=True)
    place = place_of(entity, incremental.in_ or entity.pagination.in_)
    known = {
        "since": since if since is not None else write_mark("" if form == "text" else 0, form),
        "until": None if until is None else write_mark(until, form, up=True),
    }
    return known, [PageRequest(values=values, place=place)] if values else []


def wanted(
    incremental: Incremental | None, records: Sequence[dict[str, Any]], run: Run
) -> tuple[Sequence[dict[str, Any]], bool]:
    """(the records that are wanted, whether all are older and none newer can follow); notes the highest mark."""
    if incremental is None or incremental.field is None:
        return records, False
    read, form = expression(incremental.field), incremental.field_format or incremental.format
    values = [read(record) for record in records]
    marks = _marks(values, form) if incremental.mode != "client" else [read_mark(value, form) for value in values]
    found = [mark for mark in marks if mark is not None]
    if found:
        highest: Any = max(found)
        run.highest = highest if run.highest is None else max(run.highest, highest)
    if incremental.mode != "client" or run.since is None:
        return records, False
    since: Any = run.since
    newer = [record for record, mark in zip(records, marks, strict=True) if mark is None or mark >= since]
    ends = incremental.mode == "client" and incremental.order == "descending"
    return newer, bool(ends and records and not newer)


def _marks(values: Sequence[Any], form: str) -> list[Mark | None]:
    """The marks of a page; of times all written alike only the latest, which is all that matters then."""
    texts = {len(value) for value in values if value.__class__ is str}
    alike = (
        form == "iso8601" and len(texts) == 1 and all(value.__class__ is str and value[-1:] == "Z" for value in values)
    )
    return [read_mark(value, form) for value in ([max(values)] if alike else values)]


def _window_end(incremental: Incremental, since: Mark | None, until: Mark | None) -> Mark | None:
    if incremental.window_seconds is None or not isinstance(until, int):
        return until
    start = since if isinstance(since, int) else 0
    return min(until, start + incremental.window_seconds * SECOND)


def _asks_until(entity: EntitySpec) -> bool:
    """Whether a request tells the end of its span, so that a listing is known to have covered it."""
    told = entity.incremental is not None and entity.incremental.until_param is not None
    return told or "until" in variables_of([entity.endpoint, entity.params, entity.body])
