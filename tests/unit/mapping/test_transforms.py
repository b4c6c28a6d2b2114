from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mapping.mapping_set import Transform
from mapping.path import MISSING
from mapping.transforms import InvalidTransform, Unconvertible, build_step, format_timestamp
from schemas.canonical_model import FieldKind as Kind

json_values = st.one_of(
    st.booleans(),
    st.integers(-(2**63), 2**63 - 1),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(max_size=12),
    st.lists(st.text(max_size=3), max_size=3),
    st.dictionaries(st.text(max_size=3), st.booleans(), max_size=2),
    st.decimals(allow_nan=False, allow_infinity=False),
)
every_step = [
    ("copy", {}, Kind.STRING),
    ("copy", {}, Kind.LONG),
    ("copy", {}, Kind.DOUBLE),
    ("copy", {}, Kind.BOOLEAN),
    ("copy", {}, Kind.DECIMAL),
    ("to_string", {}, Kind.STRING),
    ("number", {}, Kind.DECIMAL),
    ("number", {}, Kind.LONG),
    ("boolean", {}, Kind.BOOLEAN),
    ("negate", {}, Kind.BOOLEAN),
    ("upper", {}, Kind.STRING),
    ("lower", {}, Kind.STRING),
    ("trim", {}, Kind.STRING),
    ("epoch_seconds", {}, Kind.TIMESTAMP),
    ("epoch_millis", {}, Kind.TIMESTAMP),
    ("iso_time", {}, Kind.TIMESTAMP),
    ("iso_date", {}, Kind.DATE),
    ("scale", {"factor": "0.01"}, Kind.DECIMAL),
    ("enum", {"values": {"paid": "paid", "open": "open"}, "otherwise": "other"}, Kind.STRING),
    ("join", {}, Kind.STRING),
    ("split_name", {"part": "first"}, Kind.STRING),
    ("first", {}, Kind.STRING),
    ("split", {"separator": ","}, Kind.STRING),
    ("to_json", {}, Kind.STRING),
    ("truncate", {"length": 3}, Kind.STRING),
]


@pytest.mark.parametrize(("op", "params", "kind"), every_step)
@given(value=json_values)
def test_every_value_converts_or_says_why(op: str, params: dict[str, Any], kind: Kind, value: Any) -> None:
    step = build_step(Transform(op=op, params=params), kind)
    try:
        canonical, exact = step(value)
    except Unconvertible as reason:
        text = str(reason)
        assert text.isprintable()
        return
    assert isinstance(exact, bool)
    if kind is Kind.STRING:
        assert isinstance(canonical, list if op == "split" else str)
    elif kind in (Kind.TIMESTAMP, Kind.DATE, Kind.LONG):
        assert isinstance(canonical, int)
        assert -(2**63) <= canonical < 2**63
    elif kind is Kind.DECIMAL:
        assert canonical.scaleb(9) == int(canonical.scaleb(9))


@given(st.datetimes())
def test_canonical_iso_times_are_exact_and_round_trip(moment: Any) -> None:
    step = build_step(Transform(op="iso_time"), Kind.TIMESTAMP)
    micros, exact = step(moment.isoformat() + "+02:00")
    assert not exact
    if 0 < moment.year < 9999:
        text = format_timestamp(micros)
        assert step(text) == (micros, True)


@pytest.mark.parametrize(
    ("amount", "currency", "expected"),
    [(1234, "usd", "12.34"), (500, "JPY", "500"), (1234, "KWD", "1.234"), (-5, "eur", "-0.05")],
)
def test_minor_units_follow_iso_4217(amount: int, currency: str, expected: str) -> None:
    step = build_step(Transform(op="minor_units", inputs=("currency",)), Kind.DECIMAL)
    assert step(amount, currency) == (Decimal(expected), True)


@pytest.mark.parametrize("currency", [None, MISSING, "XXQ", 5])
def test_minor_units_without_a_known_currency_are_not_guessed(currency: Any) -> None:
    step = build_step(Transform(op="minor_units", inputs=("currency",)), Kind.DECIMAL)
    with pytest.raises(Unconvertible):
        step(100, currency)


@pytest.mark.parametrize(
    ("op", "params", "kind"),
    [
        ("eval", {}, Kind.STRING),
        ("copy", {}, Kind.TIMESTAMP),
        ("upper", {}, Kind.LONG),
        ("enum", {}, Kind.STRING),
        ("scale", {"factor": "x"}, Kind.DECIMAL),
        ("scale", {"factor": "0"}, Kind.DECIMAL),
        ("truncate", {"length": 0}, Kind.STRING),
        ("constant", {}, Kind.STRING),
        ("copy", {"unknown": 1}, Kind.STRING),
        ("minor_units", {}, Kind.DECIMAL),
    ],
)
def test_ill_fitting_transforms_are_refused(op: str, params: dict[str, Any], kind: Kind) -> None:
    with pytest.raises(InvalidTransform):
        build_step(Transform(op=op, params=params), kind)
