"""How a pair stands among its rivals: other candidates of the same field, other fields that want the same candidate.

This is what makes a confidence usable: a score says little before it is known who else has one as good.
"""

import numpy as np

from mapping.sparse_rows import Floats


def lead(scores: Floats, axis: int) -> Floats:
    """By how much each score exceeds the best other one along `axis`; negative for all but the best. Rows are
    fields, columns candidates: axis 1 compares candidates, axis 0 fields. Alone, it leads by its own height over 0."""
    if scores.shape[axis] < 2:
        return scores.copy()
    order = np.sort(scores, axis=axis)
    best = np.take(order, [-1], axis=axis)
    second = np.take(order, [-2], axis=axis)
    return scores - np.where(scores >= best, second, best)


def rank(scores: Floats, axis: int, most: float = 10.0) -> Floats:
    """How many others along `axis` have a higher score, at most `most`."""
    order = np.sort(scores, axis=axis)
    if axis == 1:
        higher = [
            row.size - np.searchsorted(row, values, side="right") for row, values in zip(order, scores, strict=True)
        ]
        ranks = np.array(higher, np.float32).reshape(scores.shape)
    else:
        ranks = rank(np.ascontiguousarray(scores.T), 1, most).T
    return np.minimum(ranks, most).astype(np.float32)
