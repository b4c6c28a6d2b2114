"""Answers a request for a list as the vendor does: which records are meant, which page of them, in which envelope."""

import base64
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import parse_qsl, quote, urlencode

import orjson

from sandbox.asked import Asked
from sandbox.dataset import Dataset
from sandbox.ga4_rows import ga4_columns, ga4_row
from sandbox.generators import UPDATED_AFTER
from sandbox.metric_data import metric_results
from sandbox.slots import parse_time
from sandbox.vendor import Paging

_RECORDS: Final = "\ue000records\ue001"


class BadRequest(Exception):
    """What the vendor would refuse; the message is for whoever asks."""


class NotFound(Exception):
    """There is nothing at this path."""


class NoParent(Exception):
    """There is no such parent."""


@dataclass(slots=True)
class Reply:
    """An answer before it is sent."""

    status: int
    body: bytes
    headers: dict[str, str] = field(default_factory=dict)


@dataclass(slots=True)
class Window:
    """The records that a request means, by index, and how far it has read them."""

    start: int
    stop: int
    done: int = 0
    select: tuple[str, ...] | None = None

    def page(self, size: int, newest_first: bool) -> range:
        """The indexes of the next page."""
        count = min(size, self.stop - self.start - self.done)
        if newest_first:
            first = self.stop - 1 - self.done
            return range(first, first - count, -1)
        return range(self.start + self.done, self.start + self.done + count)


def list_records(dataset: Dataset, asked: Asked, *, endless: bool = False, repeat: bool = False) -> Reply:
    """One page. `endless`: it never says that it is the last; `repeat`: it is always the first.

    Raises:
        BadRequest, NoParent: the request means nothing.
    """
    paging = dataset.vendor.pagings[dataset.entity.paging]
    size = _size(paging, asked)
    window = _window(dataset, paging, asked, size)
    total = window.stop - window.start
    if repeat or (endless and window.done >= total):
        window.done = 0
    indexes = window.page(size, dataset.entity.order == "newest")
    records, columns = _written(dataset, asked, indexes, window.select)
    done = window.done + len(indexes)
    more = endless or done < total
    values = _values(dataset, paging, asked, size=size, before=window, done=done, more=more) | columns
    headers = _link(paging, values) if paging.link_header else {}
    return Reply(200, _enveloped(paging.envelope, values, records), headers)


def _size(paging: Paging, asked: Asked) -> int:
    said = asked.read(paging.size)
    if said is None:
        return paging.size.default
    try:
        size = int(said)
    except (TypeError, ValueError):
        raise BadRequest(f"{paging.size.in_.partition(':')[2]} is no number") from None
    if size < 1:
        raise BadRequest(f"{paging.size.in_.partition(':')[2]} must be at least 1")
    return min(size, paging.size.most)


def _window(dataset: Dataset, paging: Paging, asked: Asked, size: int) -> Window:
    position = paging.position
    said = asked.read(position) if position else None
    if position and position.kind == "token" and said:
        return _from_token(dataset, str(said))
    window = _filtered(dataset, asked)
    if position is None or said in (None, ""):
        return window
    if position.kind == "id":
        index = dataset.ids["id"].index(str(said))
        if index is None or not 0 <= index < dataset.count:
            raise BadRequest(f"No such {dataset.name}: '{said}'")
        newest = dataset.entity.order == "newest"
        window.done = max(0, window.stop - index if newest else index - window.start + 1)
    else:
        number = _whole(said)
        window.done = number if position.kind == "offset" else max(0, number - position.first) * size
    window.done = min(window.done, window.stop - window.start)
    return window


def _whole(said: Any) -> int:
    try:
        number = int(said)
    except (TypeError, ValueError):
        raise BadRequest("the position is no number") from None
    if number < 0:
        raise BadRequest("the position is negative")
    return number


def _filtered(dataset: Dataset, asked: Asked) -> Window:
    entity = dataset.entity
    start, stop = 0, dataset.count
    if entity.parent is not None:
        index = dataset.parent_index(asked.read(entity.parent.place))
        if index is None:
            raise NoParent
        start, stop = index * dataset.each, (index + 1) * dataset.each
    late = UPDATED_AFTER if entity.filters == "updated" else 0
    since, until = parse_time(asked.read_first(entity.since)), parse_time(asked.read_first(entity.until))
    if since is not None:
        start = min(max(start, dataset.clock.first_from(since - late)), stop)
    if until is not None:
        stop = max(min(stop, dataset.clock.first_from(until - late + 1)), start)
    return Window(start, stop, select=_selected(dataset, asked))


def _selected(dataset: Dataset, asked: Asked) -> tuple[str, ...] | None:
    said = asked.read(dataset.entity.select) if dataset.entity.select else None
    if said is None:
        return () if dataset.entity.select and dataset.entity.select.within else None
    names = tuple(name.strip() for name in str(said).split(","))
    return None if any(name.upper().startswith("FIELDS(") for name in names) else names


