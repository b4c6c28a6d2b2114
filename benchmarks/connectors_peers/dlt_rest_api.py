"""dlt's rest_api source over the same pages: read only, or extracted, which also writes each record as JSON.

Runs under a Python of its own, with dlt; prints one line of JSON.
"""

import json
import sys
import tempfile
import time
from typing import Any

import dlt  # type: ignore[import-not-found]  # in an environment of its own
from dlt.sources.rest_api import rest_api_source  # type: ignore[import-not-found]  # as above


def main() -> None:
    job = json.loads(sys.argv[1])
    source = rest_api_source(
        {
            "client": {
                "base_url": job["url"],
                "auth": {"type": "api_key", "name": "x-api-token", "api_key": job["key"], "location": "header"},
                "paginator": {
                    "type": "cursor",
                    "cursor_path": "additional_data.next_cursor",
                    "cursor_param": "cursor",
                },
            },
            "resources": [
                {
                    "name": "persons",
                    "endpoint": {"path": "persons", "params": {"limit": job["page_size"]}, "data_selector": "data"},
                }
            ],
        }
    )
    cpu, wall = time.process_time(), time.perf_counter()
    records = _extract(source) if job["extract"] else sum(1 for _ in source.resources["persons"])
    done = {"records": records, "cpu_s": time.process_time() - cpu, "wall_s": time.perf_counter() - wall}
    sys.stdout.write(json.dumps(done | {"version": dlt.__version__}) + "\n")


def _extract(source: Any) -> int:
    with tempfile.TemporaryDirectory() as folder:
        pipeline = dlt.pipeline("bench", pipelines_dir=folder, destination="filesystem")
        pipeline.extract(source)
        return int(
            pipeline.last_trace.last_extract_info.metrics[pipeline.last_trace.last_extract_info.loads_ids[0]][0][
                "table_metrics"
            ]["persons"].items_count
        )


if __name__ == "__main__":
    main()
