"""`aam kafka`: the local Kafka, and Kafka's own tools on whichever Kafka is in use."""

from typing import Annotated

import typer

from cli.console import say, write_json, write_line
from cli.exit_codes import ExitCode
from cli.local_status import as_json, as_lines
from infra.kafka.broker import LocalKafka
from infra.kafka.tools import MAIN_CLASSES, run_tool
from infra.log_file import follow, last_lines
from infra.settings import LocalSettings
from topics.settings import KafkaSettings

app = typer.Typer(help="The local Kafka: start, stop, look inside.", no_args_is_help=True)


@app.command()
def start() -> None:
    """Start a Kafka that runs until `aam kafka stop`; its data stays under .aam/kafka. Prints its address."""
    given = KafkaSettings().bootstrap_servers
    if given:
        say(f"KAFKA_BOOTSTRAP_SERVERS is set: AAM uses {given}. Nothing was started; unset it to use a local Kafka.")
        return
    write_line(LocalKafka(LocalSettings().root).start(say=say).address or "")


@app.command()
def stop() -> None:
    """Stop the local Kafka. Its data stays."""
    say("stopped" if LocalKafka(LocalSettings().root).stop() else "it was not running")


@app.command()
def status(json: Annotated[bool, typer.Option("--json", help="For programs.")] = False) -> None:
    """Say whether the local Kafka runs, and where. Exit code 1: it does not."""
    now, given = LocalKafka(LocalSettings().root).status(), KafkaSettings().bootstrap_servers
    if json:
        write_json({**as_json(now), "in_use": given or now.address})
    else:
        for line in as_lines(now):
            write_line(line)
        if given:
            say(f"KAFKA_BOOTSTRAP_SERVERS is set: AAM uses {given} instead.")
    if now.state != "running":
        raise typer.Exit(ExitCode.DIFFERENCES)


@app.command()
def logs(
    *,
    follow_: Annotated[bool, typer.Option("--follow", "-f", help="Go on with what is added.")] = False,
    lines: Annotated[int, typer.Option("--lines", "-n", min=0, help="How many of the last lines.")] = 50,
) -> None:
    """Print the local Kafka's log: warnings and errors of its last run."""
    log = LocalKafka(LocalSettings().root).status().log
    for line in last_lines(log, lines):
        write_line(line)
    for line in follow(log) if follow_ else ():
        write_line(line)


@app.command(
    context_settings={"allow_extra_args": True, "ignore_unknown_options": True, "help_option_names": []},
    epilog=f"Tools: {', '.join(MAIN_CLASSES)}",
)
def tool(
    context: typer.Context, name: Annotated[str, typer.Argument(help="As in Kafka's bin folder: kafka-topics, …")]
) -> None:
    """Run one of Kafka's own tools; the broker's address is added if you give none. Its exit code is ours."""
    local = LocalKafka(LocalSettings().root)
    address = KafkaSettings().bootstrap_servers or local.bootstrap_servers()
    raise typer.Exit(run_tool(name, context.args, bootstrap_servers=address, say=say))
