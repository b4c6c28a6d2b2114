"""Many short sparse vectors, and their dot products with others, in numpy alone.

An axis is any 32-bit number, so that no table of axes has to be kept.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[Any]  # single precision where it is stored, either where it is computed
Ints = NDArray[np.int64]
SparseRow = tuple[Ints, Floats]


@dataclass(frozen=True)
class SparseRows:
    """`count` vectors: entry i says that vector `rows[i]` has `weights[i]` on axis `axes[i]`, no axis twice."""

    count: int
    rows: Ints
    axes: Ints
    weights: Floats

    @classmethod
    def of(cls, vectors: Sequence[SparseRow]) -> "SparseRows":
        """`vectors` one under the other."""
        if not vectors:
            return cls(0, np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0, np.float32))
        lengths = np.fromiter((len(axes) for axes, _ in vectors), np.int64, len(vectors))
        return cls(
            len(vectors),
            np.repeat(np.arange(len(vectors)), lengths),
            np.concatenate([axes for axes, _ in vectors]),
            np.concatenate([weights for _, weights in vectors]),
        )

    def dot(self, other: "SparseRows") -> Floats:
        """(self.count, other.count): the dot product of each vector here with each one there."""
        axes, columns = np.unique(self.axes, return_inverse=True)
        if not len(axes) or not other.count:
            return np.zeros((self.count, other.count), np.float32)
        left = np.zeros((self.count, len(axes)), np.float32)
        left[self.rows, columns] = self.weights
        places = np.minimum(np.searchsorted(axes, other.axes), len(axes) - 1)
        shared = axes[places] == other.axes
        right = np.zeros((other.count, len(axes)), np.float32)
        right[other.rows[shared], places[shared]] = other.weights[shared]
        product: Floats = left @ right.T
        return product
