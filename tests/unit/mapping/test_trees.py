"""Trees without their library give what the library gives."""

import numpy as np
import pytest

from mapping.trees import Trees


def test_a_tree_of_two_leaves_decides_by_its_threshold() -> None:
    trees = Trees([[1], []], [[0.5], []], [[-1], []], [[-2], []], [[1.0, 2.0], [10.0]])
    assert trees.predict(np.array([[9.0, 0.5], [9.0, 0.6]])).tolist() == [11.0, 12.0]


def test_lightgbm_agrees() -> None:
    lightgbm = pytest.importorskip("lightgbm", reason="the extra `train` is not installed")
    from inference.fit_matcher import trees_of  # noqa: PLC0415

    random = np.random.default_rng(0)
    rows = random.normal(size=(500, 6))
    right = (rows[:, 0] + rows[:, 1] * rows[:, 2] > 0).astype(float)
    settings = {"objective": "binary", "num_leaves": 8, "verbosity": -1, "num_threads": 1}
    booster = lightgbm.train(settings, lightgbm.Dataset(rows, right), 20)
    ours = trees_of(booster.dump_model()).predict(rows)
    np.testing.assert_allclose(ours, booster.predict(rows, raw_score=True), rtol=0, atol=1e-12)
