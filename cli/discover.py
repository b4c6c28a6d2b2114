"""`aam connectors discover` and `new`: what a source's records look like, told or announced, and a spec to begin with.

What is found in documents and samples is decided in `connectors`; this fetches, prints and publishes.
"""

import asyncio
import json
import sys
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import urlsplit

import typer

from agents.connection_credentials import StoredCredentials
from cli.console import say, write_json, write_line, write_table
from cli.json_input import split_records
from cli.publish_schemas import publish
from cli.services import load_settings, open_registry
from connectors.discover_openapi import discover_openapi
from connectors.discover_samples import RECORDS, discover_samples
from connectors.discover_vendor import discover_vendor
from connectors.discovery import DiscoveredEntity, Discovery, as_json, schema_change
from connectors.draft_spec import Draft, Note, draft_spec
from connectors.egress import Egress
from connectors.errors import BadResponse
from connectors.limits import LimitBook
from connectors.openapi_document import MAX_DOCUMENT_BYTES, OpenApiDocument, parse_document
from connectors.settings import ConnectorSettings
from connectors.spec_files import load_spec
from connectors.vendor import Access, Vendor
from mapping.decode_json import decode
from registry.connections import Connections, StoredConnection
from registry.secrets import Secrets, SecretSettings
from schemas.connector_spec import ConnectorSpec
from schemas.failures import InvalidRecord, Misconfigured
from schemas.spec_problems import InvalidSpec, spec_of

OpenApi = Annotated[
    str | None, typer.Option("--openapi", metavar="FILE|URL", help="An OpenAPI document: 2.0 (Swagger), 3.0 or 3.1.")
]
Entities = Annotated[list[str] | None, typer.Option("--entity", help="Only this kind of record; can be repeated.")]
Json = Annotated[bool, typer.Option("--json", help="JSON, one object.")]


def add_to(app: typer.Typer) -> None:
    """Register the commands of this module with `aam connectors`."""
    app.command("discover")(discover)
    app.command("new")(new)


def discover(
    connector: Annotated[str | None, typer.Argument(help="A connector, e.g. stripe.")] = None,
    openapi: OpenApi = None,
    samples: Annotated[
        str | None, typer.Option("--samples", metavar="FILE", help="Sampled records: JSON or JSON Lines; - is a pipe.")
    ] = None,
    entities: Entities = None,
    publish_it: Annotated[bool, typer.Option("--publish", help="Announce what was found as schema changes.")] = False,
    tenant: Annotated[
        str | None, typer.Option(help="Look at this tenant's connection itself; with --publish, whose schema it is.")
    ] = None,
    connection: Annotated[
        str | None, typer.Option(help="Which of the tenant's; default: the connector's name.")
    ] = None,
    as_json_too: Json = False,
) -> None:
    """Show which entities and fields a source has: by its OpenAPI document, its records, or a tenant's connection."""
    if sum(given is not None for given in (openapi, samples)) > 1 or not (connector or openapi or samples):
        raise typer.BadParameter("give a connector, --openapi or --samples")
    if publish_it and not (tenant and connector):
        raise typer.BadParameter("needs --tenant and a connector's name", param_hint="--publish")
    if connector and tenant and not (openapi or samples):
        found = _connection(connector, tenant, connection or connector, entities)
    else:
        found = _discovered(connector, openapi, samples, entities or [])
    for problem in found.problems:
        say(f"left out: {problem}")
    if as_json_too:
        write_json(as_json(found))
    elif entities or len(found.entities) == 1:
        for entity in found.entities:
            _show_fields(entity)
    else:
        _show_entities(found)
    if publish_it and tenant and connector:
        _publish(found, tenant, connector, connection or connector)


def new(
    openapi: Annotated[str, typer.Option("--openapi", metavar="FILE|URL", help="The vendor's OpenAPI document.")],
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="File to write; default: standard output.")
    ] = None,
    name: Annotated[str | None, typer.Option(help="Name of the connector; default: by the API's host.")] = None,
    entities: Entities = None,
) -> None:
    """Write a connector's spec from an OpenAPI document, to be finished by you. What it guessed is told beside it."""
    if output is not None and output.exists():
        raise typer.BadParameter(f"{output} is there already", param_hint="--output")
    document, url = _document(openapi)
    discovery = discover_openapi(document, fetched_from=url)
    name = name or (output.stem if output is not None else None)
    draft = draft_spec(discovery, name=name, entities=entities or (), document_url=url)
    text = json.dumps(draft.spec, indent=2, ensure_ascii=False) + "\n"
    if output is None:
        sys.stdout.write(text)
    else:
        output.write_text(text, encoding="utf-8")
        say(f"{output}: {len(draft.spec['entities'])} entities")
    _tell_guesses(draft, discovery)


