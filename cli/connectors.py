"""`aam connectors`: specs of sources, and tenants' connections to them: add, test, sync.

Secrets are given as references, typed without an echo, or piped; never as arguments, which other users of a machine can
see, and never printed.
"""

import json
import sys
from dataclasses import asdict
from datetime import UTC
from pathlib import Path
from typing import Annotated, Any

import typer
from pydantic import SecretStr

from cli import discover, scan_connections, sync_connection
from cli.actor import current_actor
from cli.console import say, write_json, write_line, write_table
from cli.exit_codes import ExitCode
from cli.services import load_settings, open_registry
from connectors.settings import ConnectorSettings
from connectors.spec_files import load_spec, read_spec, spec_files
from connectors.templates import check_settings
from registry.connections import Connections, NewConnection, StoredConnection
from registry.secret_cipher import new_key
from registry.secrets import KINDS, Secrets, SecretSettings
from schemas.auth_spec import AuthSpec, names_in
from schemas.connector_spec import ConnectorSpec
from schemas.failures import InvalidRecord, Misconfigured
from schemas.spec_problems import InvalidSpec, Problem

app = typer.Typer(no_args_is_help=True, help="Specs of sources: check, write, look inside; connections: add, sync.")
discover.add_to(app)
sync_connection.add_to(app)
scan_connections.add_to(app)

AsJson = Annotated[bool, typer.Option("--json", help="One JSON object.")]
Tenant = Annotated[str, typer.Option(help="Whose connection it is.")]
ConnectionId = Annotated[str, typer.Argument(help="Id of the connection.", metavar="CONNECTION")]


@app.command("list")
def list_(
    connections: Annotated[bool, typer.Option("--connections", help="Connections in place of connectors.")] = False,
    tenant: Annotated[str | None, typer.Option(help="Only this tenant's connections.")] = None,
    as_json: AsJson = False,
) -> None:
    """What AAM can pull from; or, with --connections, what it does pull from."""
    if connections or tenant:
        _list_connections(tenant, as_json=as_json)
        return
    rows = []
    for name, path in spec_files(load_settings(ConnectorSettings).specs_folder).items():
        try:
            rows.append(_summary(read_spec(path)))
        except Misconfigured as error:
            rows.append({"connector": name, "problem": str(error)})
    if as_json:
        write_json({"connectors": rows})
        return
    columns = ("connector", "entities", "credentials", "settings")
    write_table(columns, [[_shown(row.get(name, row.get("problem", ""))) for name in columns] for row in rows])


@app.command()
def validate(
    specs: Annotated[list[str] | None, typer.Argument(help="Names of connectors, or files; default all.")] = None,
    as_json: AsJson = False,
) -> None:
    """Check specs: every problem with its JSON path and what to do about it. Exit 1 if there is any."""
    files = spec_files(load_settings(ConnectorSettings).specs_folder)
    chosen = specs or list(files)
    found = {name: _problems(files.get(name) or Path(name)) for name in chosen}
    if as_json:
        write_json({name: [asdict(problem) for problem in problems] for name, problems in found.items()})
    else:
        for name, problems in found.items():
            for problem in problems:
                write_line(f"{name}: {problem.path}: {problem.message}" + (f". {problem.fix}" if problem.fix else ""))
        good = sum(not problems for problems in found.values())
        say(f"{good} of {len(found)} specs are sound")
    if any(found.values()):
        raise typer.Exit(ExitCode.DIFFERENCES)


