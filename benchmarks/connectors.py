"""Connectors under load, against the sandbox: how quickly a thousand are looked into, how quickly records reach Kafka,
in how much memory, and how much CPU a record costs beside dlt's rest_api source on the same pages.

`make bench-connectors` writes results/connectors.json; QUICK=1 takes fewer records and the same thousand connectors.
Meant for a machine that does nothing else: the sandbox, Kafka and the client share its cores.
"""

import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import httpx

from benchmarks.connectors_client import unlimited
from benchmarks.report import print_rows, quick, write_report
from connectors.spec_files import load_spec
from infra.kafka.broker import owned_kafka
from infra.narration import to_stderr
from infra.postgres.server import owned_postgres
from infra.settings import LocalSettings
from registry.migrate import migrate
from sandbox.admin import CREDENTIALS
from sandbox.server import running_sandbox
from sandbox.settings import SandboxSettings
from topics import provision
from topics.clients import make_admin
from topics.settings import KafkaSettings

VENDORS: Final = 1_000
CONNECTIONS: Final = 4
PAGE_SIZE: Final = 500  # the most that Pipedrive gives
PROCESSES: Final = 2  # of the sandbox: with one, it is the limit of a sync
BARS: Final = {"discover_1000_s": 60.0, "sync_records_per_s": 10_000.0, "sync_peak_mb": 200.0, "paging_vs_dlt": 3.0}
PEERS: Final = Path(__file__).parent / "connectors_peers"

Row = dict[str, Any]


def main() -> None:
    load = os.getloadavg()[0]
    records = 50_000 if quick() else 250_000
    python = _dlt()
    rows: list[Row] = []
    figures: dict[str, float] = {}
    memory: Row = {}
    settings = SandboxSettings(port=0, vendors=VENDORS, records=records, limits=False, processes=PROCESSES)
    with tempfile.TemporaryDirectory(prefix="aam-bench-") as name, running_sandbox(settings) as url:
        folder = Path(name)
        folder.chmod(0o755)  # Postgres may run as another account
        (folder / "specs").mkdir()
        spec = unlimited(load_spec("pipedrive")).model_dump_json(by_alias=True, exclude_unset=True)
        (folder / "specs" / "pipedrive.json").write_text(spec, encoding="utf-8")
        base = {"url": url, "credentials": CREDENTIALS, "records": records, "specs_folder": str(folder / "specs")}
        _discover(base, folder, rows, figures)
        _paging(base, python, rows, figures)
        _sync(base, folder, rows, figures, memory)
    path = write_report(
        "connectors",
        quick=quick(),
        sandbox_processes=PROCESSES,
        load_average_before=round(load, 2),
        bars=BARS,
        rows=rows,
        figures=figures,
        memory_mb=memory,
    )
    print_rows("connectors", rows)
    for records_sent, resident in memory.items():
        to_stderr(f"resident after {int(records_sent):,} records: {resident:g} MB")
    for figure, value in figures.items():
        to_stderr(f"{figure}: {value:,.3g} (bar {BARS[figure]:g})")
    to_stderr(f"written: {path}")


def _discover(base: Row, folder: Path, rows: list[Row], figures: dict[str, float]) -> None:
    to_stderr(f"looking into {VENDORS:,} connectors …")
    names = [f"v{number:04d}" for number in range(1, VENDORS + 1)]
    with httpx.Client(trust_env=False, timeout=60) as client:
        specs = {name: client.get(f"{base['url']}/_sandbox/specs/{name}").text for name in names}
    (folder / "specs.json").write_text(json.dumps(specs), encoding="utf-8")
    done = _client(base | {"what": "discover", "specs": str(folder / "specs.json")})
    figures["discover_1000_s"] = done["seconds"]
    rows.append(_row(f"discover {done['connectors']:,} connectors, {done['fields']:,} fields", done["fields"], done))


