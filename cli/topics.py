"""`aam topics`: the catalogue on a cluster. What is compared and created is up to `topics.provision`."""

from typing import Annotated

import typer

from cli.console import say, write_json, write_line, write_table
from cli.exit_codes import ExitCode
from cli.services import kafka_settings, load_settings
from topics import provision
from topics.clients import make_admin
from topics.provision import Aspect, Difference
from topics.settings import KafkaSettings

app = typer.Typer(no_args_is_help=True, help="Create the topics, or show what differs.")

Json = Annotated[bool, typer.Option("--json", help="JSON, a line each.")]


@app.command("list")
def list_topics(as_json: Json = False) -> None:
    """Show the catalogue under this installation's prefix; asks no broker."""
    catalogue = load_settings(KafkaSettings).catalogue()
    if as_json:
        for spec in catalogue:
            write_json(spec.model_dump(exclude_none=True))
        return
    rows = [(s.name, s.partitions, s.cleanup_policy, _retention(s.retention_hours), s.purpose) for s in catalogue]
    write_table(("topic", "partitions", "policy", "kept", "purpose"), rows)


@app.command()
def diff(as_json: Json = False) -> None:
    """Show how the cluster differs from the catalogue; exit code 1 if it does."""
    settings = kafka_settings()
    differences = provision.plan(make_admin(settings), settings.catalogue())
    _show(differences, as_json=as_json)
    if differences:
        raise typer.Exit(ExitCode.DIFFERENCES)
    say("The topics are as the catalogue says.")


@app.command()
def apply(
    alter: Annotated[bool, typer.Option("--alter", help="Also set topic properties that differ.")] = False,
    as_json: Json = False,
) -> None:
    """Create the missing topics. Deletes nothing, and never changes partitions or replicas.

    What still differs afterwards is shown, with exit code 1.
    """
    settings = kafka_settings()
    admin, catalogue = make_admin(settings), settings.catalogue()
    differences = provision.plan(admin, catalogue)
    done = provision.apply(admin, catalogue, differences, alter=alter)
    for difference in done:
        verb = "created" if difference.aspect is Aspect.MISSING else f"set {difference.name} of"
        say(f"{verb} {difference.topic}")
    rest = [difference for difference in differences if difference not in done]
    _show(rest, as_json=as_json)
    if rest:
        if any(difference.aspect is Aspect.PROPERTY for difference in rest):
            say("`aam topics apply --alter` sets the properties.")
        raise typer.Exit(ExitCode.DIFFERENCES)
    say(f"All {len(catalogue)} topics are as the catalogue says.")


def _show(differences: list[Difference], *, as_json: bool) -> None:
    for difference in differences:
        if as_json:
            write_json(difference.as_dict())
        else:
            write_line(str(difference))


def _retention(hours: int | None) -> str:
    return "latest of each key" if hours is None else f"{hours // 24} d" if hours % 24 == 0 else f"{hours} h"
