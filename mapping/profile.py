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


class Shapes:
    """Which leftovers have been seen, told by their keys and types alone: equal only if the leaves are.

    What is nested is remembered by the key it stands under, so a record of parts that were each seen is known.
    """

    def __init__(self) -> None:
        self._tops: dict[Any, tuple[str, ...]] = {}  # keys and types → the keys of what is nested
        self._nested: dict[str, set[Any]] = {}

    def __len__(self) -> int:
        return len(self._tops)

    def knows(self, leftover: dict[str, Any]) -> bool:
        """Whether all leaves of `leftover` have been seen."""
        nested = self._tops.get((tuple(leftover), tuple(map(type, leftover.values()))))
        if nested is None:
            return False
        for key in nested:
            value = leftover[key]
            if value and _shape(value) not in self._nested[key]:
                return False
        return True

    def add(self, leftover: dict[str, Any]) -> None:
        """`leftover` has been seen."""
        nested = tuple(key for key, value in leftover.items() if value.__class__ in _CONTAINERS)
        self._tops[tuple(leftover), tuple(map(type, leftover.values()))] = nested
        for key in nested:
            self._nested.setdefault(key, set()).add(_shape(leftover[key]))


_CONTAINERS: Final = frozenset({dict, list})


def _shape(value: Any, depth: int = _DEPTH) -> Any:
    """Keys and types of an object or array and of all in it; of an array, without order or number."""
    if value.__class__ is list:
        types = frozenset(map(type, value))
        if not depth or types.isdisjoint(_CONTAINERS):
            return types
        return types, frozenset(_shape(inner, depth - 1) for inner in value if inner and inner.__class__ in _CONTAINERS)
    by_key = tuple(map(type, value.values()))
    if not depth or _CONTAINERS.isdisjoint(by_key):
        return tuple(value), by_key
    nested = [_shape(v, depth - 1) if v else None for v in value.values() if v.__class__ in _CONTAINERS]
    return tuple(value), by_key, tuple(nested)