def _paging(base: Row, python: Path, rows: list[Row], figures: dict[str, float]) -> None:
    """Three runs of each, in turn; the medians count."""
    to_stderr("reading the same pages with dlt …")
    job = {"url": f"{base['url']}/pipedrive/api/v2", "key": CREDENTIALS["api_key"], "page_size": PAGE_SIZE}
    ours: list[Row] = []
    read: list[Row] = []
    extracted: list[Row] = []
    for _ in range(3):
        ours.append(_client(base | {"what": "paging"}))
        read.append(_peer(python, job | {"extract": False}))
        extracted.append(_peer(python, job | {"extract": True}))
    counts = {done["records"] for done in (*ours, *read, *extracted)}
    assert len(counts) == 1, counts
    for name, runs in (
        ("AAM: read, check, make into bytes", ours),
        (f"dlt {read[0]['version']} rest_api: extract (read, write as JSON)", extracted),
        (f"dlt {read[0]['version']} rest_api: read only", read),
    ):
        rows.append(_row(name, runs[0]["records"], _median(runs)))
    figures["paging_vs_dlt"] = _median(extracted)["cpu_s"] / _median(ours)["cpu_s"]


def _sync(base: Row, folder: Path, rows: list[Row], figures: dict[str, float], memory: Row) -> None:
    """`memory` gets: records that were sent → resident megabytes of the syncing process."""
    to_stderr(f"syncing {CONNECTIONS} connections into Kafka …")
    with owned_kafka(folder) as kafka, owned_postgres(folder) as postgres:
        migrate(postgres.database_url)
        settings = KafkaSettings(KAFKA_BOOTSTRAP_SERVERS=kafka.bootstrap_servers, topic_prefix="bench")
        admin, catalogue = make_admin(settings), settings.catalogue()
        provision.apply(admin, catalogue, provision.plan(admin, catalogue))
        job = {"database_url": postgres.database_url, "kafka": kafka.bootstrap_servers, "prefix": "bench"}
        expected = base["records"] * CONNECTIONS
        done = _client(base | job | {"what": "sync", "connections": CONNECTIONS, "expected": expected})
    memory.update(done["memory"])
    figures["sync_records_per_s"] = done["records"] / done["seconds"]
    figures["sync_peak_mb"] = done["peak_mb"]
    rows.append(_row(f"sync {CONNECTIONS} connections into Kafka", done["records"], done))


def _row(what: str, records: int, done: Row) -> Row:
    seconds = float(done.get("seconds") or done["wall_s"])
    return {
        "what": what,
        "records": records,
        "seconds": round(seconds, 2),
        "per_s": round(records / seconds),
        "client_cpu_ms_per_1000": round(done["cpu_s"] / records * 1e6, 2),
        "peak_mb": round(done.get("peak_mb", 0)) or "",
    }


def _median(runs: Sequence[Row]) -> Row:
    return {name: statistics.median(run[name] for run in runs) for name in ("cpu_s", "wall_s")}


def _client(job: Row) -> Row:
    return _run([sys.executable, "-m", "benchmarks.connectors_client", json.dumps(job)])


def _peer(python: Path, job: Row) -> Row:
    return _run([str(python), str(PEERS / "dlt_rest_api.py"), json.dumps(job)])


def _run(command: list[str]) -> Row:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise RuntimeError(done.stderr[-3000:])
    found: Row = json.loads(done.stdout.splitlines()[-1])
    return found


def _dlt() -> Path:
    """The Python of an environment with dlt, made anew when its pinned requirements change."""
    wanted = (PEERS / "requirements-dlt.txt").read_text(encoding="utf-8")
    folder = LocalSettings().root / "bench" / "venv-dlt"
    python, stamp = folder / "bin" / "python", folder / "installed.txt"
    if not stamp.is_file() or stamp.read_text(encoding="utf-8") != wanted:
        to_stderr("installing dlt into an environment of its own …")
        subprocess.run([sys.executable, "-m", "venv", "--clear", str(folder)], check=True)
        install = [str(python), "-m", "pip", "install", "-q", "--no-deps", "-r", str(PEERS / "requirements-dlt.txt")]
        subprocess.run(install, check=True)
        stamp.write_text(wanted, encoding="utf-8")
    return python


if __name__ == "__main__":
    main()
