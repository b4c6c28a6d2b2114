"""`aam migrate`: brings the registry's database up to date. What is applied, and how, is up to `registry.migrate`."""

import typer

from cli.console import say, write_line
from cli.services import registry_settings
from registry.migrate import migrate as apply_migrations
from schemas.failures import Misconfigured

app = typer.Typer()


@app.command()
def migrate() -> None:
    """Apply the missing migrations to the registry's database; prints their names. Safe to run at any time."""
    address = registry_settings().database_url
    if address is None:
        raise Misconfigured("DATABASE_URL is not set")
    applied = apply_migrations(address.get_secret_value())
    for name in applied:
        write_line(name)
    say(f"{len(applied)} migrations applied" if applied else "the database is up to date")
