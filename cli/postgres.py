"""`aam postgres`: the local PostgreSQL, and psql on whichever PostgreSQL is in use."""

from typing import Annotated

import typer

from cli.console import say, write_json, write_line
from cli.exit_codes import ExitCode
from cli.local_status import as_json, as_lines
from infra.postgres.client import run_psql
from infra.postgres.server import LocalPostgres
from infra.settings import LocalSettings
from registry.settings import RegistrySettings
from schemas.failures import Misconfigured

app = typer.Typer(help="The local PostgreSQL with pgvector: start, stop, psql.", no_args_is_help=True)


@app.command()
def start() -> None:
    """Start a PostgreSQL that runs until `aam postgres stop`; its data stays under .aam/postgres. Prints its URL."""
    if _given():
        say("DATABASE_URL is set: AAM uses that database. Nothing was started; unset it to use a local PostgreSQL.")
        return
    write_line(LocalPostgres(LocalSettings().root).start(say=say).address or "")


@app.command()
def stop() -> None:
    """Stop the local PostgreSQL. Its data stays."""
    say("stopped" if LocalPostgres(LocalSettings().root).stop() else "it was not running")


@app.command()
def status(json: Annotated[bool, typer.Option("--json", help="For programs.")] = False) -> None:
    """Say whether the local PostgreSQL runs, and where (its URL holds its password). Exit code 1: it does not."""
    now = LocalPostgres(LocalSettings().root).status()
    if json:
        write_json(as_json(now))
    else:
        for line in as_lines(now):
            write_line(line)
        if _given():
            say("DATABASE_URL is set: AAM uses that database instead.")
    if now.state != "running":
        raise typer.Exit(ExitCode.DIFFERENCES)


@app.command(context_settings={"allow_extra_args": True, "ignore_unknown_options": True, "help_option_names": []})
def psql(context: typer.Context) -> None:
    """Open psql on the database in use; further arguments are psql's own. Its exit code is ours."""
    url = _given() or LocalPostgres(LocalSettings().root).database_url()
    if url is None:
        raise Misconfigured("No PostgreSQL to talk to: start one with `aam postgres start`, or set DATABASE_URL.")
    raise typer.Exit(run_psql(url, context.args))


def _given() -> str | None:
    url = RegistrySettings().database_url
    return url.get_secret_value() if url else None
