"""Fields from records: types merged, presence, formats, words; stable whatever the samples leave out."""

import json
import random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from connectors.discover_samples import Samples, discover_samples, fields_of_samples, records_in
from connectors.discovery import as_json
from schemas.failures import InvalidRecord

RECORDS: list[dict[str, Any]] = [
    {
        "id": f"cus_{number}",
        "email": f"someone{number}@example.com",
        "created": 1_700_000_000 + number,
        "amount": number if number % 2 else number + 0.5,
        "status": ["active", "past_due"][number % 2],
        "city": ["Bern", "Ulm"][number % 2],
        "odd": number if number % 2 else str(number),
        "address": {"zip.code": "8000"} if number < 10 else None,
        "lines": [{"sku": "a"}, {"sku": "b"}],
        "never": None,
        "empty": {},
    }
    for number in range(40)
]


def test_fields_and_what_is_known_of_them() -> None:
    (entity,) = discover_samples(RECORDS, "customer").entities
    fields = {field.path: field for field in entity.schema.fields}
    assert list(fields) == [
        'address."zip.code"',
        "amount",
        "city",
        "created",
        "email",
        "id",
        "lines[].sku",
        "odd",
        "status",
    ]
    assert fields["amount"].types == ("number",)
    assert fields["odd"].types == ("integer", "string")
    assert (fields["email"].format, fields["created"].format) == ("email", "epoch-seconds")
    assert fields["status"].enum == ("active", "past_due")
    assert fields["city"].enum == ()  # a name, not a vocabulary
    assert all(field.nullable for field in fields.values())
    assert entity.schema.primary_key == ("id",)
    assert (entity.origin, entity.samples) == ("sample", 40)
    told = {field["path"]: field for field in as_json(discover_samples(RECORDS, "customer"))["entities"][0]["fields"]}
    assert told['address."zip.code"']["presence"] == 0.25
    assert told["email"]["shapes"] == ["aaaaaaa99@aaaaaaa.aaa", "aaaaaaa9@aaaaaaa.aaa"]
    assert "example.com" not in json.dumps(told)


def test_order_and_nulls_leave_the_fingerprint_alone() -> None:
    shuffled = [dict(reversed(record.items())) for record in RECORDS]
    random.Random(1).shuffle(shuffled)
    without_nulls = [{name: value for name, value in record.items() if value is not None} for record in RECORDS]
    prints = {
        discover_samples(records, "customer").entities[0].schema.fingerprint
        for records in (RECORDS, shuffled, without_nulls)
    }
    assert len(prints) == 1


def test_a_key_is_in_each_record_and_differs() -> None:
    (entity,) = discover_samples([{"id": 1, "uuid": "a"}, {"id": 1, "uuid": "b"}], "thing").entities
    assert entity.schema.primary_key == ("uuid",)
    (entity,) = discover_samples([{"id": 1}, {"name": "x"}], "thing").entities
    assert entity.schema.primary_key == ()


@pytest.mark.parametrize(
    ("value", "count"),
    [
        ([{"a": 1}, {"a": 2}], 2),
        ({"data": [{"a": 1}, {"a": 2}], "has_more": True}, 2),
        ({"customers": [{"a": 1}], "count": 1}, 1),
        ({"response": {"x": 1}, "result": {"items": [{"a": 1}, {"a": 2}]}}, 2),
        ({"result": {"items": [{"a": 1}, {"a": 2}]}}, 2),
        ({"id": 1, "lines": [{"a": 1}, {"a": 2}]}, 1),
        ({"a": 1}, 1),
        (3, 0),
        ([1, "x"], 0),
    ],
)
def test_where_the_records_are(value: Any, count: int) -> None:
    assert len(records_in(value)) == count


@pytest.mark.parametrize("value", [[], {}, None, "x", [{}], [{"a": None}]])
def test_no_records(value: Any) -> None:
    with pytest.raises(InvalidRecord, match="no records"):
        discover_samples(value, "thing")


def test_a_record_of_very_many_fields() -> None:
    samples = Samples()
    for start in range(0, 5_000, 1_000):
        samples.take({f"f{number}": 1 for number in range(start, start + 1_000)})
    assert samples.cut
    assert len(samples.fields()) == 2_000


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=10,
)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.dictionaries(st.text(max_size=3), JSON, max_size=4), max_size=5))
def test_any_records(records: list[dict[str, Any]]) -> None:
    forwards, backwards = fields_of_samples(records), fields_of_samples(records[::-1])
    assert [(f.path, f.types) for f in forwards] == [(f.path, f.types) for f in backwards]
