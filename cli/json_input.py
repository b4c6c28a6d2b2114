"""Splits JSON input into records, each with its bytes as they stand: JSON Lines, an array, or one object.

A raw record is the vendor's own text: it is never written anew here, so its numbers and escapes stay as they are.
"""

import io
import json
from collections.abc import Iterator
from typing import BinaryIO

from schemas.failures import InvalidRecord

_BOM = b"\xef\xbb\xbf"
_BLANK = " \t\r\n"


def split_records(source: BinaryIO) -> Iterator[tuple[str, bytes]]:
    """(where it stands, its JSON) of each record. JSON Lines are read as they come, other forms whole.

    Raises:
        InvalidRecord: what is there is none of the three forms; names the line or element.
    """
    lines = io.BufferedReader(source) if isinstance(source, io.RawIOBase) else source
    number, first = _first_line(lines)
    if not first:
        return
    if first.startswith(b"[") or not _is_json(first):
        yield from _elements(_decoded(first + lines.read()))
        return
    yield f"line {number}", first.strip()
    for later, line in enumerate(lines, start=number + 1):
        if line.strip():
            yield f"line {later}", line.strip()


def _first_line(lines: BinaryIO) -> tuple[int, bytes]:
    for number, line in enumerate(lines, start=1):
        text = (line.removeprefix(_BOM) if number == 1 else line).lstrip()
        if text:
            return number, text
    return 0, b""


def _elements(text: str) -> Iterator[tuple[str, bytes]]:
    """The elements of an array, or an object over several lines."""
    decoder = json.JSONDecoder(parse_int=str, parse_float=str)
    start = 1 if text.startswith("[") else 0
    position, count = _skip(text, start), 0
    if start and text[position : position + 1] == "]":
        _expect_end(text, position + 1)
        return
    while True:
        count += 1
        where = f"element {count}" if start else "the object"
        end = _end_of_value(decoder, text, position, where)
        yield where, text[position:end].encode()
        position = _skip(text, end)
        if not start:
            return _expect_end(text, position)
        if text[position : position + 1] == "]":
            return _expect_end(text, position + 1)
        if text[position : position + 1] != ",":
            raise InvalidRecord(f"after {where}: expected ',' or ']'")
        position = _skip(text, position + 1)


def _end_of_value(decoder: json.JSONDecoder, text: str, position: int, where: str) -> int:
    try:
        return decoder.raw_decode(text, position)[1]
    except json.JSONDecodeError as error:
        raise InvalidRecord(f"{where}: not JSON: {error.msg} (line {error.lineno})") from None
    except RecursionError:
        raise InvalidRecord(f"{where}: nested too deeply") from None


def _expect_end(text: str, position: int) -> None:
    if text[position:].strip(_BLANK):
        raise InvalidRecord("there is more after the end of the JSON: neither JSON Lines, an array nor one object")


def _skip(text: str, position: int) -> int:
    while position < len(text) and text[position] in _BLANK:
        position += 1
    return position


def _is_json(line: bytes) -> bool:
    try:
        json.loads(line)
    except (ValueError, RecursionError):
        return False
    return True


def _decoded(data: bytes) -> str:
    try:
        return data.decode()
    except UnicodeDecodeError:
        raise InvalidRecord("the input is not UTF-8") from None
