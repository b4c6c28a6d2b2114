"""Fields are told apart by what stands around them."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mapping.field_groups import group_signals, groups_of

TARGETS = ("name", "addresses[].street", "addresses[].city", "addresses[].country")


@pytest.mark.parametrize(
    ("paths", "groups", "names"),
    [
        (
            ["BillingCity", "BillingStreet", "BillingCountry", "Name"],
            [("", "billing")] * 3 + [("", "")],
            ["City", "Street", "Country", "Name"],
        ),
        (
            ["address1_city", "address1_line1", "address1_country", "address2_city"],
            [("", "address1")] * 3 + [("", "")],
            ["_city", "_line1", "_country", "address2_city"],
        ),
        (["home.city", "home.street"], [("home", "")] * 2, ["city", "street"]),
        (["OtherCity", "OtherStreet"], [("", "")] * 2, ["OtherCity", "OtherStreet"]),
    ],
)
def test_three_that_begin_alike_or_lie_in_one_object_are_a_group(
    paths: list[str], groups: list[tuple[str, str]], names: list[str]
) -> None:
    assert groups_of(paths) == (groups, names)


def test_a_group_that_is_like_a_canonical_one_speaks_for_its_members_and_the_first_leads() -> None:
    paths = ["name", "bill.street", "bill.city", "bill.country", "ship.street", "ship.city", "ship.country"]
    alike = np.zeros((7, 4), np.float32)
    alike[0, 0] = 1
    for row, column in enumerate((1, 2, 3, 1, 2, 3), start=1):
        alike[row, column] = 1
    groups, _ = groups_of(paths)
    found = group_signals(groups, TARGETS, alike)
    assert found["group_rest"][1:, 1:] == pytest.approx(np.full((6, 3), 2.0))
    assert found["group_first"][1:4, 1:].min() > 0
    assert found["group_first"][4:, 1:].max() <= 0
    assert found["group_lead"][0, 1:].max() < 0
    assert not any(grid[:, 0].any() for grid in found.values())  # `name` is in no group


@given(st.lists(st.text(max_size=12), min_size=1, max_size=12))
def test_any_names_give_finite_signals_of_the_same_shape(paths: list[str]) -> None:
    groups, names = groups_of(paths)
    assert len(groups) == len(names) == len(paths)
    alike = np.linspace(0, 1, len(paths) * 4, dtype=np.float32).reshape(-1, 4)
    for grid in group_signals(groups, TARGETS, alike).values():
        assert grid.shape == alike.shape
        assert np.isfinite(grid).all()
