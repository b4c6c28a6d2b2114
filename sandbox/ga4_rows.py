"""Rows of a GA4 report: lists of values in the order in which the request names dimensions and metrics.

Source: developers.google.com/analytics/devguides/reporting/data/v1/rest/v1beta/properties/runReport.
"""

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Columns:
    """What a report asks for, by name."""

    dimensions: tuple[str, ...]
    metrics: tuple[str, ...]

    def dimension_headers(self) -> list[dict[str, str]]:
        """As they stand in the answer."""
        return [{"name": name} for name in self.dimensions]

    def metric_headers(self) -> list[dict[str, str]]:
        """As they stand in the answer."""
        return [{"name": name, "type": "TYPE_INTEGER"} for name in self.metrics]


def ga4_columns(body: Any, known: dict[str, Any]) -> Columns | None:
    """The columns that the body of a runReport names; None if it names none, or one that isn't `known`."""
    if not isinstance(body, dict):
        return None
    dimensions, metrics = (_names(body.get(part)) for part in ("dimensions", "metrics"))
    names = (*dimensions, *metrics)
    return Columns(dimensions, metrics) if names and all(name in known for name in names) else None


def _names(columns: Any) -> tuple[str, ...]:
    if not isinstance(columns, list):
        return ()
    return tuple(str(column.get("name")) for column in columns if isinstance(column, dict))


def ga4_row(record: dict[str, Any], columns: Columns) -> dict[str, Any]:
    """One row of the answer."""
    return {
        "dimensionValues": [{"value": str(record[name])} for name in columns.dimensions],
        "metricValues": [{"value": str(record[name])} for name in columns.metrics],
    }
