"""The registry under load: a lookup among a million mappings, an import, the way of a change to the workers, 50,000
acceptances under a working worker, and neighbours among 100,000 vectors, each beside the bar that it is held to.

`make bench-registry` writes results/registry.json; QUICK=1 is the same with fewer repetitions. Meant for a machine that
does nothing else: on two cores, what others use is missing from every figure.
"""

import logging
import os
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import psycopg

from benchmarks import registry_acceptances, registry_changes, registry_lookup, registry_retrieval
from benchmarks.report import print_rows, quick, write_report
from infra.kafka.broker import RunningKafka, owned_kafka
from infra.local_server import owned_server
from infra.narration import Say, to_stderr
from infra.postgres.server import PostgresRecipe
from infra.server_command import ServerCommand
from registry.migrate import migrate
from registry.pool import open_pool

Figures = dict[str, float]

BARS: Final = {
    "lookup_server_p99_ms": 1.0,
    "lookup_wire_p99_ms": 5.0,
    "update_to_workers_s": 2.0,
    "import_50000_s": 30.0,
    "retrieval_p99_ms": 20.0,
    "retrieval_recall_at_10": 0.95,
    "acceptances_p99_ratio": 2.0,
}
"""The most a figure may be; of recall the least."""


def main() -> None:
    logging.getLogger("httpx").setLevel(logging.WARNING)  # a line for each look at a worker's metric
    load, seconds, queries = os.getloadavg()[0], *((10, 400) if quick() else (30, 2_000))
    rows: list[dict[str, Any]] = []
    figures: Figures = {}
    with tempfile.TemporaryDirectory(prefix="aam-bench-") as name:
        root = Path(name)
        root.chmod(0o755)  # Postgres may run as another account
        with _postgres(root) as (database_url, socket_folder):
            _lookups(database_url, socket_folder, seconds, rows, figures)
            _retrieval(_database(database_url, "vectors"), queries, rows, figures)
            with owned_kafka(root) as kafka:
                _updates(_database(database_url, "updates"), kafka, root, rows, figures)
                _acceptances(_database(database_url, "acceptances"), kafka, root, seconds, rows, figures)
    path = write_report("registry", quick=quick(), load_average_before=round(load, 2), rows=rows, figures=figures)
    _print(rows, figures)
    to_stderr(f"written: {path}")


def _lookups(
    database_url: str, socket_folder: Path, seconds: int, rows: list[dict[str, Any]], figures: Figures
) -> None:
    migrate(database_url)
    to_stderr(f"writing {registry_lookup.ROWS:,} mappings …")
    registry_lookup.fill(database_url)
    rows.append(registry_lookup.server_p99_ms(database_url, socket_folder, seconds))
    figures["lookup_server_p99_ms"] = rows[-1]["p99_ms"]
    with open_pool(registry_changes.settings(database_url)) as pool:
        registry_lookup.wire_p99_ms(pool, 3)  # connections, plans and caches
        rows.append(registry_lookup.wire_p99_ms(pool, seconds))
        figures["lookup_wire_p99_ms"] = rows[-1]["p99_ms"]
        to_stderr("importing mapping files …")
        rows.append(registry_changes.import_seconds(pool))
        figures["import_50000_s"] = rows[-1]["seconds"]


def _retrieval(database_url: str, queries: int, rows: list[dict[str, Any]], figures: Figures) -> None:
    to_stderr(f"embedding {registry_retrieval.VECTORS:,} texts …")
    migrate(database_url)
    with open_pool(registry_changes.settings(database_url)) as pool:
        found, figures["retrieval_p99_ms"], figures["retrieval_recall_at_10"] = registry_retrieval.measure(
            pool, queries
        )
        rows += found


def _updates(database_url: str, kafka: RunningKafka, root: Path, rows: list[dict[str, Any]], figures: Figures) -> None:
    to_stderr("changing mappings under running workers …")
    changes, rollbacks = registry_changes.update_seconds(kafka, database_url, root)
    figures["update_to_workers_s"] = round(max(*changes, *rollbacks), 3)
    for what, taken in (("change", changes), ("rollback", rollbacks)):
        told = f"{what} until {registry_changes.WORKERS} workers have it, longest of {len(taken)}"
        rows.append({"what": told, "seconds": round(max(taken), 3), "p50_ms": _middle_ms(taken)})


def _acceptances(
    database_url: str, kafka: RunningKafka, root: Path, seconds: int, rows: list[dict[str, Any]], figures: Figures
) -> None:
    to_stderr(f"accepting {registry_acceptances.ACCEPTED:,} review items under a working worker …")
    found, figures["acceptances_p99_ratio"] = registry_acceptances.measure(kafka, database_url, root, seconds)
    rows += found


def _middle_ms(seconds: Sequence[float]) -> float:
    return round(sorted(seconds)[len(seconds) // 2] * 1_000, 1)


class _WithSocket(PostgresRecipe):
    """The embedded Postgres as it is kept, not as it is thrown away: on a Unix socket too, every commit on the disk."""

    def __init__(self, socket_folder: Path) -> None:
        self._socket_folder = socket_folder

    def prepare(self, folder: Path, ports: Sequence[int], *, durable: bool, say: Say) -> ServerCommand:
        command = super().prepare(folder, ports, durable=durable, say=say)
        kept = (
            f"unix_socket_directories={self._socket_folder}",
            "fsync=on",
            "synchronous_commit=on",
            "full_page_writes=on",
        )
        return replace(command, argv=(*command.argv, *(word for one in kept for word in ("-c", one))))


@contextmanager
def _postgres(root: Path) -> Iterator[tuple[str, Path]]:
    socket_folder = root / "s"
    socket_folder.mkdir()
    socket_folder.chmod(0o777)  # for the account that Postgres runs as; a password guards the socket
    with owned_server(_WithSocket(socket_folder), root) as database_url:
        yield database_url, socket_folder


def _database(server_url: str, name: str) -> str:
    """A new, empty database beside the first."""
    with psycopg.connect(server_url, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}".encode())
    return urlsplit(server_url)._replace(path=f"/{name}").geturl()


def _print(rows: Sequence[dict[str, Any]], figures: Figures) -> None:
    columns = ("what", "p50_ms", "p99_ms", "seconds", "count")
    print_rows("registry", [{name: row.get(name, "") for name in columns} for row in rows])
    print_rows(f"bars, {os.cpu_count()} cores", [_bar(name, figures[name]) for name in BARS if name in figures])


def _bar(name: str, value: float) -> dict[str, Any]:
    holds = value >= BARS[name] if name == "retrieval_recall_at_10" else value <= BARS[name]
    return {"figure": name, "value": value, "bar": BARS[name], "holds": "yes" if holds else "NO"}


if __name__ == "__main__":
    main()
