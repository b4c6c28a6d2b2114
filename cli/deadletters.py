"""`aam deadletters`: what could not be processed, why, and how to try it again. How a retry happens exactly once is up
to `topics.dead_letter_topic`.
"""

from datetime import UTC, datetime
from typing import Annotated

import typer

from cli.console import say, write_json, write_line, write_table
from cli.exit_codes import ExitCode
from cli.services import kafka_settings
from schemas.failures import FailureKind, Misconfigured
from topics import dead_letter_topic
from topics.dead_letter import DeadLetter
from topics.dead_letter_topic import Place, Wanted

app = typer.Typer(no_args_is_help=True, help="List, show and retry records that could not be processed.")

Json = Annotated[bool, typer.Option("--json", help="JSON, a line each.")]
Tenant = Annotated[str | None, typer.Option(help="Only this tenant's.")]
Kind = Annotated[FailureKind | None, typer.Option(help="Only failures of this kind.")]


@app.command("list")
def list_letters(
    tenant: Tenant = None,
    kind: Kind = None,
    limit: Annotated[int, typer.Option(min=1, max=10_000, help="Most dead letters shown, the newest.")] = 50,
    retried: Annotated[bool, typer.Option("--retried", help="Also those that were retried.")] = False,
    as_json: Json = False,
) -> None:
    """List dead letters, the newest last."""
    letters = dead_letter_topic.newest(kafka_settings(), _wanted(tenant, kind, ()), limit=limit, retried=retried)
    if as_json:
        for letter in letters:
            write_json(_as_dict(letter))
        return
    if not letters:
        say("no dead letters")
        return
    columns = ("time (UTC)", "place", "tenant", "source", "kind", "stage", "tries", "reason")
    write_table(columns, [_row(letter) for letter in letters])


@app.command()
def show(
    place: Annotated[str, typer.Argument(metavar="PARTITION:OFFSET")],
    as_json: Json = False,
) -> None:
    """Show one dead letter whole, with the record's own bytes: they may hold personal data."""
    letter = dead_letter_topic.find(kafka_settings(), _place(place))
    if letter is None:
        say(f"no dead letter at {place}")
        raise typer.Exit(ExitCode.DIFFERENCES)
    headers = [(name, _text(value)) for name, value in letter.record.headers]
    if as_json:
        record = {"key": _text(letter.record.key), "headers": headers, "value": _text(letter.record.value)}
        write_json(_as_dict(letter) | record)
        return
    for name, value in _as_dict(letter).items():
        write_line(f"{name}: {value}")
    for header, text in headers:
        write_line(f"header {header}: {text}")
    write_line(f"key: {_text(letter.record.key)}")
    write_line(f"value: {_text(letter.record.value)}")


@app.command()
def retry(
    places: Annotated[list[str] | None, typer.Argument(metavar="[PARTITION:OFFSET]...")] = None,
    tenant: Tenant = None,
    kind: Kind = None,
    everything: Annotated[bool, typer.Option("--all", help="Every dead letter that was never retried.")] = False,
) -> None:
    """Write dead letters back to where they failed: the original bytes and headers, each at most once.

    Name the ones, filter them, or say --all. One that fails again becomes a new dead letter with its tries counted.
    """
    given = [_place(place) for place in places or ()]
    if not (given or tenant or kind or everything):
        raise typer.BadParameter("name dead letters, give --tenant or --kind, or say --all")
    done = dead_letter_topic.retry(kafka_settings(), _wanted(tenant, kind, given))
    for (partition, offset), reason in done.refused.items():
        say(f"{partition}:{offset} was not retried: {reason}")
    say(f"{done.count} dead letters retried")
    if done.refused or done.count < len(set(given)):
        if done.count + len(done.refused) < len(set(given)):
            say("the others are not there, do not fit the filter, or were retried before")
        raise typer.Exit(ExitCode.DIFFERENCES)


def _wanted(tenant: str | None, kind: FailureKind | None, places: tuple[Place, ...] | list[Place]) -> Wanted:
    return Wanted(tenant, None if kind is None else str(kind), frozenset(places) or None)


def _place(text: str) -> Place:
    partition, _, offset = text.partition(":")
    if not (partition.isascii() and partition.isdigit() and offset.isascii() and offset.isdigit()):
        raise typer.BadParameter("a dead letter is named PARTITION:OFFSET, e.g. 3:41")
    if int(partition) > 2**31 - 1 or int(offset) > 2**63 - 1:
        raise Misconfigured("there is no such partition or offset")
    return int(partition), int(offset)


def _row(letter: DeadLetter) -> tuple[object, ...]:
    return (
        _time(letter.timestamp_ms)[:19],
        f"{letter.partition}:{letter.offset}",
        letter.tenant or "?",
        f"{letter.connector or '?'}/{letter.entity or '?'}",
        letter.kind,
        letter.stage,
        letter.attempts,
        letter.reason,
    )


def _as_dict(letter: DeadLetter) -> dict[str, object]:
    return {
        "place": f"{letter.partition}:{letter.offset}",
        "time": _time(letter.timestamp_ms),
        "tenant": letter.tenant,
        "connector": letter.connector,
        "entity": letter.entity,
        "kind": letter.kind,
        "stage": letter.stage,
        "reason": letter.reason,
        "exception": letter.exception,
        "attempts": letter.attempts,
        "failed_at": letter.failed_at and "{}[{}]@{}".format(*letter.failed_at),
        "original": letter.original and "{}[{}]@{}".format(*letter.original),
        "truncated": letter.truncated,
    }


def _time(timestamp_ms: int) -> str:
    return datetime.fromtimestamp(max(0, timestamp_ms) / 1000, UTC).isoformat(timespec="milliseconds")


def _text(value: bytes | None) -> str | None:
    """Text where it is text, else hexadecimal."""
    if value is None:
        return None
    try:
        return value.decode()
    except UnicodeDecodeError:
        return f"0x{value.hex()}"
