"""The `aam` command: which commands there are, and the one place where an error becomes a line and an exit code.

A command's module is imported when it runs, not before: `aam --help` answers at once. What a command does stands in
its own module.
"""

import logging
import os
import sys
from importlib import import_module
from importlib.metadata import version
from typing import Any

import typer
from typer.core import TyperCommand, TyperGroup

from cli.console import say
from cli.exit_codes import MEANINGS, ExitCode, exit_code
from schemas.failures import AamError

# Before numpy is imported: matching's small matrices gain nothing from threads and lose much where these find no free
# core, and sums in another order give another model.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

# name -> (module that has `app`, one line of help), in the order of `aam --help`
COMMANDS = {
    "demo": ("cli.demo", "Show the whole system at work, on services of its own."),
    "kafka": ("cli.kafka", "The local Kafka: start, stop, look inside."),
    "postgres": ("cli.postgres", "The local Postgres: start, stop, open a shell."),
    "topics": ("cli.topics", "Create the topics, or show what differs."),
    "migrate": ("cli.migrate", "Bring the registry's database up to date."),
    "mappings": ("cli.mappings", "What fields are: list, propose, approve, roll back."),
    "review": ("cli.review", "Decide about source fields in doubt."),
    "experiments": ("cli.experiments", "Try proposed mappings on a share of the records."),
    "registry": ("cli.registry", "The audit trail; recovery after a restore."),
    "explain": ("cli.explain", "Why a source field became what it is."),
    "eval": ("cli.eval", "Judge matching on labelled mappings."),
    "calibrate": ("cli.calibrate", "Fit the matching model anew."),
    "connectors": ("cli.connectors", "Pull from vendors: specs, connections, syncs."),
    "sandbox": ("cli.sandbox", "Local vendors to try connectors on, with drift and bad days."),
    "worker": ("cli.worker", "Run the agents: raw records in, canonical events out."),
    "gateway": ("cli.gateway", "Serve the API and the schemas."),
    "produce": ("cli.produce", "Send raw records from a file or a pipe."),
    "tail": ("cli.tail", "Show canonical events as they come."),
    "deadletters": ("cli.deadletters", "List, show and retry records that could not be processed."),
    "parked": ("cli.parked", "List and release records whose source has no mapping."),
    "doctor": ("cli.doctor", "Check machine and services, and say how to fix them."),
}

# \b keeps the lines
EPILOG = "\b\nExit codes:\n" + "\n".join(f"{code.value:>5}  {meaning}" for code, meaning in MEANINGS.items())


class LazyGroup(TyperGroup):
    """Commands by name, each imported when it runs. In a listing they stand with their line of help alone."""

    _listing = False

    def list_commands(self, ctx: Any) -> list[str]:
        return [*COMMANDS, *super().list_commands(ctx)]

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        if cmd_name not in COMMANDS:
            return super().get_command(ctx, cmd_name)
        module, line = COMMANDS[cmd_name]
        if self._listing:
            return TyperCommand(cmd_name, callback=None, help=line)
        command = typer.main.get_command(import_module(module).app)
        command.name = cmd_name
        return command

    def format_help(self, ctx: Any, formatter: Any) -> None:
        self._listing = True
        try:
            super().format_help(ctx, formatter)
        finally:
            self._listing = False

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except AamError as error:
            say(f"aam: {error}")
            raise typer.Exit(exit_code(error)) from error
        except ValueError as error:
            raise _as_exit(error) from error
        except KeyboardInterrupt:
            raise typer.Exit(ExitCode.INTERRUPTED) from None
        except BrokenPipeError:
            # the reader (`| head`) has what it wanted; what is flushed at exit goes nowhere (Python docs, SIGPIPE)
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            raise typer.Exit(ExitCode.OK) from None


def _as_exit(error: ValueError) -> Exception:
    """Wrong settings, which pydantic reports, as a line and an exit code; any other error as it is."""
    from pydantic import ValidationError  # noqa: PLC0415  # slow to import

    if not isinstance(error, ValidationError) or not error.title.endswith("Settings"):
        return error
    say("aam: " + "; ".join(f"{'.'.join(map(str, issue['loc']))}: {issue['msg']}" for issue in error.errors()))
    return typer.Exit(ExitCode.MISCONFIGURED)


app = typer.Typer(
    cls=LazyGroup,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_show_locals=False,
    rich_markup_mode=None,  # rich takes longer to import than everything else
    epilog=EPILOG,
)


@app.callback()
def aam() -> None:
    """The Adaptive API Mesh: raw SaaS records in, canonical events out, on Kafka."""
    logging.basicConfig(level=logging.WARNING, format="%(name)s: %(message)s", stream=sys.stderr)
    # librdkafka retries by itself; what it can't mend is an error of the call that needed it
    logging.getLogger("aam.kafka").setLevel(logging.CRITICAL)


@app.command("version")
def show_version() -> None:
    """Print the version."""
    typer.echo(version("adaptive-api-mesh"))
