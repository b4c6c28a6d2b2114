"""Figures of a few queries, by hand."""

import numpy as np
import pytest

from inference.evaluate_matcher import Judged, corrected_locally
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
        "rag_hit_rate": 1.0,
        "hit_precision": 0.75,
        "unseen_hit_rate": 0.75,
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


def test_each_vendor_is_corrected_by_how_the_others_turned_out() -> None:
    """Said: 0.8. True of all but one vendor's fields; in another origin of none."""
    size = 600
    vendors = np.array([f"v{number % 30}" for number in range(size)] * 2)
    right = np.concatenate([np.arange(size) % 30 != 0, np.zeros(size, np.bool_)])
    judged = Judged(
        origins=np.array(["true"] * size + ["false"] * size),
        vendors=vendors,
        probability=np.full(2 * size, 0.8),
        right=right,
        nothing=np.full(2 * size, 0.1),
        reciprocal_rank=right.astype(float),
        mapped=np.ones(2 * size, np.bool_),
        renamed=np.zeros(2 * size, np.bool_),
    )
    found = corrected_locally(judged)
    usual = found.only((found.origins == "true") & (found.vendors == "v1"))
    odd = found.only((found.origins == "true") & (found.vendors == "v0"))
    assert odd.probability[0] > usual.probability[0] > 0.9
    assert found.only(found.origins == "false").probability.max() < 0.2
    assert len(found.mapped) == 2 * size