# -- what to look at


def _discovered(connector: str | None, openapi: str | None, samples: str | None, names: list[str]) -> Discovery:
    if samples is not None:
        if len(names) > 1:
            raise typer.BadParameter("samples are of one entity", param_hint="--entity")
        return discover_samples(_samples(samples), names[0] if names else _stem(samples))
    spec = None
    if openapi is None:
        assert connector is not None, "checked above"
        spec = load_spec(connector, load_settings(ConnectorSettings).specs_folder)
        openapi = spec.openapi_spec_url
        if openapi is None:
            raise Misconfigured(f"{connector}'s spec names no OpenAPI document: give --openapi, --samples or --tenant")
    document, url = _document(openapi)
    found = discover_openapi(document, fetched_from=url)
    return _only(found if spec is None else _of_spec(found, spec), names)


def _connection(connector: str, tenant: str, connection: str, names: list[str] | None) -> Discovery:
    with open_registry() as pool:
        connections = Connections(pool)
        stored = connections.get(tenant, connection)
        if stored.connector != connector:
            raise Misconfigured(f"{connection} is a connection to {stored.connector}")
        credentials = StoredCredentials(stored, connections, Secrets(pool, load_settings(SecretSettings)))
        return asyncio.run(_looked_at(stored, credentials, names or stored.entities))


async def _looked_at(
    stored: StoredConnection, credentials: StoredCredentials, names: Sequence[str] | None
) -> Discovery:
    settings = load_settings(ConnectorSettings)
    spec = load_spec(stored.connector, settings.specs_folder)
    unknown = [name for name in names or () if name not in spec.entities]
    if unknown:
        raise Misconfigured(f"there is no entity {unknown[0]}; there are {', '.join(spec.entities)}")
    async with Egress(settings) as egress:
        access = Access(stored.tenant, stored.id, credentials, stored.settings, stored.base_url)
        return await discover_vendor(Vendor(spec, access, egress, LimitBook(), settings), names)


def _of_spec(found: Discovery, spec: ConnectorSpec) -> Discovery:
    """The entities that the spec reads, under its names."""
    by_component = {entity.component: entity for entity in found.entities if entity.component}
    by_name = {entity.name: entity for entity in found.entities}
    kept, missing = [], []
    for name, entity in spec.entities.items():
        match = by_component.get(entity.openapi_schema or "") or by_name.get(name)
        if match is None:
            missing.append(f"{name}: the document has no such entity")
        else:
            kept.append(_renamed(match, name, entity.primary_key))
    return Discovery(found.title, tuple(kept), found.base_url, found.auth, (*found.problems, *missing))


def _renamed(entity: DiscoveredEntity, name: str, key: tuple[str, ...]) -> DiscoveredEntity:
    schema = entity.schema.model_copy(update={"primary_key": key})
    return replace(entity, name=name, schema=schema, primary_key_reason="the spec says so")


def _only(found: Discovery, names: list[str]) -> Discovery:
    known = {entity.name: entity for entity in found.entities}
    unknown = [name for name in names if name not in known]
    if unknown:
        raise Misconfigured(f"there is no entity {unknown[0]}; there are {', '.join(known)}")
    kept = tuple(known[name] for name in names) if names else found.entities
    return Discovery(found.title, kept, found.base_url, found.auth, found.problems)


def _document(place: str) -> tuple[OpenApiDocument, str | None]:
    """(the document, its address if it was fetched)."""
    if urlsplit(place).scheme in ("http", "https"):
        return parse_document(asyncio.run(_fetched(place))), place
    try:
        with sys.stdin.buffer if place == "-" else Path(place).open("rb") as file:
            return parse_document(file.read(MAX_DOCUMENT_BYTES + 1)), None
    except OSError as error:
        raise Misconfigured(f"{place}: {error.strerror}") from error


