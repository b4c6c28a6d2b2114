"""How a list's next page and its changes are asked for, guessed from an operation's parameters and its response.

Every guess carries its reason; a person confirms it in the spec that `aam connectors new` writes.
"""

import re
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from connectors.api_words import WORDS, bare
from connectors.openapi_records import Operation, jmespath_of
from connectors.openapi_schema import SchemaReader, View
from mapping.path import quoted
from schemas.paging_spec import PagingKind

MOST_NESTED: Final = 3
_SPAN_ENDS: Final = frozenset({"to", "until", "till", "end", "enddate"})
_TOKEN: Final = re.compile(r"\b(?:token|cursor)\b", re.IGNORECASE)
_PAGING_LISTS: Final = ("page_size", "cursor", "offset", "page", "last_id")
_PAGING_WORDS: Final = frozenset(word for name in _PAGING_LISTS for word in WORDS[f"{name}_parameters"])
_BOUNDS: Final = ("gte", "gt", "from", "since", "after", "start")


@dataclass(frozen=True)
class PagingGuess:
    """How the next page is asked for. Names of parameters as sent; paths in the response as JMESPath."""

    kind: PagingKind
    reason: str
    param: str | None = None
    size_param: str | None = None
    size: int | None = None
    next_path: str | None = None
    more_path: str | None = None


@dataclass(frozen=True)
class IncrementalGuess:
    """A query parameter that asks for what changed, and the field that it seems to compare."""

    param: str
    field: str | None
    reason: str


class _Answer:
    """What stands around the records of a response: bare name of the path → JMESPath, the nearest first."""

    def __init__(self, reader: SchemaReader, operation: Operation) -> None:
        self._places = dict(_beside(reader, operation))

    def ending_in(self, words: Iterable[str]) -> str | None:
        """The place of the likeliest of these words; of one word, the most exact: `paging.next.after`."""
        for word in words:
            found = [path for name, path in self._places.items() if name.endswith(word)]
            if found:
                return max(found, key=len)
        return None

    def called(self, words: Iterable[str]) -> str | None:
        """The place with one of these names and no other."""
        return next((self._places[word] for word in words if word in self._places), None)


def guess_paging(reader: SchemaReader, operation: Operation) -> PagingGuess:
    """How the pages of a list follow each other."""
    asked = _paging_parameters(operation)
    answer = _Answer(reader, operation)
    kind, param, next_path, reason = next(_ways(operation, asked, answer))
    size_param = first_of(asked, [word for word in WORDS["page_size_parameters"] if asked.get(word) != param])
    return PagingGuess(
        kind=kind,
        reason=reason,
        param=param,
        size_param=size_param,
        size=_largest_page(operation, size_param),
        next_path=next_path,
        more_path=answer.ending_in(WORDS["more_flags"]),
    )


_Way = tuple[PagingKind, str | None, str | None, str]


def _ways(operation: Operation, asked: Mapping[str, str], answer: _Answer) -> Iterator[_Way]:
    """(kind, parameter, place of the next token or URL, reason), the surest first."""
    if "link" in operation.response_headers:
        yield "link_header", None, None, "the response has a Link header"
    told_token = _token_parameter(operation, asked)
    cursor_param = first_of(asked, WORDS["cursor_parameters"]) or told_token
    last_id = first_of(asked, WORDS["last_id_parameters"])
    token_param = cursor_param or last_id
    cursor, next_url = _token(answer), answer.ending_in(WORDS["next_urls"])
    by_token: _Way = ("cursor", token_param, cursor, f"parameter {token_param}, {cursor} in the response")
    if token_param is not None and cursor is not None and not bare(cursor).endswith(("next", "link", "url")):
        yield by_token
    if next_url is None and token_param is None:
        next_url = answer.called(WORDS["plain_next"])
    if next_url is not None:
        kind: PagingKind = "odata" if "odata" in bare(next_url) else "next_url"
        yield kind, None, next_url, f"the response has a next URL at {next_url}"
    if token_param is not None and cursor is not None:
        yield by_token
    if last_id is not None:
        yield "last_record_id", last_id, None, f"parameter {last_id}: the last record's id"
    if told_token is not None:
        yield "cursor", told_token, None, f"parameter {told_token}, which is said to be a token"
    offset = first_of(asked, WORDS["offset_parameters"]) or (asked.get("first") if "max" in asked else None)
    if offset is not None:
        yield "offset", offset, None, f"parameter {offset}"
    page = first_of(asked, WORDS["page_parameters"])
    if page is not None and cursor is None:
        yield "page", page, None, f"parameter {page}"
    if page is not None or cursor_param is not None:
        told = f"{cursor} in the response" if cursor else "where the response has the next one isn't said"
        yield "cursor", cursor_param or page, cursor, f"parameter {cursor_param or page}; {told}"
    yield "none", None, None, "neither parameters nor response speak of pages"


