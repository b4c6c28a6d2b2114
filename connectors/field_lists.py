"""The names of an entity's fields for a request that must tell them, in lists that a URL holds; and the parts of a page
that each list brought, as records again. Pure: `connectors.sync` asks.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any
from urllib.parse import quote

from connectors.errors import BadResponse


def field_lists(names: Iterable[str], most_characters: int | None) -> list[str]:
    """`names`, comma-separated, in texts of `most_characters` at most (percent-encoded, commas too); at least one.

    Raises:
        BadResponse: one name alone is longer.
    """
    lists: list[list[str]] = [[]]
    length = 0
    for name in names:
        added = len(quote(name, safe="")) + len(quote(",", safe=""))
        if most_characters is not None and added > most_characters:
            raise BadResponse("a field's name is longer than a request may be", "check fields_endpoint.max_characters")
        if most_characters is not None and length + added > most_characters:
            lists.append([])
            length = 0
        lists[-1].append(name)
        length += added
    return [",".join(part) for part in lists]


def joined(
    parts: Sequence[Sequence[dict[str, Any]]], key: Callable[[Mapping[str, Any]], str]
) -> list[dict[str, Any]] | None:
    """The records of the first part, each with what the other parts know of it; None if one of them lacks a record.

    Where two parts disagree, the first is right: it was asked for first, so what changed meanwhile comes again.
    """
    first = list(parts[0])
    for part in parts[1:]:
        by_key = {key(record): record for record in part}
        for record in first:
            other = by_key.get(key(record))
            if other is None:
                return None
            _add(record, other)
    return first


def _add(record: dict[str, Any], other: Mapping[str, Any]) -> None:
    for name, value in other.items():
        own = record.setdefault(name, value)
        if own is not value and isinstance(own, dict) and isinstance(value, dict):
            _add(own, value)
