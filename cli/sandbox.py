"""`aam sandbox`: runs local vendors, and commands a running one: drift, bad days. What these do is up to `sandbox`."""

import signal
import sys
import threading
from pathlib import Path
from typing import Annotated, Any

import httpx
import typer

from cli.console import say, write_json, write_line, write_table
from cli.services import load_settings
from sandbox.admin import CREDENTIALS
from sandbox.fields_file import write_fields
from sandbox.generated_vendors import generate_vendors
from sandbox.server import running_sandbox
from sandbox.settings import SandboxSettings
from sandbox.vendor_documents import true_fields
from schemas.failures import Misconfigured, TransientError

app = typer.Typer(
    add_completion=False, help="Run local vendors to try connectors on, and give them drift and bad days."
)

TIMEOUT_SECONDS = 30.0

Url = Annotated[str | None, typer.Option(help="Of the running sandbox; default http://127.0.0.1:8900.")]
Vendor = Annotated[str, typer.Argument(help="Name of the vendor.")]
Entity = Annotated[str, typer.Argument(help="One of its entities.")]


@app.callback(invoke_without_command=True)
def sandbox(
    context: typer.Context,
    port: Annotated[int | None, typer.Option(min=0, max=65535, help="Port; 0: any free one.")] = None,
    processes: Annotated[int | None, typer.Option(min=1, help="Processes that serve.")] = None,
    records: Annotated[int | None, typer.Option(min=1, help="Records of an entity.")] = None,
    vendors: Annotated[int | None, typer.Option(min=0, help="Generated vendors beside the eleven.")] = None,
    entities: Annotated[int | None, typer.Option(min=1, max=12, help="Entities of a generated vendor.")] = None,
    fields: Annotated[Path | None, typer.Option(help="CSV of the generated vendors' fields.")] = None,
    seed: Annotated[int | None, typer.Option(help="The same seed, the same records.")] = None,
    limits: Annotated[bool | None, typer.Option(help="Refuse what the vendors would refuse as too much.")] = None,
) -> None:
    """Run local vendors until Ctrl-C; the commands below change a running one."""
    if context.invoked_subcommand is not None:
        return
    given = {"port": port, "processes": processes, "records": records, "vendors": vendors, "fields": fields}
    given |= {"entities": entities, "seed": seed, "limits": limits}
    settings = load_settings(SandboxSettings).model_copy(
        update={name: value for name, value in given.items() if value is not None}
    )
    ended = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: ended.set())
    with running_sandbox(settings) as url:
        write_line(url)
        say(f"{url}/stripe stands for https://api.stripe.com, and so on; {url}/_sandbox lists all vendors")
        say(f"token, API key and password: {CREDENTIALS['token']}; Ctrl-C ends it")
        ended.wait()


@app.command()
def show(url: Url = None, as_json: Annotated[bool, typer.Option("--json", help="All of it as JSON.")] = False) -> None:
    """Say what a running sandbox plays, and what it was commanded."""
    listed, commands = _ask("GET", "", url), _ask("GET", "/commands", url)
    if as_json:
        write_json(listed | {"commands": commands})
        return
    write_table(["credential", "value"], list(listed["credentials"].items()))
    write_line(f"{len(listed['vendors'])} vendors: {', '.join(listed['vendors'][:20])}")
    for entity, changes in commands["drift"].items():
        write_line(f"drift of {entity}: {', '.join(_told(change) for change in changes)}")
    for fault in commands["faults"]:
        write_line(f"fault of {fault['vendor']}/{fault['entity'] or '*'}: {fault['kind']}")


@app.command()
def drift(
    vendor: Vendor,
    entity: Entity,
    kind: Annotated[str, typer.Argument(help="add, remove, rename or retype.")],
    field: Annotated[str, typer.Argument(help="Path of the field.")],
    to: Annotated[
        str | None, typer.Argument(help="rename: new name; retype: string, number, boolean, null; add: its value.")
    ] = None,
    url: Url = None,
) -> None:
    """Change a field in all records of an entity, as vendors do without saying so."""
    body: dict[str, Any] = {"vendor": vendor, "entity": entity, "kind": kind, "field": field}
    _ask("POST", "/drift", url, body | {"value" if kind == "add" else "to": to})
    say(f"{vendor}/{entity}: {_told(body | {'to': to})}")


@app.command()
def fault(
    vendor: Vendor,
    kind: Annotated[
        str,
        typer.Argument(
            help="slow, status, limit, html, malformed, truncated, huge, bomb, error_200, endless, repeat or keyless."
        ),
    ],
    entity: Annotated[str | None, typer.Option(help="Only this entity's requests.")] = None,
    times: Annotated[int | None, typer.Option(min=1, help="So many requests in each process.")] = None,
    share: Annotated[float, typer.Option(min=0.0, max=1.0, help="Share of the requests.")] = 1.0,
    seconds: Annotated[float, typer.Option(min=0, help="slow: for an answer; limit: to wait.")] = 1.0,
    status: Annotated[int, typer.Option(min=400, max=599, help="status: which.")] = 500,
    megabytes: Annotated[int, typer.Option(min=1, max=2048, help="huge, bomb: size of the body.")] = 64,
    url: Url = None,
) -> None:
    """Give a vendor a bad day, until `clear` or for so many requests."""
    body = {"vendor": vendor, "kind": kind, "entity": entity, "times": times, "share": share}
    _ask("POST", "/faults", url, body | {"seconds": seconds, "status": status, "megabytes": megabytes})
    say(f"{vendor}/{entity or '*'}: {kind}")


@app.command()
def fields(
    vendors: Annotated[int, typer.Option(min=1, help="So many generated vendors.")] = 100,
    entities: Annotated[int, typer.Option(min=1, max=12, help="Entities of each.")] = 1,
    seed: Annotated[int, typer.Option(help="The same seed, the same vendors.")] = 7,
) -> None:
    """Write the generated vendors' fields with their canonical counterparts, as --fields takes them."""
    made = generate_vendors(vendors, entities=entities, seed=seed)
    write_fields(sys.stdout, (field for vendor in made for field in true_fields(vendor, seed)))


@app.command()
def clear(url: Url = None) -> None:
    """End all drift and all bad days."""
    _ask("DELETE", "/commands", url)
    say("the vendors are as they were")


def _ask(method: str, path: str, url: str | None, body: Any = None) -> Any:
    settings = load_settings(SandboxSettings)
    base = (url or f"http://{settings.host}:{settings.port}").rstrip("/")
    try:
        answer = httpx.request(method, f"{base}/_sandbox{path}", json=body, timeout=TIMEOUT_SECONDS, trust_env=False)
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise TransientError(f"no sandbox answers at {base}: run aam sandbox, or say --url") from error
    if answer.status_code != 200:
        raise Misconfigured(str(answer.json().get("error", answer.status_code)))
    return answer.json()


def _told(change: dict[str, Any]) -> str:
    return f"{change['kind']} {change['field']}" + (f" to {change['to']}" if change.get("to") else "")