def _token(dataset: Dataset, window: Window, done: int) -> str:
    state = [dataset.name, window.start, window.stop, done, window.select]
    return base64.urlsafe_b64encode(orjson.dumps(state)).decode().rstrip("=")


def _from_token(dataset: Dataset, token: str) -> Window:
    found = read_token(token)
    if found is None or found[0] != dataset.name:
        raise BadRequest("invalid cursor")
    _, start, stop, done, select = found
    return Window(start, stop, done, None if select is None else tuple(select))


def read_token(token: str) -> list[Any] | None:
    """[entity, start, stop, done, select] of a token that we gave; None if it is none."""
    try:
        found = orjson.loads(base64.urlsafe_b64decode(token + "=" * (-len(token) % 4)))
    except ValueError:
        return None
    return found if isinstance(found, list) and len(found) == 5 else None


def _written(
    dataset: Dataset, asked: Asked, indexes: range, select: tuple[str, ...] | None
) -> tuple[list[bytes], dict[str, Any]]:
    if dataset.entity.shape == "plain":
        return dataset.write(indexes, select), {}
    if dataset.entity.shape == "metric_data":
        results = metric_results(asked.body, [orjson.loads(text) for text in dataset.write(indexes)])
        if results is None:
            raise BadRequest("The parameter MetricDataQueries is required, each with a statistic that there is.")
        return [orjson.dumps(result) for result in results], {}
    columns = ga4_columns(asked.body, dataset.made(0))
    if columns is None:
        raise BadRequest("Did you mean another dimension or metric? The API doesn't know one of those asked for.")
    rows = [ga4_row(orjson.loads(text), columns) for text in dataset.write(indexes)]
    headers = {"$dimensionHeaders": columns.dimension_headers(), "$metricHeaders": columns.metric_headers()}
    return [orjson.dumps(row) for row in rows], headers


def _values(
    dataset: Dataset, paging: Paging, asked: Asked, *, size: int, before: Window, done: int, more: bool
) -> dict[str, Any]:
    total, position = before.stop - before.start, paging.position
    following: Any = done
    if position is not None and position.kind == "token":
        following = _token(dataset, before, done)
    elif position is not None and position.kind == "page":
        following = before.done // size + position.first + 1
    path, url = _next(paging, asked, following)
    page = before.done // size + 1
    return {
        "$records": _RECORDS,
        "$key": dataset.entity.records_key or "data",
        "$next": following if more else None,
        "$next_or_empty": following if more else "",
        "$always_next": following,
        "$next_url": url if more else None,
        "$always_next_url": url,
        "$next_path": path if more else None,
        "$more": more,
        "$end": not more,
        "$total": total,
        "$size": size,
        "$offset": before.done,
        "$page": page,
        "$next_page": page + 1,
        "$pages": -(-total // size),
        "$path": asked.path,
        "$base": asked.base,
    }


def _next(paging: Paging, asked: Asked, following: Any) -> tuple[str, str]:
    """Path with query, and whole URL, of the next page."""
    position = paging.position
    origin = "/".join(asked.base.split("/", 3)[:3])
    if position is not None and position.path:
        path = position.path.format_map({**asked.params, "token": following})
        return asked.base[len(origin) :] + path, asked.base + path
    path = asked.path
    if position is not None and position.in_.startswith("query:"):
        name = position.in_.partition(":")[2]
        pairs = [pair for pair in parse_qsl(asked.raw_query, keep_blank_values=True) if pair[0] != name]
        path += "?" + urlencode([*pairs, (name, following)], quote_via=quote)
    return asked.base[len(origin) :] + path, asked.base + path


def _link(paging: Paging, values: dict[str, Any]) -> dict[str, str]:
    return {"Link": f'<{values["$next_url"]}>; rel="next"'} if values["$more"] else {}


def _enveloped(envelope: Any, values: dict[str, Any], records: list[bytes]) -> bytes:
    body = b"[" + b",".join(records) + b"]"
    if envelope == "$records":
        return body
    return orjson.dumps(fill(envelope, values)).replace(orjson.dumps(_RECORDS), body, 1)


def fill(template: Any, values: dict[str, Any]) -> Any:
    """`template` with its `$names` replaced. A key in `?` is only there if there is more, one in `!` if there isn't."""
    if isinstance(template, str):
        if template in values:
            return values[template]
        return template.replace("$base", str(values.get("$base"))) if "$base" in template else template
    if isinstance(template, list):
        return [fill(element, values) for element in template]
    if isinstance(template, dict):
        return {
            values.get(key.rstrip("?!"), key.rstrip("?!")): fill(value, values)
            for key, value in template.items()
            if key[-1:] not in ("?", "!") or bool(values.get("$more")) is key.endswith("?")
        }
    return template