def _token_parameter(operation: Operation, asked: Mapping[str, str]) -> str | None:
    """An offset or page that is told to be a token that the vendor gave."""
    counted = first_of(asked, [*WORDS["offset_parameters"], *WORDS["page_parameters"]])
    told = next((p for p in operation.parameters if p.get("name") == counted), None)
    is_text = told is not None and _schema(told).get("type") in (None, "string")
    return counted if told and is_text and _TOKEN.search(str(told.get("description", ""))) else None


def _paging_parameters(operation: Operation) -> dict[str, str]:
    """Bare name → parameter that may ask for a page: `searchCriteria[currentPage]` too, but no moment in time."""
    found: dict[str, str] = {}
    for parameter in operation.parameters:
        name = str(parameter.get("name"))
        if parameter.get("in") not in ("query", "body") or _schema(parameter).get("format") in ("date", "date-time"):
            continue
        inner = bare(re.split(r"[\[.]", name)[-1])
        for short in (bare(name), inner if inner in _PAGING_WORDS else bare(name)):
            if short not in found or parameter["in"] == "query":
                found[short] = name
    if found.keys() & _SPAN_ENDS:
        found.pop("from", None)  # a span, and no offset
    return found


def _schema(parameter: Mapping[str, Any]) -> Mapping[str, Any]:
    """What its values are like; in Swagger 2 the parameter itself says so."""
    schema = parameter.get("schema")
    return schema if isinstance(schema, dict) else parameter


def _token(answer: _Answer) -> str | None:
    """Where the response has the next page's token; `has_next_page` says whether there is one, not which."""
    place = answer.ending_in(WORDS["next_cursors"])
    return None if place is None or bare(place).endswith(WORDS["more_flags"]) else place


def guess_incremental(operation: Operation, record: View) -> IncrementalGuess | None:
    """The parameter that asks for what changed since a moment; None where there seems to be none."""
    asked = _asked(operation, "query")
    param = first_of(asked, WORDS["since_parameters"])
    if param is None:
        return None
    fields = {bare(name): name for name in record.properties}
    of_creation = "creat" in bare(param)
    wanted = [name for name in WORDS["time_fields"] if not of_creation or "creat" in name]
    compared = fields.get(bare(param)) or first_of(fields, wanted)
    bound = _lower_bound(operation, param)
    return IncrementalGuess(bound, jmespath_of((compared,)) if compared else None, f"parameter {bound}")


def first_of(named: Mapping[str, str], words: Iterable[str]) -> str | None:
    """The original of the likeliest word among bare names, `page[size]` and the like included."""
    listed = list(words)
    exact = next((named[word] for word in listed if word in named), None)
    if exact is not None:
        return exact
    around = [f"{prefix}{word}" for word in listed for prefix in ("page", "paging", "pagination") if len(word) > 3]
    return next((named[word] for word in around if word in named), None)


def _asked(operation: Operation, place: str) -> dict[str, str]:
    return {bare(name): name for name in operation.parameters_in(place)}


def _beside(reader: SchemaReader, operation: Operation) -> Iterator[tuple[str, str]]:
    """(bare name of the path, JMESPath) of what stands around the records, arrays and what is in them left out."""
    if not operation.records_path:
        return
    waiting: deque[tuple[tuple[str, ...], View]] = deque([((), operation.response)])
    while waiting:
        steps, view = waiting.popleft()
        for name, schemas in view.properties.items():
            inner, place = reader.united(schemas), (*steps, name)
            if inner.is_array or place == operation.records_path:
                continue
            yield bare("".join(map(quoted, place))), jmespath_of(place) or ""
            if inner.is_object and len(place) < MOST_NESTED:
                waiting.append((place, inner))


def _largest_page(operation: Operation, param: str | None) -> int | None:
    """The most that the size parameter takes, where that is said."""
    for parameter in operation.parameters:
        if param is not None and parameter.get("name") == param:
            schema = parameter.get("schema")
            most = (schema if isinstance(schema, dict) else parameter).get("maximum")
            return int(most) if isinstance(most, int | float) and 1 <= most <= 100_000 else None
    return None


def _lower_bound(operation: Operation, param: str) -> str:
    """`created[gte]`, where `created` takes an object of bounds."""
    for parameter in operation.parameters:
        schema = parameter.get("schema")
        if parameter.get("name") == param and isinstance(schema, dict):
            parts = schema.get("anyOf")
            schemas = [schema, *(parts if isinstance(parts, list) else ())]
            taken = [part.get("properties") for part in schemas if isinstance(part, dict)]
            bounds = {name for properties in taken if isinstance(properties, dict) for name in properties}
            found = next((bound for bound in _BOUNDS if bound in bounds), None)
            return f"{param}[{found}]" if found else param
    return param
