"""Lookups of one active mapping among a million: the server alone, by pgbench, and through the registry's own pool at a
fixed rate, from many tasks, late starts counted as latency.
"""

import os
import random
import statistics
import subprocess
import tempfile
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import psycopg
from psycopg.conninfo import conninfo_to_dict

from infra.postgres.binaries import bin_folder
from registry.lookup import STATEMENT, find_mappings
from registry.pool import Pool
from schemas.failures import Bug

TENANTS, CONNECTORS, ENTITIES, FIELDS = 1_000, 4, 5, 50
ROWS: Final = TENANTS * CONNECTORS * ENTITIES * FIELDS
TASKS: Final = 50
RATE: Final = 1_000

# Without the triggers, foreign keys among them: what they would do is written out.
_FILL: Final = f"""
SET session_replication_role = replica;
INSERT INTO source_entity (tenant, source_system, source_entity, primary_key, method, declared_by, revision)
SELECT CASE t WHEN 0 THEN '*' ELSE 'tenant-' || t END, 'connector-' || c, 'entity-' || e, '{{id}}', 'seed',
    'benchmark', 1
FROM generate_series(0, {TENANTS - 1}) AS t, generate_series(1, {CONNECTORS}) AS c,
    generate_series(1, {ENTITIES}) AS e;
INSERT INTO mapping_registry (tenant, source_system, source_entity, source_field, canonical_entity, canonical_field,
    transform, confidence, method, created_by, version, revision, is_active, status, active_from,
    confirmed_from)
SELECT tenant, source_system, source_entity, 'properties.field_' || f, 'account', 'field_' || f,
    '{{"op": "copy", "inputs": [], "params": {{}}, "fallbacks": []}}', 0.97, 'seed', 'benchmark', 1, 1, true, 'active',
    1, 1
FROM source_entity, generate_series(1, {FIELDS}) AS f;
UPDATE registry_revision SET revision = 1;
"""  # noqa: S608  # its numbers are the constants above
_SCRIPT: Final = f"""
\\set t random(1, {TENANTS - 1})
\\set c random(1, {CONNECTORS})
\\set e random(1, {ENTITIES})
\\set f random(1, {FIELDS})
"""


def fill(database_url: str) -> None:
    """Writes the rows into a migrated, empty registry."""
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute(_FILL.encode())
        connection.execute(b"VACUUM ANALYZE source_entity")
        connection.execute(b"VACUUM ANALYZE mapping_registry")


def server_p99_ms(database_url: str, socket_folder: Path, seconds: int) -> dict[str, Any]:
    """One pgbench client over a Unix socket, the registry's own statement, prepared."""
    address = conninfo_to_dict(database_url)
    statement = STATEMENT.decode()
    for name, value in {"tenant": "tenant-", "connector": "connector-", "entity": "entity-"}.items():
        statement = statement.replace(f"%({name})s", f"'{value}' || :{name[0]}::text")
    statement = statement.replace("%(source_field)s", "'properties.field_' || :f::text")
    with tempfile.TemporaryDirectory(prefix="aam-pgbench-") as folder:
        script = Path(folder) / "lookup.sql"
        script.write_text(f"{_SCRIPT}{' '.join(statement.split())};\n", encoding="utf-8")
        where = ("-h", str(socket_folder), "-p", str(address["port"]), "-U", str(address["user"]))
        how = ("-n", "-M", "prepared", "-c", "1", "-T", str(seconds), "-f", str(script), "-l", "--log-prefix", "times")
        done = subprocess.run(
            [str(bin_folder() / "pgbench"), *where, *how, str(address["dbname"])],
            env=os.environ | {"PGPASSWORD": str(address["password"])},
            cwd=folder,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode != 0:
            raise Bug(f"pgbench: {done.stderr.strip()}")
        # a line each: client, transaction, microseconds, … (postgresql.org, pgbench, Per-Transaction Logging)
        micros = [int(line.split()[2]) for log in Path(folder).glob("times.*") for line in log.open()]
    return _row("lookup, the server: pgbench, 1 client, Unix socket", [one / 1_000 for one in micros], seconds)


def wire_p99_ms(pool: Pool, seconds: int) -> dict[str, Any]:
    """`RATE` lookups a second through the pool, from `TASKS` threads; each is due at a time that waits for nobody."""
    taken: list[list[float]] = [[] for _ in range(TASKS)]
    start = time.perf_counter() + 0.5
    threads = [
        threading.Thread(target=_look_up, args=(pool, start, number, seconds, taken[number])) for number in range(TASKS)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    found = [one for part in taken for one in part]
    if len(found) != RATE * seconds:
        raise Bug(f"{RATE * seconds - len(found)} lookups failed")
    return _row(f"lookup, through the pool: {RATE:,}/s due, {TASKS} tasks", found, seconds)


def _look_up(pool: Pool, start: float, number: int, seconds: int, taken: list[float]) -> None:
    choose = random.Random(number)  # noqa: S311  # which rows is no secret
    for turn in range(RATE * seconds // TASKS):
        due = start + (turn * TASKS + number) / RATE
        time.sleep(max(0.0, due - time.perf_counter()))
        found = find_mappings(
            pool,
            tenant=f"tenant-{choose.randint(1, TENANTS - 1)}",
            connector=f"connector-{choose.randint(1, CONNECTORS)}",
            entity=f"entity-{choose.randint(1, ENTITIES)}",
            source_field=f"properties.field_{choose.randint(1, FIELDS)}",
        )
        assert len(found) == 1
        taken.append((time.perf_counter() - due) * 1_000)


def _row(what: str, milliseconds: Sequence[float], seconds: float) -> dict[str, Any]:
    cuts = statistics.quantiles(milliseconds, n=1_000, method="inclusive")
    return {
        "what": what,
        "rows": ROWS,
        "p50_ms": round(cuts[499], 3),
        "p99_ms": round(cuts[989], 3),
        "p99.9_ms": round(cuts[998], 3),
        "per_s": round(len(milliseconds) / seconds, 1),
    }
