"""Probabilities corrected by what turned out: monotone, careful with little, quick to learn from much."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mapping.local_calibration import Curve, LocalCalibration, Outcomes, fit_curve, fit_local

FIELDS = 3_000
SOURCES = np.arange(FIELDS) % 30


def said(seed: int = 1) -> np.ndarray:
    return np.random.default_rng(seed).uniform(0.01, 0.99, FIELDS)


def drawn(probability: np.ndarray) -> np.ndarray:
    return np.random.default_rng(2).uniform(size=FIELDS) < probability


@pytest.mark.parametrize("truth", [Curve(1.5, 1.0), Curve(0.7, -0.4), Curve()])
def test_a_curve_is_found_again(truth: Curve) -> None:
    found = fit_curve(said(), drawn(truth(said())), SOURCES)
    assert (found.slope, found.shift) == pytest.approx((truth.slope, truth.shift), abs=0.15)


def test_errors_that_go_together_by_source_count_less() -> None:
    truth = np.clip(said() * 0.6, 0, 1)
    apart = drawn(truth)
    together = (np.random.default_rng(3).uniform(size=30) < 0.4)[SOURCES] | apart  # whole sources are easy
    alone = fit_curve(said(), together, np.arange(FIELDS))
    clustered = fit_curve(said(), together, SOURCES)
    assert abs(clustered.slope - 1) < abs(alone.slope - 1)


@given(
    st.lists(st.tuples(st.floats(0, 1), st.booleans(), st.integers(0, 5)), min_size=1, max_size=60),
    st.lists(st.floats(0, 1), min_size=2, max_size=20),
)
def test_any_outcomes_keep_the_order(rows: list[tuple[float, bool, int]], asked: list[float]) -> None:
    probability, came_true, sources = (np.array(column) for column in zip(*rows, strict=True))
    corrected = fit_curve(probability, came_true.astype(bool), sources)(np.sort(np.array(asked)))
    assert np.all(np.isfinite(corrected))
    assert np.all((corrected >= 0) & (corrected <= 1))
    assert np.all(np.diff(corrected) >= 0)


def outcomes(fields: int, sources: int) -> Outcomes:
    right = np.ones(fields, bool)
    return Outcomes(np.arange(fields) % sources, np.full(fields, 0.8), right, np.full(fields, 0.1), ~right)


def test_few_fields_or_few_sources_change_nothing() -> None:
    right, nothing = np.array([[0.8, 0.1], [0.2, 0.3]]), np.array([0.1, 0.6])
    for few in (outcomes(150, 30), outcomes(1_000, 5), outcomes(205, 30).without(0)):
        local = fit_local(few)
        assert (local.mark, local.fields) == ("", 0)
        assert local.applied(right, nothing)[0] is right


def test_nothing_never_exceeds_what_the_best_candidate_leaves_over() -> None:
    local = fit_local(outcomes(400, 20))
    assert local.fields == 400
    assert local.mark.startswith("+")
    right, nothing = local.applied(np.array([[0.8, 0.1], [0.2, 0.3]]), np.array([0.2, 0.7]))
    assert right[0, 0] > 0.9
    assert np.all(nothing <= 1 - right.max(axis=1))


def test_as_shipped_is_no_correction() -> None:
    assert LocalCalibration().mark == ""
    assert Curve()(np.array([0.0, 0.3, 1.0])) == pytest.approx([0.0, 0.3, 1.0], abs=1e-8)
