"""Figures of a few queries, by hand."""

import numpy as np
import pytest

from inference.evaluate_matcher import Judged
from inference.match_figures import as_json, figures, reliability

JUDGED = Judged(
    origins=np.array(["o"] * 4),
    vendors=np.array(["a", "a", "b", "b"]),
    probability=np.array([0.99, 0.96, 0.90, 0.02]),
    right=np.array([True, False, True, False]),
    nothing=np.array([0.0, 0.01, 0.05, 0.98]),
    reciprocal_rank=np.array([1.0, 0.0, 1.0, 0.0]),
    mapped=np.array([True, False, True, False]),
    renamed=np.array([False, True, True, True]),
)


def test_figures_are_as_counted_by_hand() -> None:
    assert as_json(JUDGED) == {
        "fields": 4,
        "accuracy_at_1": 1.0,
        "mrr": 1.0,
        "ece": pytest.approx((abs(0.99 + 0.96 + 0.90 - 2) + 0.02) / 4),
        "rag_hit_rate": 0.75,
        "bands": {
            "0.95": {"precision": 0.5, "recall": 0.5, "coverage": 0.5},
            "0.85": {"precision": pytest.approx(2 / 3), "recall": 1.0, "coverage": 0.75},
        },
    }


def test_intervals_hold_the_value_and_are_always_the_same() -> None:
    first, second = figures(JUDGED), figures(JUDGED)
    assert first == second
    found = first["precision_0.95"]
    assert found.low is not None
    assert found.high is not None
    assert found.value is not None
    assert found.low <= found.value <= found.high


def test_nothing_to_count_is_no_figure() -> None:
    nobody = JUDGED.only(JUDGED.vendors == "c")
    assert as_json(nobody)["accuracy_at_1"] is None
    assert reliability(nobody) == []
