"""Results of CloudWatch's GetMetricData: for each query of the request the times and the values, in lists of their own.

Source: docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/API_GetMetricData.html.
"""

from collections.abc import Sequence
from typing import Any


def metric_results(body: Any, records: Sequence[dict[str, Any]]) -> list[dict[str, Any]] | None:
    """One result a query; None if a query asks for a statistic that the records haven't got, or there is none."""
    queries = body.get("MetricDataQueries") if isinstance(body, dict) else None
    if not isinstance(queries, list) or not queries:
        return None
    results = []
    for query in queries:
        asked: dict[str, Any] = query.get("MetricStat", {}) if isinstance(query, dict) else {}
        statistic = str(asked.get("Stat"))
        if any(statistic not in record for record in records):
            return None
        results.append(
            {
                "Id": query["Id"],
                "Label": asked["Metric"]["MetricName"],
                "StatusCode": "Complete",
                "Timestamps": [record["Timestamp"] for record in records],
                "Values": [record[statistic] for record in records],
            }
        )
    return results
