"""Guesses which of a record's fields identifies it, by name and by what the path to one record asks for."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from connectors.api_words import WORDS, bare
from connectors.resource_names import path_parameters
from mapping.path import quoted

SUREST: Final = 7  # of the identifiers: before `customer_id`, which may be a reference; the rest come after it


def guess_primary_key(
    entity: str,
    properties: Iterable[str],
    read_paths: Sequence[str] = (),
    inner: Mapping[str, Iterable[str]] | None = None,
) -> tuple[tuple[str, ...], str]:
    """(paths of the key, why); `()` where nothing looks like one.

    Args:
        properties: the names at the record's root.
        read_paths: paths that end in a parameter for one record, `/customers/{customer_id}`.
        inner: the names within each object at the root; of use where an API keeps identity apart (`metadata.uid`).
    """
    names = {bare(name): name for name in properties}
    last = bare(entity.rpartition("_")[2])
    whole = bare(entity)
    if "id" not in names:
        for path in read_paths:
            asked = bare((path_parameters(path) or [""])[-1])
            for candidate in (asked.removeprefix(whole), asked.removeprefix(last), asked):
                if candidate in names:
                    return (quoted(names[candidate]),), f"{path} asks for it"
    sure, others = WORDS["identifiers"][:SUREST], WORDS["identifiers"][SUREST:]
    for candidate in (*sure, f"{whole}id", f"{last}id", *others, f"{whole}key", f"{whole}number"):
        if candidate in names:
            return (quoted(names[candidate]),), f"a field called {names[candidate]}"
    for holder in WORDS["identity_holders"]:
        held = {bare(name): name for name in (inner or {}).get(names.get(holder, ""), ())}
        for candidate in sure:
            if candidate in held:
                path = f"{quoted(names[holder])}.{quoted(held[candidate])}"
                return (path,), f"a field called {path}"
    return (), "no field looks like an identifier"
