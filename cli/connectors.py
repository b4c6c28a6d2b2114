"""`aam connectors`: what AAM can pull from, and what their records look like."""

import typer

from cli import discover

app = typer.Typer(no_args_is_help=True, help="Specs of sources: check, write, look inside.")
discover.add_to(app)
