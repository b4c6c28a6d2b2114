"""Reads one YAML document into plain values, and remembers on which line each of them stands.

What YAML can do beyond that is refused: aliases (a few lines of them stand for billions of values), tags, several
documents, a key twice. Plain words are what YAML 1.2 says (`no` and `on` are texts). What the values mean is not known
here.
"""

import re
from dataclasses import dataclass
from typing import Any, Final

import yaml

from registry.errors import InvalidMapping

LARGEST_CHARS: Final = 8 * 1024 * 1024
DEEPEST: Final = 20

INTEGER: Final = re.compile(r"[-+]?[0-9]{1,30}")
NUMBER: Final = re.compile(r"[-+]?(?:\.[0-9]{1,30}|[0-9]{1,30}(?:\.[0-9]{0,30})?)(?:[eE][-+]?[0-9]{1,3})?")
CONSTANTS: Final[dict[str, bool | None]] = {"true": True, "false": False, "null": None, "~": None, "": None}

Place = tuple[str | int, ...]
"""Keys and indexes that lead to a value."""


class UnreadableYaml(InvalidMapping):
    """The text is no YAML document that is read here. `line` counts from 1; `remedy` says what to do."""

    def __init__(self, line: int, problem: str, remedy: str) -> None:
        super().__init__(f"line {line}: {problem}; {remedy}")
        self.line, self.problem, self.remedy = line, problem, remedy


@dataclass(frozen=True)
class Document:
    """`value`: dicts with text keys, lists, texts, numbers, booleans, None. `lines`: of the key or item at a place."""

    value: Any
    lines: dict[Place, int]

    def line(self, place: Place) -> int:
        """The line of the value at `place`, or of the innermost one around it that is there."""
        while place and place not in self.lines:
            place = place[:-1]
        return self.lines.get(place, 1)


@dataclass
class _Open:
    """A mapping or sequence whose end has not come. `key`: read, its value has not come."""

    value: dict[str, Any] | list[Any]
    place: Place
    key: str | None = None


def read_document(text: str) -> Document:
    """The document of `text`. Raises UnreadableYaml."""
    if len(text) > LARGEST_CHARS:
        raise UnreadableYaml(1, f"more than {LARGEST_CHARS // 2**20} MiB", "split the file")
    reader = _Reader()
    try:
        # Events, not nodes: no alias is followed and no recursion into what is nested, whatever the text.
        for event in yaml.parse(text, Loader=yaml.CSafeLoader):
            reader.take(event)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        raise UnreadableYaml(mark.line + 1 if mark else 1, f"not YAML: {error.problem}", "mend the syntax") from error
    except (yaml.YAMLError, UnicodeError) as error:
        raise UnreadableYaml(1, "a character that YAML forbids", "save it as UTF-8 text") from error
    return Document(reader.root, reader.lines)


class _Reader:
    """Builds the value event by event."""

    def __init__(self) -> None:
        self.root: Any = None
        self.lines: dict[Place, int] = {}
        self._open: list[_Open] = []
        self._documents = 0

    def take(self, event: yaml.Event) -> None:
        line = event.start_mark.line + 1 if event.start_mark else 1
        match event:
            case yaml.DocumentStartEvent():
                self._documents += 1
                if self._documents > 1:
                    raise UnreadableYaml(line, "a second document", "put it into a file of its own")
            case yaml.AliasEvent():
                raise UnreadableYaml(line, f"an alias, *{event.anchor}", "write out what it stands for")
            case yaml.ScalarEvent() | yaml.CollectionStartEvent() if event.tag is not None:
                raise UnreadableYaml(line, f"a tag, {event.tag}", "write the plain value")
            case yaml.ScalarEvent():
                self._scalar(event, line)
            case yaml.MappingStartEvent():
                self._start({}, line)
            case yaml.SequenceStartEvent():
                self._start([], line)
            case yaml.CollectionEndEvent():
                self._open.pop()

    def _scalar(self, event: yaml.ScalarEvent, line: int) -> None:
        inner = self._open[-1] if self._open else None
        if inner is not None and isinstance(inner.value, dict) and inner.key is None:
            if event.value in inner.value:
                raise UnreadableYaml(line, f"the key {event.value!r} for the second time", "leave one of the two")
            inner.key = event.value
            self.lines[*inner.place, event.value] = line
            return
        self._add(_resolved(event.value) if event.implicit[0] else event.value, line)

    def _start(self, value: dict[str, Any] | list[Any], line: int) -> None:
        if len(self._open) == DEEPEST:
            raise UnreadableYaml(line, f"nested more than {DEEPEST} deep", "mappings need less; flatten it")
        inner = self._open[-1] if self._open else None
        if inner is not None and isinstance(inner.value, dict) and inner.key is None:
            raise UnreadableYaml(line, "a key that is no text", "quote it")
        self._open.append(_Open(value, self._add(value, line)))

    def _add(self, value: Any, line: int) -> Place:
        if not self._open:
            self.root = value
            return ()
        inner = self._open[-1]
        if isinstance(inner.value, dict):
            assert inner.key is not None
            inner.value[inner.key] = value
            place: Place = (*inner.place, inner.key)
            inner.key = None
            return place
        place = (*inner.place, len(inner.value))
        self.lines[place] = line
        inner.value.append(value)
        return place


def _resolved(text: str) -> str | int | float | bool | None:
    """A plain word as YAML 1.2's core schema reads it (yaml.org/spec/1.2.2, 10.3.2), decimal numbers only."""
    if text in CONSTANTS:
        return CONSTANTS[text]
    if INTEGER.fullmatch(text):
        return int(text)
    return float(text) if NUMBER.fullmatch(text) else text
