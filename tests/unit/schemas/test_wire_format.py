"""The five bytes in front of an Avro body."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.failures import InvalidRecord
from schemas.wire_format import frame, unframe


def test_golden_bytes() -> None:
    assert frame(1006) == b"\x00\x00\x00\x03\xee"


@given(st.integers(0, 2**32 - 1), st.binary())
def test_round_trip(schema_id: int, body: bytes) -> None:
    assert unframe(frame(schema_id) + body) == (schema_id, body)


@pytest.mark.parametrize("value", [b"", b"\x00\x00\x00\x00", b"\x01\x00\x00\x03\xee", b'{"a": 1}'])
def test_what_is_not_framed_is_an_invalid_record(value: bytes) -> None:
    with pytest.raises(InvalidRecord):
        unframe(value)
