"""Draws an evaluation: how often a confidence is right, and precision against recall. Needs the extra `train`."""

from pathlib import Path
from typing import Any

import numpy as np

from inference.evaluate_matcher import Judged
from inference.match_figures import BANDS, reliability
from schemas.failures import Misconfigured


def write_plot(judged: Judged, path: Path) -> None:
    """Both diagrams in one PNG or SVG, for all fields and for renamed ones; the same bytes for the same figures."""
    try:
        import matplotlib as mpl  # noqa: PLC0415  # an extra
        from matplotlib.figure import Figure  # noqa: PLC0415
    except ImportError as error:
        raise Misconfigured("a plot needs matplotlib: install the extra `train`") from error
    if path.suffix not in (".png", ".svg"):
        raise Misconfigured(f"{path}: a plot is a .png or .svg file")
    mpl.rcParams["svg.hashsalt"] = "aam"
    drawing = Figure(figsize=(10, 4.5), layout="constrained")
    left, right = drawing.subplots(1, 2)
    left.plot([0, 1], [0, 1], color="0.7", linewidth=1)
    for label, part in (("all fields", judged), ("renamed", judged.only(judged.renamed))):
        bins = reliability(part)
        left.plot([b.said for b in bins], [b.right for b in bins], marker="o", markersize=4, label=label)
        _precision_recall(right, part, label)
    left.set(xlabel="confidence of the best candidate", ylabel="share that is right", title="Reliability")
    right.set(
        xlabel="recall", ylabel="precision", ylim=(0.5, 1.01), title="Precision and recall, dots at 0.95 and 0.85"
    )
    for axes in (left, right):
        axes.grid(alpha=0.3)
        axes.legend(loc="lower left" if axes is right else "upper left")
    drawing.savefig(path, metadata={"Date": None} if path.suffix == ".svg" else None)


def _precision_recall(axes: Any, judged: Judged, label: str) -> None:
    mapped = int(judged.mapped.sum())
    if not mapped:
        return
    order = np.argsort(-judged.probability, kind="stable")
    hits = np.cumsum(judged.right[order])
    (line,) = axes.plot(hits / mapped, hits / np.arange(1, len(hits) + 1), label=label)
    for band in BANDS:
        accepted = int((judged.probability >= band).sum())
        if accepted:
            at = hits[accepted - 1]
            axes.plot([at / mapped], [at / accepted], marker="o", color=line.get_color())
