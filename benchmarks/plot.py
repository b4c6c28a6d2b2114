"""`make bench-plot`: draws the charts of docs/benchmarks.md from benchmarks/results, as SVG into docs/img.

A chart whose results are not there is left as it is. Other benchmarks add a function and a line in `CHARTS`.
"""

import math
import statistics
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import matplotlib as mpl

mpl.use("svg")
mpl.rcParams.update(
    {
        "svg.hashsalt": "aam",  # the same results give the same file
        "svg.fonttype": "none",
        "font.size": 10,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "figure.constrained_layout.use": True,
    }
)

from matplotlib import pyplot as plt  # noqa: E402  # after the choice of backend
from matplotlib.figure import Figure  # noqa: E402

from benchmarks.report import load_report  # noqa: E402
from infra.narration import to_stderr  # noqa: E402

IMAGES: Final = Path(__file__).parent.parent / "docs" / "img"
OURS: Final = "#2563eb"
BARE: Final = "#93c5fd"
PEER: Final = "#9ca3af"
COLOURS: Final = {"ours": OURS, "bare": BARE}
SHAPES: Final = ("narrow", "wide")


def draw_throughput() -> Path:
    """Records a second of every system, a panel a shape; a bar is the median of its runs, the line their span."""
    rows = load_report("canonicalize")["rows"]
    figure, panels = plt.subplots(1, 2, figsize=(10, 4), sharey=True)
    for panel, shape in zip(panels, SHAPES, strict=True):
        found = _grouped([row for row in rows if row["shape"] == shape])
        for at, (_name, group) in enumerate(reversed(found.items())):
            rates = [row["records_per_s"] / 1000 for row in group]
            middle = statistics.median(rates)
            span = [[middle - min(rates)], [max(rates) - middle]]
            panel.barh(at, middle, color=COLOURS.get(group[0]["system"], PEER), xerr=span, ecolor="#374151")
            panel.annotate(f" {middle:,.1f}", (max(rates), at), va="center", fontsize=9)
        panel.set_yticks(range(len(found)), list(reversed(found)))
        panel.margins(x=0.15)
        panel.set_xlabel("thousand records a second")
        sample = next((row for row in rows if row["shape"] == shape), None)
        if sample:
            panel.set_title(f"{shape}: {sample['entities']} entities × {sample['tenants']} tenants", fontsize=10)
    return _save(figure, "canonicalize-throughput")


def draw_latency() -> Path:
    """p50 and p99 from produce to readable, a group a rate and shape."""
    rows = load_report("canonicalize")["latency"]
    groups = sorted({(row["shape"], row["rate"]) for row in rows})
    names = list(dict.fromkeys(row["system"] for row in rows))
    figure, panel = plt.subplots(figsize=(10, 4))
    width = 0.8 / max(1, len(names))
    for place, name in enumerate(names):
        for at, (shape, rate) in enumerate(groups):
            row = next((r for r in rows if (r["system"], r["shape"], r["rate"]) == (name, shape, rate)), None)
            if row is None:
                continue
            x = at + (place - (len(names) - 1) / 2) * width
            colour = OURS if name == "ours" else (PEER, "#d1d5db")[place % 2]
            panel.bar(x, row["p99_ms"], width * 0.9, color=colour, label=name if at == 0 else None)
            panel.hlines(row["p50_ms"], x - width * 0.45, x + width * 0.45, colors="#111827")
            panel.annotate(f"{row['p99_ms']:,.0f}", (x, row["p99_ms"]), ha="center", va="bottom", fontsize=9)
    panel.set_xticks(range(len(groups)), [f"{shape}, {rate:,}/s" for shape, rate in groups])
    panel.set_ylabel("milliseconds: bar p99, line p50")
    panel.legend(frameon=False)
    return _save(figure, "canonicalize-latency")


def draw_soak() -> Path:
    """Memory of the witness and latency over the time of a soak."""
    points = load_report("soak")["points"]
    minutes = [point["at"] / 60 for point in points]
    figure, (memory, latency) = plt.subplots(2, 1, figsize=(10, 5), sharex=True)
    memory.plot(minutes, [point["witness_mb"] for point in points], color=OURS)
    memory.set_ylim(bottom=0)
    memory.set_ylabel("witness, MB")
    for name, colour in (("p99", OURS), ("p50", PEER)):
        seconds = [math.nan if point[f"{name}_s"] is None else point[f"{name}_s"] for point in points]
        latency.plot(minutes, seconds, color=colour, label=name)
    latency.set_yscale("symlog", linthresh=1)
    latency.set_ylabel("produce to readable, s")
    latency.set_xlabel("minutes of faults")
    latency.legend(frameon=False)
    return _save(figure, "soak")


CHARTS: Final[dict[str, tuple[Callable[[], Path], ...]]] = {
    "canonicalize": (draw_throughput, draw_latency),
    "soak": (draw_soak,),
}


def main() -> None:
    for name, charts in CHARTS.items():
        try:
            load_report(name)
        except FileNotFoundError:
            to_stderr(f"no results of {name}: its charts stay as they are")
            continue
        for draw in charts:
            to_stderr(f"drawn {draw()}")


def _grouped(rows: list[dict[str, Any]]) -> dict[str, list[dict[str, Any]]]:
    grouped: dict[str, list[dict[str, Any]]] = {}
    for row in rows:
        grouped.setdefault(_label(row), []).append(row)
    return grouped


def _label(row: dict[str, Any]) -> str:
    guarantee = {"exactly-once": "exactly once", "at-least-once": "at least once"}.get(row["guarantee"], "")
    form = "Avro" if row["format"] == "avro" else "JSON"
    name = {"ours": "AAM", "bare": "bare loop", "kafka-streams": "Kafka Streams", "quix": "Quix Streams"}
    return f"{name.get(row['system'], row['system'].title())}, {form}, {guarantee}"


def _save(figure: Figure, name: str) -> Path:
    IMAGES.mkdir(parents=True, exist_ok=True)
    path = IMAGES / f"{name}.svg"
    figure.savefig(path, metadata={"Date": None})
    plt.close(figure)
    text = path.read_text(encoding="utf-8")
    path.write_text("\n".join(line.rstrip() for line in text.splitlines()) + "\n", encoding="utf-8")
    return path


if __name__ == "__main__":
    main()
