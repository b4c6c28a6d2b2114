"""Takes the records out of a response, and checks them: objects, each with its key. One bad record refuses the page.

What vendors send is not changed, but for what the spec says: `record`, `zip` and `add`.
"""

from collections.abc import Callable, Mapping
from typing import Any, Final

from connectors.errors import BadResponse
from connectors.expressions import Expression, expression, has_key
from connectors.page import Page
from connectors.templates import Variables, render
from mapping.path import MISSING, parse
from schemas.connector_spec import EntitySpec, Series, Zip

_USUAL: Final = ("data", "results", "items", "records", "value", "entries", "list", "rows", "elements", "objects")


def found_records(entity: EntitySpec, page: Page) -> list[Any]:
    """What stands at `records_path`; without one, the response's only list.

    Raises:
        BadResponse: there is no list, or several and none with a usual name.
    """
    data = page.data
    if data is None:
        return []
    if entity.zip is not None:
        return _zipped(entity.zip, data)
    if entity.series is not None:
        return _in_parallel(entity.series, data)
    if entity.records_path is not None:
        return _at_path(entity.records_path, data)
    return data if isinstance(data, list) else _only_list(data, alone=entity.pagination.kind == "none")


def _only_list(data: Any, *, alone: bool) -> list[Any]:
    lists = {name: value for name, value in data.items() if isinstance(value, list)} if isinstance(data, dict) else {}
    usual = next((lists[name] for name in _USUAL if name in lists), None)
    if usual is not None:
        return usual
    if alone and isinstance(data, dict):
        return [data]
    if len(lists) == 1:
        return next(iter(lists.values()))
    raise BadResponse("the response has no list that could be the records", "say records_path in the spec")


def _at_path(path: str, data: Any) -> list[Any]:
    found = expression(path)(data)
    if isinstance(found, dict):
        return [found]
    if found is None and not has_key(path, data):
        raise BadResponse(f"the response has nothing at {path}", "check records_path in the spec")
    return _as_list(found, path)


class RecordReader:
    """Makes records of what was found, for one entity and one set of variables."""

    def __init__(self, entity: EntitySpec, variables: Variables) -> None:
        self._entity = entity
        self._make: Expression | None = expression(entity.record) if entity.record else None
        self._added: Mapping[str, Any] = render(entity.add, variables)
        self._keys: list[tuple[str, Callable[[Any], Any]]] = [
            (path, parse(path).reader()) for path in entity.primary_key
        ]

    def read(self, page: Page) -> list[dict[str, Any]]:
        """The records of a page, all with their keys. Raises BadResponse."""
        found = found_records(self._entity, page)
        if self._make is not None:
            found = [self._make(value) for value in found]
        for position, record in enumerate(found):
            if record.__class__ is not dict:
                raise BadResponse(f"record {position} of the page is no object", "check records_path in the spec")
            if self._added:
                record.update(self._added)
            for path, read in self._keys:
                value = read(record)
                if value is None or value is MISSING or value.__class__ in (dict, list) or value == "":
                    raise BadResponse(
                        f"record {position} of the page has no key at {path}", "check primary_key in the spec"
                    )
        return found

    def key_text(self, record: Mapping[str, Any]) -> str:
        """The key in short, to tell records of one entity apart."""
        return ":".join(str(read(record)) for _, read in self._keys)


def record_key(entity: EntitySpec, record: Mapping[str, Any]) -> str:
    """As `RecordReader.key_text`, of a single record."""
    return ":".join(str(parse(path).reader()(record)) for path in entity.primary_key)


def _zipped(how: Zip, data: Any) -> list[Any]:
    columns = _as_list(expression(how.columns)(data), how.columns)
    read = expression(how.values)
    records = []
    for row in _as_list(expression(how.rows)(data), how.rows):
        values = _as_list(read(row), how.values)
        if len(values) != len(columns):
            raise BadResponse(f"a row has {len(values)} values under {len(columns)} columns", "check zip in the spec")
        records.append(dict(zip(columns, values, strict=True)))
    return records


def _in_parallel(how: Series, data: Any) -> list[Any]:
    found = expression(how.path)(data)
    if found is None and not has_key(how.path, data):
        raise BadResponse(f"the response has nothing at {how.path}", "check series in the spec")
    records = []
    for series in [found] if isinstance(found, dict) else _as_list(found, how.path):
        if not isinstance(series, dict):
            raise BadResponse(f"what stands at {how.path} is no object with lists", "check series in the spec")
        lists = [_as_list(series.get(member), member) for member in how.lists.values()]
        if len({len(values) for values in lists}) != 1:
            lengths = " and ".join(f"{len(values)} {name}" for name, values in zip(how.lists, lists, strict=True))
            raise BadResponse(f"lists that belong together differ in length: {lengths}", "check series in the spec")
        common = {name: value for name, value in series.items() if name not in how.lists.values()}
        records += [common | dict(zip(how.lists, values, strict=True)) for values in zip(*lists, strict=True)]
    return records


def _as_list(found: Any, path: str) -> list[Any]:
    if found is None:
        return []
    if not isinstance(found, list):
        raise BadResponse(f"what stands at {path} is no list", "check the spec's paths")
    return found
