"""Writes what a benchmark measured: `benchmarks/results/NAME.json`, and a table on the terminal.

What is measured, and beside whom, is each benchmark's own matter.
"""

import json
import os
import platform
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from rich.console import Console
from rich.table import Table

RESULTS: Final = Path(__file__).parent / "results"


def write_report(name: str, **parts: Any) -> Path:
    """Writes `parts` (`rows`, `figures`, …) with the machine and the time of the run beside them."""
    machine = {"cores": os.cpu_count(), "python": platform.python_version(), "system": platform.system()}
    report = {"name": name, "at": datetime.now(UTC).isoformat(timespec="seconds"), "machine": machine} | parts
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / f"{name}.json"
    path.write_text(json.dumps(report, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    return path


def load_report(name: str) -> dict[str, Any]:
    """The last report of that name; FileNotFoundError if the benchmark never ran here."""
    report: dict[str, Any] = json.loads((RESULTS / f"{name}.json").read_text(encoding="utf-8"))
    return report


def print_rows(title: str, rows: Sequence[Mapping[str, Any]]) -> None:
    """A table with a column for each key of the first row; floats with three significant digits."""
    table = Table(*rows[0], title=title) if rows else Table(title=title)
    for row in rows:
        table.add_row(*(f"{cell:,.3g}" if isinstance(cell, float) else str(cell) for cell in row.values()))
    Console().print(table)


def quick() -> bool:
    """Whether QUICK=1 asks for the short form."""
    return os.environ.get("QUICK", "") not in {"", "0"}
