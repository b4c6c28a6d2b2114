"""What is learnt of values: enough to match a field by, and none of the values."""

from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mapping.profiler import VALUES_OF_A_RECORD, Profiler, changed_much
from mapping.value_format import value_format
from schemas.messages import FieldProfile

scalars = st.booleans() | st.integers() | st.floats() | st.text() | st.decimals(allow_nan=False)


def profiled(values: list[Any]) -> FieldProfile:
    profiler = Profiler(0)
    for number, value in enumerate(values):
        profiler.take(number, value)
    return profiler.profile(len(values))


@pytest.mark.parametrize(
    ("value", "name"),
    [
        ("ann@example.com", "email"),
        ("2026-11-24", "date"),
        ("2026-11-24T09:30:00.000+00:00", "date-time"),
        ("2026-11-24 09:30:00", "date-time"),
        ("https://example.com/a?b", "uri"),
        ("0b6f1d1e-5f0c-4c1b-9d63-000000000000", "uuid"),
        (1_764_000_000, "epoch-seconds"),
        (1_764_000_000_123, "epoch-millis"),
        ("1764000000", "epoch-seconds"),
        ("12.50", "number"),
        ("+49 30 901820", "phone"),
        ("eur", "currency"),
        ("DE", "alpha-2"),
        ("en-US", "locale"),
        ("yes", "boolean"),
        (1_250, None),
        (True, None),
        ("words, words", None),
        ("", None),
    ],
)
def test_formats(value: Any, name: str | None) -> None:
    assert value_format(value) == name


@given(st.lists(scalars, min_size=1, max_size=40))
def test_any_values_give_a_profile_that_holds_none_of_them(values: list[Any]) -> None:
    profile = profiled(values)
    assert profile.present == len(values)
    assert 0 <= (profile.distinct_ratio or 0) <= 1
    told = profile.model_dump(exclude={"format"})
    assert not [part for part in told.values() if isinstance(part, str)]


def test_a_number_of_any_size_costs_no_more() -> None:
    assert profiled([Decimal("1e1000000"), 10**5000, 1e300]).magnitudes is not None
    assert profiled([0, 7, 1234]).magnitudes == (1, 4)
    assert profiled([1, 2]).whole is True
    assert profiled([1, 2.5]).whole is False


def test_words_are_counted_where_they_repeat() -> None:
    assert profiled(["open", "won", "lost"] * 10).words == 3
    assert profiled(["open", "won", "lost"]).words is None
    assert profiled([f"n{n}" for n in range(30)]).words is None


def test_a_long_array_counts_as_one_record() -> None:
    profiler = Profiler(1)
    for value in range(1_000):
        profiler.take(1, value)
    assert (profiler.present, profiler.values) == (1, VALUES_OF_A_RECORD)


def test_what_much_change_is() -> None:
    few = profiled(["a@b.co"])
    assert not changed_much(few, profiled(["c@d.co"] * 3))
    assert changed_much(few, profiled(["c@d.co"] * 3 + ["?"]))
    assert changed_much(FieldProfile(records=1, present=1), FieldProfile(records=100, present=50))
    assert not changed_much(FieldProfile(records=1, present=1), FieldProfile(records=100, present=2))
