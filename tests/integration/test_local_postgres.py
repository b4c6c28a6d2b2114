"""The local PostgreSQL for real: its extensions, who ends it, what it keeps, and who is let in."""

import contextlib
import subprocess
import sys
import time
from pathlib import Path

import psutil
import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from typer.testing import CliRunner

from cli.postgres import app
from infra.postgres.server import LocalPostgres, RunningPostgres

GONE_SECONDS = 15.0

OWNER = """
import sys, time
from pathlib import Path
from infra.postgres.server import owned_postgres
with owned_postgres(Path(sys.argv[1])) as postgres:
    print(postgres.database_url, flush=True)
    time.sleep(600)
"""


def _processes_of(root: Path) -> list[int]:
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            if process.name() == "postgres" and any(str(root) in word for word in process.cmdline()):
                found.append(process.pid)
    return found


def test_vectors_can_be_stored_and_compared(empty_database_url: str) -> None:
    with psycopg.connect(empty_database_url) as connection:
        connection.execute("CREATE EXTENSION vector")
        row = connection.execute("SELECT '[1,0]'::vector <=> '[0,1]'::vector").fetchone()
    assert row == (1.0,)


def test_each_database_is_of_one_test_and_migrated(database_url: str, postgres: RunningPostgres) -> None:
    assert database_url != postgres.database_url
    with psycopg.connect(database_url) as connection:
        assert connection.execute("SELECT count(*) FROM mapping_registry").fetchone() == (0,)


def test_order_and_case_do_not_depend_on_the_machine(empty_database_url: str) -> None:
    with psycopg.connect(empty_database_url) as connection:
        rows = connection.execute("SELECT lower('ÄÉ'), 'B' < 'a', 'z' < 'ä'").fetchone()
    assert rows == ("äé", True, True)  # code points, as C.UTF-8 has it


def test_nobody_gets_in_without_the_password(fresh_root: Path) -> None:
    server = LocalPostgres(fresh_root)
    address = server.start().address
    try:
        assert address is not None
        with psycopg.connect(address):
            pass
        wrong = make_conninfo(address, password="guess")
        with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
            psycopg.connect(wrong)
    finally:
        server.stop()


def test_owner_killed_ends_server_and_data(fresh_root: Path) -> None:
    command = [sys.executable, "-c", OWNER, str(fresh_root)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as owner:
        assert owner.stdout is not None
        url = owner.stdout.readline().strip()
        with psycopg.connect(url):  # a session that is open does not hold it up
            assert _processes_of(fresh_root)
            owner.kill()
            owner.wait()
            deadline = time.monotonic() + GONE_SECONDS
            while _processes_of(fresh_root) or any((fresh_root / "owned").iterdir()):
                assert time.monotonic() < deadline
                time.sleep(0.1)


def test_detached_keeps_its_data_and_its_url_and_leaves_a_neighbour_alone(fresh_root: Path) -> None:
    ours, theirs = LocalPostgres(fresh_root / "ours"), LocalPostgres(fresh_root / "theirs")
    try:
        first, other = ours.start().address, theirs.start()
        assert first is not None
        with psycopg.connect(first) as connection:
            connection.execute("CREATE TABLE kept AS SELECT 7 AS value")
        assert ours.stop()
        assert ours.database_url() is None
        assert theirs.status() == other
        assert ours.start().address == first
        with psycopg.connect(first) as connection:
            assert connection.execute("SELECT value FROM kept").fetchone() == (7,)
    finally:
        ours.stop()
        theirs.stop()
    assert not _processes_of(fresh_root)


def test_psql_runs_on_the_database_in_use(
    database_url: str, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("DATABASE_URL", database_url)
    assert CliRunner().invoke(app, ["psql", "-Atc", "SELECT current_database()"]).exit_code == 0
    assert capfd.readouterr().out.strip() == conninfo_to_dict(database_url)["dbname"]
    assert CliRunner().invoke(app, ["psql", "-c", "SELEKT"]).exit_code == 1
