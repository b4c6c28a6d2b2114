"""psql of the bundled PostgreSQL on any database, without showing the password in the process list."""

import os
import subprocess
from collections.abc import Sequence

from psycopg.conninfo import conninfo_to_dict, make_conninfo

from infra.postgres.binaries import bin_folder


def run_psql(database_url: str, arguments: Sequence[str]) -> int:
    """Run psql on this terminal; returns its exit code. `arguments` are psql's own."""
    address, environment = without_password(database_url)
    command = [str(bin_folder() / "psql"), "--dbname", address, *arguments]
    return subprocess.run(command, env=os.environ | environment, check=False).returncode


def without_password(database_url: str) -> tuple[str, dict[str, str]]:
    """A connection string fit for a command line, and the environment that carries its password."""
    parts = conninfo_to_dict(database_url)
    password = parts.pop("password", None)
    return make_conninfo("", **parts), {} if password is None else {"PGPASSWORD": str(password)}
