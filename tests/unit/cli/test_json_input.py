"""JSON input is split into records without changing a byte of them."""

import io
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cli.json_input import split_records
from schemas.failures import InvalidRecord


def records(data: bytes) -> list[bytes]:
    return [value for _, value in split_records(io.BytesIO(data))]


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"", []),
        (b" \n\n", []),
        (b'{"a":1.10}\n\n {"b":2} \r\n', [b'{"a":1.10}', b'{"b":2}']),
        (b'\xef\xbb\xbf{"a":1}', [b'{"a":1}']),
        (b"[]", []),
        (b'[\n {"a": 1.10},\n {"b": [1, 2]} ]\n', [b'{"a": 1.10}', b'{"b": [1, 2]}']),
        (b'{\n "a": 1e400\n}\n', [b'{\n "a": 1e400\n}']),
        ('{"a":"ü"}'.encode(), ['{"a":"ü"}'.encode()]),
        (b'{"a":1}\n{broken', [b'{"a":1}', b"{broken"]),  # a line's content is the caller's to judge
    ],
)
def test_three_forms(data: bytes, expected: list[bytes]) -> None:
    assert records(data) == expected


def test_records_are_named() -> None:
    assert [where for where, _ in split_records(io.BytesIO(b'\n{"a":1}\n\n{}'))] == ["line 2", "line 4"]
    assert [where for where, _ in split_records(io.BytesIO(b"[{},{}]"))] == ["element 1", "element 2"]


def test_lines_come_one_by_one() -> None:
    """A pipe that stays open is not read to its end."""

    class Endless(io.RawIOBase):
        def readable(self) -> bool:
            return True

        def readinto(self, buffer: object) -> int:
            line = b'{"a":1}\n'
            buffer[: len(line)] = line  # type: ignore[index]  # a writable buffer
            return len(line)

    found = split_records(io.BufferedReader(Endless()))
    assert [next(found)[1] for _ in range(3)] == [b'{"a":1}'] * 3


@pytest.mark.parametrize(
    "data", [b"[", b"[{}", b"[{},]", b"[{}}", b"[{}] x", b"{broken\n{", b"[\xff]", b'{\n"a":1} {}']
)
def test_what_is_refused(data: bytes) -> None:
    with pytest.raises(InvalidRecord):
        records(data)


OBJECTS = st.lists(
    st.dictionaries(st.text(max_size=5), st.one_of(st.text(max_size=5), st.floats(allow_nan=False), st.none()))
)


@given(OBJECTS, st.sampled_from([None, 1]))
def test_an_array_and_lines_hold_the_same(objects: list[dict[str, object]], indent: int | None) -> None:
    lines = "\n".join(json.dumps(item) for item in objects).encode()
    array = json.dumps(objects, indent=indent).encode()
    assert list(map(json.loads, records(array))) == list(map(json.loads, records(lines)))
