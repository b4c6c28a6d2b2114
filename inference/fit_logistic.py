"""Fits a logistic regression over standardised signals. Needs scikit-learn, of the extra `train`."""

from collections.abc import Sequence
from importlib import import_module
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from mapping.score_model import Logistic
from schemas.failures import Misconfigured

REGULARISATION: Final = 0.1  # sklearn's C


def fit_logistic(
    signals: Sequence[str], rows: NDArray[Any], right: NDArray[np.bool_], weights: NDArray[Any]
) -> Logistic:
    """`rows` is (pairs, signals), the rest (pairs,)."""
    means = np.average(rows, axis=0, weights=weights)
    scales = np.sqrt(np.average((rows - means) ** 2, axis=0, weights=weights)) + 1e-6
    model = library("sklearn.linear_model").LogisticRegression(C=REGULARISATION, solver="newton-cholesky")
    fitted = model.fit((rows - means) / scales, right, sample_weight=weights)
    return Logistic(
        tuple(signals),
        tuple(map(float, means)),
        tuple(map(float, scales)),
        tuple(map(float, fitted.coef_[0])),
        float(fitted.intercept_[0]),
    )


def library(name: str) -> Any:
    """A training library. Raises Misconfigured if it isn't installed."""
    try:
        return import_module(name)
    except ImportError as error:
        raise Misconfigured(f"a fit needs {name}: install the extra `train`") from error