@app.command()
def add(
    connector: Annotated[str, typer.Argument(help="Connector, as `aam connectors list` has it.")],
    tenant: Tenant,
    connection: Annotated[str | None, typer.Option("--id", help="Id of the connection; default the connector.")] = None,
    given: Annotated[list[str] | None, typer.Option("--set", help="A setting, NAME=VALUE.")] = None,
    secret: Annotated[
        list[str] | None,
        typer.Option(help="A credential: NAME=env:VAR, NAME=file:FILE, NAME=- (a line of stdin), or NAME to type it."),
    ] = None,
    entity: Annotated[list[str] | None, typer.Option(help="Sync only these.")] = None,
    every: Annotated[int | None, typer.Option(min=1, help="Seconds between syncs by `aam worker`.")] = None,
    base_url: Annotated[str | None, typer.Option(help="In place of the vendor's hosts: a sandbox or proxy.")] = None,
    as_json: AsJson = False,
) -> None:
    """Add a connection, or change the one of this id."""
    spec = load_spec(connector, load_settings(ConnectorSettings).specs_folder)
    identity = connection or connector
    settings = dict(_pair(text) for text in given or [])
    check_settings(spec, settings)
    _check_credentials(spec, [text.partition("=")[0] for text in secret or []])
    unknown = sorted(set(entity or []) - spec.entities.keys())
    if unknown:
        raise InvalidRecord(f"{connector} has no entity {unknown[0]}; it has {', '.join(spec.entities)}")
    with open_registry() as pool:
        secrets = Secrets(pool, load_settings(SecretSettings))
        references = dict(_reference(text, tenant, identity, secrets) for text in secret or [])
        new = NewConnection(tenant, identity, connector, settings, references, base_url, entity or None, every)
        store = Connections(pool)
        known = next(iter(store.find(tenant, identity)), None)
        if known is None:
            store.add(new, actor=current_actor())
        elif known.connector != connector:
            raise InvalidRecord(f"{identity} is a connection to {known.connector}: choose another --id")
        else:
            store.change(NewConnection(**asdict(new) | {"secrets": {**known.secrets, **references}}))
        stored = store.get(tenant, identity)
    missing = _missing_credentials(spec, stored)
    unset = [name for name in _needed_settings(spec) if name not in stored.settings]
    if as_json:
        write_json({**_connection(stored), "missing": missing, "missing_settings": unset})
        return
    write_line(f"{tenant}/{identity}: {'changed' if known else 'added'}")
    if unset:
        say(f"settings are missing: {', '.join(unset)}; add them with --set")
    if missing:
        say(f"credentials are missing: {missing}; add them with --secret")
    if not missing and not unset:
        say(f"next: aam connectors test {identity} --tenant {tenant}")


@app.command()
def pause(connection: ConnectionId, tenant: Tenant) -> None:
    """Sync a connection no more until it is resumed."""
    with open_registry() as pool:
        Connections(pool).set_status(tenant, connection, "paused", reason=f"paused by {current_actor()}")


@app.command()
def resume(connection: ConnectionId, tenant: Tenant) -> None:
    """Sync a connection again, from where it was; after what it asked for was done."""
    with open_registry() as pool:
        Connections(pool).set_status(tenant, connection, "active")


@app.command()
def remove(connection: ConnectionId, tenant: Tenant) -> None:
    """Forget a connection, its positions and stored secrets. What it delivered stays."""
    with open_registry() as pool:
        Connections(pool).remove(tenant, connection)
        Secrets(pool, load_settings(SecretSettings)).remove(tenant, f"{connection}/")


@app.command()
def key() -> None:
    """A new key for AAM_SECRET_KEY, under which secrets are stored."""
    write_line(new_key())


@app.command()
def rotate() -> None:
    """Encrypt stored secrets again under the first key of AAM_SECRET_KEY; then the older keys can go."""
    with open_registry() as pool:
        count = Secrets(pool, load_settings(SecretSettings)).rotate()
    write_line(f"{count} secrets are under the current key now")


def _problems(path: Path) -> list[Problem]:
    try:
        read_spec(path)
    except InvalidSpec as error:
        return error.problems
    except Misconfigured as error:
        return [Problem("$", str(error))]
    return []


