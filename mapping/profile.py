"""Describes values without telling them: JSON types, shapes (`aa@aa.aa`), and the leaves of what no mapping reads.

Shapes are all that prompts, embeddings, logs and control messages ever see of a value.
"""

from collections.abc import Iterator
from typing import Any, Final

from mapping.path import quoted

SHAPE_CHARACTERS: Final = 32
LEAVES_OF_A_RECORD: Final = 2_000
_DEPTH: Final = 32


def json_type(value: Any) -> str:
    """The JSON type of a decoded value; integers told from other numbers."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "boolean"
    names: dict[type, str] = {int: "integer", str: "string", dict: "object", list: "array"}
    return names.get(type(value), "number")


def shape_of(value: str) -> str:
    """Letters as `a`, digits as `9`, white space as one space, at most 32 characters; other characters that carry
    no letter or digit stay, the rest of Unicode becomes `?`."""
    start = value[:SHAPE_CHARACTERS]
    return start.translate(_ASCII_SHAPES) if start.isascii() else "".join(map(_shape_of_character, start))


def _shape_of_character(character: str) -> str:
    if character.isalpha():
        return "a"
    if character.isdigit():
        return "9"
    if character.isspace():
        return " "
    return character if character.isascii() and character.isprintable() else "?"


_ASCII_SHAPES: Final = {number: _shape_of_character(chr(number)) for number in range(128)}


def leaf_paths(leftover: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    """(source path, value) of the leaves of `leftover` (path → value), arrays as `[]`, bounded in number and depth.

    Null, an empty object and an empty array tell nothing of what stands there otherwise, and are no leaves.
    """
    count = 0
    for path, value in leftover.items():
        for leaf in _leaves(path, value, _DEPTH):
            yield leaf
            count += 1
            if count >= LEAVES_OF_A_RECORD:
                return


def _leaves(path: str, value: Any, depth: int) -> Iterator[tuple[str, Any]]:
    if value is None or value in ({}, []):
        return
    if isinstance(value, dict) and depth:
        for key, inner in value.items():
            yield from _leaves(f"{path}.{quoted(key)}", inner, depth - 1)
    elif isinstance(value, list) and depth:
        for element in value:
            yield from _leaves(f"{path}[]", element, depth - 1)
    else:
        yield path, value


def fingerprint(leftover: dict[str, Any], depth: int = _DEPTH) -> tuple[Any, ...]:
    """Equal only for records whose leftovers have the same leaves; cheap where little is nested."""
    values = leftover.values()
    types = tuple(map(type, values))
    if dict not in types and list not in types:
        return tuple(leftover), types
    nested = []
    for value in values:
        if value.__class__ is dict:
            nested.append(fingerprint(value, depth - 1) if value and depth else None)
        elif value.__class__ is list:
            nested.append(_elements(value, depth - 1) if value and depth else None)
    return tuple(leftover), types, tuple(nested)


def _elements(values: list[Any], depth: int) -> Any:
    types = frozenset(map(type, values))
    if not depth or (dict not in types and list not in types):
        return types
    inner = set()
    for value in values:
        if value and value.__class__ is dict:
            inner.add(fingerprint(value, depth - 1))
        elif value and value.__class__ is list:
            inner.add(_elements(value, depth - 1))
    return types, frozenset(inner)
