"""Evaluates boosted trees without the library that grew them. Thresholds and leaves are kept at full precision:
rounding them moves scores by tenths.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

Doubles = NDArray[np.float64]
Indexes = NDArray[np.int64]


@dataclass(frozen=True)
class Trees:
    """A sum of trees. Node i of tree t goes left where feature `features[t][i]` <= `thresholds[t][i]`; a negative
    child -k-1 is leaf k. A tree of one leaf has no nodes."""

    features: Sequence[Sequence[int]]
    thresholds: Sequence[Sequence[float]]
    left: Sequence[Sequence[int]]
    right: Sequence[Sequence[int]]
    leaves: Sequence[Sequence[float]]

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> "Trees":
        """What `to_json` gave."""
        return cls(**{name: data[name] for name in ("features", "thresholds", "left", "right", "leaves")})

    def to_json(self) -> dict[str, Any]:
        """Plain lists; floats as Python writes them, which loses nothing."""
        return {name: getattr(self, name) for name in ("features", "thresholds", "left", "right", "leaves")}

    def predict(self, rows: NDArray[Any]) -> Doubles:
        """The sum over all trees, for each row of (rows, features)."""
        features, thresholds, children, leaves, depth = self._arrays
        values = np.ascontiguousarray(rows, dtype=np.float64)
        of_row = (np.arange(len(values)) * values.shape[1])[:, None]
        values = values.ravel()
        node = np.tile(np.arange(len(features), dtype=np.int64) * features.shape[1], (len(of_row), 1))
        features, thresholds, children = features.ravel(), thresholds.ravel(), children.ravel()
        for _ in range(depth):
            goes_right = values.take(of_row + features.take(node)) > thresholds.take(node)
            node = children.take(2 * node + goes_right)
        total: Doubles = leaves.ravel().take(node).sum(axis=1)
        return total

    @cached_property
    def _arrays(self) -> tuple[Indexes, Doubles, Indexes, Doubles, int]:
        # leaves become nodes behind the others that lead to themselves, so that all rows take the same number of steps
        most = max(
            (len(nodes) + len(leaves) for nodes, leaves in zip(self.features, self.leaves, strict=True)), default=1
        )
        count = len(self.leaves)
        features = np.zeros((count, most), np.int64)
        thresholds = np.full((count, most), np.inf)
        children = np.tile(np.arange(most, dtype=np.int64)[None, :, None], (count, 1, 2))
        leaves = np.zeros((count, most))
        depth = 0
        for tree in range(count):
            nodes = len(self.features[tree])
            features[tree, :nodes] = self.features[tree]
            thresholds[tree, :nodes] = self.thresholds[tree]
            for side, links in enumerate((self.left[tree], self.right[tree])):
                children[tree, :nodes, side] = [nodes - link - 1 if link < 0 else link for link in links]
            leaves[tree, nodes : nodes + len(self.leaves[tree])] = self.leaves[tree]
            depth = max(depth, _depth(self.left[tree], self.right[tree]))
        children += (np.arange(count, dtype=np.int64) * most)[:, None, None]  # places in the flattened arrays
        return features, thresholds, children, leaves, depth


def _depth(left: Sequence[int], right: Sequence[int], node: int = 0) -> int:
    if not left or node < 0:
        return 0
    return 1 + max(_depth(left, right, left[node]), _depth(left, right, right[node]))
