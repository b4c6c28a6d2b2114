import json
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mapping.decode_json import decode, dump
from schemas.failures import InvalidRecord

values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=10,
)


@given(
    st.dictionaries(st.text(max_size=5), values, max_size=4),
    st.sampled_from([(",", ":"), (", ", ": "), (" , ", " : ")]),
)
def test_decodes_every_value_exactly(record: dict[str, Any], separators: tuple[str, str]) -> None:
    text = json.dumps(record, separators=separators)
    if any(0xD800 <= ord(c) <= 0xDFFF for c in json.dumps(record, ensure_ascii=False)):
        with pytest.raises(InvalidRecord):
            decode(text.encode())
        return
    assert decode(text.encode()) == record
    assert json.loads(dump(decode(text.encode()))) == record


@given(st.binary(max_size=60))
def test_any_bytes_are_an_object_or_refused(value: bytes) -> None:
    try:
        record = decode(value)
    except InvalidRecord:
        return
    assert isinstance(record, dict)


@pytest.mark.parametrize(
    "value",
    [
        b"",
        b"nul",
        b"[]",
        b"null",
        b'"text"',
        b'{"a":NaN}',
        b'{"a":Infinity}',
        b'{"a":1,"a":2}',
        b'{"a" :1,"a" :2}',
        b'{"n":{"a":1,"a":1}}',
        b'{"a":"\\u003a","b":1,"b":2}',
        b'{"a":"\\ud800"}',
        b'{"a":"\xff"}',
        b'{"a":' + b"[" * 1000 + b"]" * 1000 + b"}",
        b'{"a":' + b"9" * 5000 + b"}",
        b'{"a":1e999999999}',
    ],
)
def test_what_cannot_be_kept_whole_is_refused(value: bytes) -> None:
    if value == b'{"a":1e999999999}':
        assert decode(value)["a"] == Decimal("1e999999999")
        return
    with pytest.raises(InvalidRecord):
        decode(value)


def test_numbers_beyond_a_double_stay_exact() -> None:
    record = decode(b'{"big": 123456789012345678901234567890, "fine": 0.1000000000000000055511151231257827, "f": 1.5}')
    assert record["big"] == Decimal("123456789012345678901234567890")
    assert dump(record["big"]) == b"123456789012345678901234567890"
    assert dump(record["fine"]) == b"0.1000000000000000055511151231257827"
    assert record["f"] == 1.5


def test_deep_objects_come_out_whole() -> None:
    record: Any = {"leaf": 1}
    for _ in range(200):
        record = {"in": record}
    assert decode(json.dumps(record).encode()) == record


def test_refusals_never_quote_the_record() -> None:
    with pytest.raises(InvalidRecord) as refused:
        decode(b'{"secret-key":"secret-value",}')
    assert "secret" not in str(refused.value)
