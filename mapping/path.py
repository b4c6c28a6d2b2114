"""Source paths: how a mapping names a place in a raw record.

Steps are joined by `.`; `[]` after a step means each element of an array: `lines.data[].price.id`. A step with other
characters than letters, digits, `_`, `-`, `@`, `$`, `:`, `/` or space is written as a JSON string, as in JMESPath:
`properties."a.b"`. What is read there, and what is left over, is decided in `mapping.source_tree`.
"""

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from typing import Any, Final

from schemas.failures import Misconfigured


class Missing(Enum):
    """The value of a place that isn't in the record; JSON null is None."""

    MISSING = "missing"


MISSING: Final = Missing.MISSING


class Each(Enum):
    """The step `[]`: every element of an array."""

    EACH = "[]"


EACH: Final = Each.EACH

Step = str | Each

_PLAIN: Final = re.compile(r"[A-Za-z0-9_\-@$:/ ]+")
_QUOTED: Final = re.compile(r'"(?:[^"\\]|\\.)*"', re.DOTALL)


class InvalidPath(Misconfigured):
    """The text is no source path."""


@dataclass(frozen=True, slots=True)
class Path:
    """A parsed source path; `str()` gives back the text that parses to it."""

    steps: tuple[Step, ...]

    def __str__(self) -> str:
        text = ""
        for step in self.steps:
            text += "[]" if step is EACH else quoted(str(step)) if not text else "." + quoted(str(step))
        return text

    @property
    def arrays(self) -> int:
        """How many `[]` steps it has."""
        return self.steps.count(EACH)

    def before_each(self) -> "Path":
        """The path of the outermost array; only of a path that has one."""
        return Path(self.steps[: self.steps.index(EACH)])

    def within(self, array: "Path | None") -> "tuple[Step, ...] | None":
        """The steps from an element of `array`; None if the path doesn't lead through one."""
        if array is None or self.steps[: len(array.steps) + 1] != (*array.steps, EACH):
            return None
        return self.steps[len(array.steps) + 1 :]

    def read(self, record: Any) -> Any:
        """The value there, or MISSING. A path with `[]` gives the list of the elements' values, flattened."""
        return _read(record, self.steps)

    def reader(self) -> Callable[[Any], Any]:
        """`read` as a function; quick for one or two plain steps, and for an array's elements or their keys."""
        if self.arrays == 1 and len(self.steps) - self.steps.index(EACH) <= 2 and self.steps[0] is not EACH:
            return self._array_reader()
        if self.arrays or not 1 <= len(self.steps) <= 2:
            return self.read
        first, last = self.steps[0], self.steps[-1]
        if len(self.steps) == 1:
            return lambda record: record.get(first, MISSING) if record.__class__ is dict else MISSING

        def read_inner(record: Any) -> Any:
            inner = record.get(first, MISSING) if record.__class__ is dict else MISSING
            return inner.get(last, MISSING) if inner.__class__ is dict else MISSING

        return read_inner

    def _array_reader(self) -> Callable[[Any], Any]:
        array, key = self.before_each().reader(), self.steps[-1]

        def read_elements(record: Any) -> Any:
            value = array(record)
            if value.__class__ is not list:
                return MISSING
            if key is EACH:
                return value
            return [element.get(key, MISSING) if element.__class__ is dict else MISSING for element in value]

        return read_elements


def _read(value: Any, steps: tuple[Step, ...]) -> Any:
    for index, step in enumerate(steps):
        if step is EACH:
            if not isinstance(value, list):
                return MISSING
            return _flat([_read(element, steps[index + 1 :]) for element in value], EACH in steps[index + 1 :])
        if not isinstance(value, dict) or step not in value:
            return MISSING
        value = value[step]
    return value


def _flat(values: list[Any], nested: bool) -> list[Any]:
    if not nested:
        return values
    return [inner for value in values for inner in (value if isinstance(value, list) else [value])]


def quoted(step: str) -> str:
    """One object key as it stands in a path."""
    return step if _PLAIN.fullmatch(step) else json.dumps(step)


def parse(text: str) -> Path:
    """The path that `text` writes. Raises InvalidPath."""
    steps: list[Step] = []
    position = 0
    while position < len(text) or not steps:
        if text.startswith("[]", position) and steps:
            steps.append(EACH)
            position += 2
            continue
        if steps:
            if text[position] != ".":
                raise InvalidPath(f"source path {text!r}: expected '.' or '[]' at {position}")
            position += 1
        step, position = _parse_step(text, position)
        steps.append(step)
    return Path(tuple(steps))


def _parse_step(text: str, position: int) -> tuple[str, int]:
    found = _QUOTED.match(text, position)
    if found:
        try:
            return json.loads(found.group()), found.end()
        except ValueError as error:
            raise InvalidPath(f"source path {text!r}: not a JSON string at {position}") from error
    found = _PLAIN.match(text, position)
    if not found:
        raise InvalidPath(f"source path {text!r}: expected a name at {position}")
    return found.group(), found.end()