async def _fetched(url: str) -> bytes:
    async with Egress(load_settings(ConnectorSettings)) as egress:
        answer = await egress.fetch("GET", url, max_bytes=MAX_DOCUMENT_BYTES)
    if answer.status != 200:
        raise BadResponse(f"{url} answers HTTP {answer.status}")
    return answer.body


def _samples(place: str) -> Any:
    """One decoded value: a list of records, or a response around them."""
    try:
        with sys.stdin.buffer if place == "-" else Path(place).open("rb") as file:
            records = [decode(text) for _, text in islice(split_records(file), RECORDS + 1)]
    except OSError as error:
        raise Misconfigured(f"{place}: {error.strerror}") from error
    if not records:
        raise InvalidRecord("the samples are empty")
    return records[0] if len(records) == 1 else records


def _stem(place: str) -> str:
    return "record" if place == "-" else Path(place).name.split(".")[0]


# -- what was found


def _show_entities(found: Discovery) -> None:
    columns = ("entity", "fields", "key", "how", "paging")
    write_table(columns, [_entity_row(entity) for entity in found.entities])
    where = found.base_url.url if found.base_url else "no host named"
    auth = f", auth {found.auth.kind} ({found.auth.reason})" if found.auth else ""
    count = sum(len(entity.schema.fields) for entity in found.entities)
    say(f"{found.title}: {len(found.entities)} entities, {count} fields; {where}{auth}.")
    say("Fields: --entity NAME, or --json.")


def _entity_row(entity: DiscoveredEntity) -> tuple[object, ...]:
    first = entity.operations[0] if entity.operations else None
    return (
        entity.name,
        f"{len(entity.schema.fields)}{'+' if entity.is_cut else ''}",
        ", ".join(entity.schema.primary_key),
        f"{first.kind} {first.method} {first.path}" if first else "",
        entity.paging.kind if entity.paging else "",
    )


def _show_fields(entity: DiscoveredEntity) -> None:
    sampled = bool(entity.samples)
    columns = ("path", "types", "format", "values", *(("present", "shapes") if sampled else ("description",)))
    write_table(columns, [_field_row(entity, index, sampled) for index in range(len(entity.schema.fields))])
    key = ", ".join(entity.schema.primary_key) or "none"
    write_line(f"{entity.name}: key {key} ({entity.primary_key_reason}), fingerprint {entity.schema.fingerprint[:16]}")


def _field_row(entity: DiscoveredEntity, index: int, sampled: bool) -> tuple[object, ...]:
    field = entity.schema.fields[index]
    types = "|".join(field.types) + ("?" if field.nullable else "")
    values = ", ".join(field.enum[:4]) + (", …" if len(field.enum) > 4 else "")
    if not sampled:
        return field.path, types, field.format or "", values, (field.description or "")[:60]
    profile = entity.profiles.get(field.path)
    present = f"{profile.present / profile.records:.0%}" if profile and profile.records else ""
    return field.path, types, field.format or "", values, present, "  ".join(entity.shapes.get(field.path, ())[:2])


def _publish(found: Discovery, tenant: str, connector: str, connection: str) -> None:
    now = datetime.now(UTC)
    changes = [
        schema_change(entity, tenant=tenant, connector=connector, connection=connection, observed_at=now)
        for entity in found.entities
        if entity.schema.fields
    ]
    count = publish(changes)
    say(f"{count} schema changes announced")


def _tell_guesses(draft: Draft, discovery: Discovery) -> None:
    for problem in discovery.problems:
        say(f"left out: {problem}")
    say("Guessed; look at each, then run `aam connectors validate` and `aam connectors test`:")
    for guess in _grouped(draft.notes):
        say(f"  {guess}")
    try:
        spec_of(draft.spec)
    except InvalidSpec as error:
        for wrong in error.problems:
            say(f"  to be put right: {wrong}")


def _grouped(notes: Sequence[Note]) -> Iterator[str]:
    """A line a guess; what is guessed of many entities for the same reason is told once."""
    alike: dict[tuple[str, str], list[str]] = {}
    for note in notes:
        alike.setdefault((note.path.rpartition(".")[2], note.text), []).append(note.path)
    for (part, text), paths in alike.items():
        yield f"{paths[0]}: {text}" if len(paths) == 1 else f"$.entities.*.{part} ({len(paths)} entities): {text}"