def _summary(spec: ConnectorSpec) -> dict[str, Any]:
    return {
        "connector": spec.name,
        "title": spec.title or spec.name,
        "entities": list(spec.entities),
        "auth": [auth.kind for auth in spec.auths],
        "credentials": _or([_credentials(spec, auth) for auth in spec.auths]),
        "limits": [f"{limit.limit} per {limit.per}" for limit in spec.limits],
        "settings": _needed_settings(spec),
    }


def _list_connections(tenant: str | None, *, as_json: bool) -> None:
    with open_registry() as pool:
        found = Connections(pool).find(tenant)
    if as_json:
        write_json({"connections": [_connection(stored) for stored in found]})
        return
    rows = [
        (
            stored.tenant,
            stored.id,
            stored.connector,
            _status(stored),
            stored.records,
            f"{stored.last_sync_at.astimezone(UTC):%Y-%m-%d %H:%M:%S}" if stored.last_sync_at else "never",
        )
        for stored in found
    ]
    write_table(("tenant", "connection", "connector", "status", "records", "last sync (UTC)"), rows)


def _status(stored: StoredConnection) -> str:
    status = "syncing" if stored.is_syncing else stored.status.replace("_", " ")
    parts = [part for part in (stored.reason, stored.fix) if part]
    parts += [f"{entity or 'connection'}: {problem['reason']}" for entity, problem in stored.problems.items() if entity]
    return f"{status}: {'; '.join(parts)}" if parts else status


def _connection(stored: StoredConnection) -> dict[str, Any]:
    """As JSON; of secrets, the references."""
    return json.loads(json.dumps(asdict(stored), default=str))  # type: ignore[no-any-return]  # an object


def _missing_credentials(spec: ConnectorSpec, stored: StoredConnection) -> str:
    """What none of the spec's ways to be let in can do without; empty if one of them has all."""
    given = set(stored.secrets) | set(stored.settings) | {n for n, v in spec.config.items() if v.default is not None}
    lacking = [sorted(set(_credentials(spec, auth)) - given) for auth in spec.auths]
    return "" if not all(lacking) else _or(lacking)


def _needed_settings(spec: ConnectorSpec) -> list[str]:
    """Settings that have no default."""
    return [name for name, variable in spec.config.items() if variable.default is None and not variable.secret]


def _credentials(spec: ConnectorSpec, auth: AuthSpec) -> list[str]:
    """What one way to be let in asks for, beside settings."""
    return sorted(name for name in names_in(auth) if name not in spec.config or spec.config[name].secret)


def _check_credentials(spec: ConnectorSpec, given: list[str]) -> None:
    """Refuses a credential that no way of the spec's asks for: it would be stored and never used."""
    known = {name for auth in spec.auths for name in _credentials(spec, auth)}
    known |= {name for name, variable in spec.config.items() if variable.secret}
    unknown = [name for name in given if name not in known]
    if unknown:
        ways = _or([_credentials(spec, auth) for auth in spec.auths]) or "none"
        raise InvalidRecord(f"{spec.name} takes no credential {unknown[0]}; it takes {ways}")


def _or(ways: list[list[str]]) -> str:
    return " or ".join(dict.fromkeys(", ".join(names) for names in ways))


def _pair(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals or not name:
        raise InvalidRecord(f"--set takes NAME=VALUE, not {text!r}")
    return name, value


def _reference(text: str, tenant: str, connection: str, secrets: Secrets) -> tuple[str, str]:
    """(credential, reference). A value in place of a reference is refused, and not repeated."""
    name, equals, source = text.partition("=")
    if equals and source != "-":
        if source.partition(":")[0] not in KINDS:
            raise InvalidRecord(f"--secret {name} takes a reference (env:, file:), or - to read it from standard input")
        return name, source
    value = sys.stdin.readline().rstrip("\r\n") if source == "-" else typer.prompt(name, hide_input=True, err=True)
    if not value:
        raise InvalidRecord(f"--secret {name}: nothing was given")
    return name, secrets.put(tenant, f"{connection}/{name}", SecretStr(value))


def _shown(value: Any) -> str:
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)
