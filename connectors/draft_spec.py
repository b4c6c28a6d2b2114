"""Writes the draft of a connector's spec from what discovery found in an OpenAPI document, for a person to finish.

Whatever a document doesn't say outright is a guess, and stands in the notes with its reason. The draft is a spec that
passes validation; whether it is right, `aam connectors test` shows.
"""

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urljoin, urlsplit

from connectors.discovery import DiscoveredEntity, Discovery, FoundOperation
from connectors.openapi_paging import PagingGuess
from connectors.resource_names import path_parameters, words
from schemas.canonical_model import load_entities
from schemas.failures import Misconfigured

DEFAULT_PAGE: Final = 100
_NOT_A_NAME: Final = frozenset({"api", "rest", "the", "openapi", "specification", "spec", "swagger", "v", "public"})
_HOST_WORDS: Final = frozenset({"com", "io", "net", "org", "dev", "app", "co", "api", "www", "cloud"})
_NO_VENDORS: Final = frozenset({"x", "example", "localhost", "server", "demo", "sandbox"})


@dataclass(frozen=True)
class Note:
    """One guess: where in the spec, and why so."""

    path: str
    text: str


@dataclass(frozen=True)
class Draft:
    """A spec as JSON has it, and what in it is guessed."""

    spec: dict[str, Any]
    notes: tuple[Note, ...]


def draft_spec(
    discovery: Discovery, *, name: str | None = None, entities: Collection[str] = (), document_url: str | None = None
) -> Draft:
    """The draft for all entities that can be listed, or for those named.

    Raises:
        Misconfigured: none can be listed, or one of those named can't.
    """
    return _Drafting(discovery, name=name, document_url=document_url).draft(_chosen(discovery, entities))


def _chosen(discovery: Discovery, names: Collection[str]) -> list[DiscoveredEntity]:
    listed = {entity.name: entity for entity in discovery.entities if entity.list_operation is not None}
    unknown = [name for name in names if name not in listed]
    if unknown:
        raise Misconfigured(f"no entity {unknown[0]} can be listed; there are {', '.join(listed) or 'none'}")
    if not listed:
        raise Misconfigured("no entity of the document can be listed, so there is nothing to sync")
    return [listed[name] for name in names] if names else list(listed.values())


class _Drafting:
    """The parts of one draft; notes and settings are gathered on the way."""

    def __init__(self, discovery: Discovery, *, name: str | None, document_url: str | None) -> None:
        self._discovery = discovery
        self._document_url = document_url
        self._name = name
        self._notes: list[Note] = []
        self._config: dict[str, Any] = {}

    def draft(self, chosen: list[DiscoveredEntity]) -> Draft:
        url = self._base_url()
        lists = {_template(e.list_operation.path): e for e in chosen if e.list_operation is not None}
        entities = self._entities(chosen, lists)
        spec: dict[str, Any] = {
            "$schema": "./spec.schema.json",
            "name": self._name or _spec_name(url, self._discovery.title),
            "title": self._discovery.title or None,
            "api_base_url": url,
            "config": self._config,
            **self._auth(url),
            "openapi_spec_url": self._document_url if (self._document_url or "").startswith("https://") else None,
            "entities": entities,
        }
        self._note("$.rate_limit", "no document tells it: add the vendor's, e.g. 100/second")
        return Draft({key: value for key, value in spec.items() if value not in (None, {})}, tuple(self._notes))

    def _note(self, path: str, text: str) -> None:
        self._notes.append(Note(path, text))

    def _base_url(self) -> str:
        base = self._discovery.base_url
        if base is None:
            self._setting("base_url", "Address of the API, https://…")
            self._note("$.api_base_url", "the document names no host")
            return "{base_url}"
        self._note("$.api_base_url", base.reason)
        url = re.sub(r"\{([^{}]+)\}", lambda found: "{" + _snake(found[1]) + "}", base.url)
        for variable in path_parameters(base.url):
            default = base.variables.get(variable) or None
            self._setting(_snake(variable), f"Part of the API's address: {variable}.", default=default)
        if url.startswith("http://"):
            self._note("$.api_base_url", "the document says http; https is asked for")
            url = "https://" + url.removeprefix("http://")
        return url

    def _setting(self, name: str, description: str, *, default: str | None = None) -> None:
        given = {"description": description} | ({} if default is None else {"default": default})
        self._config.setdefault(name, given)

    def _auth(self, base_url: str) -> dict[str, Any]:
        guess = self._discovery.auth
        if guess is None:
            return {"auth_type": "bearer"}
        self._note("$.auth", f"{guess.kind}: {guess.reason}")
        if guess.kind == "api_key":
            return {"auth": {"kind": "api_key", "in": guess.place, "name": guess.name}}
        if guess.kind != "oauth2":
            return {"auth_type": guess.kind}
        token_url = urljoin(base_url + "/", guess.token_url) if guess.token_url else ""
        if not token_url.startswith("https://") or "{" in token_url:
            self._note("$.auth", "the document names no token_url: a token that was made elsewhere is taken")
            return {"auth_type": "oauth2"}
        self._note("$.auth.scopes", f"choose from the {len(guess.scopes)} that the document names")
        return {"auth": {"kind": "oauth2", "grant": guess.grant, "token_url": token_url}}

    # -- entities

    def _entities(self, chosen: list[DiscoveredEntity], lists: Mapping[str, DiscoveredEntity]) -> dict[str, Any]:
        names = {entity.name: _snake(entity.name) for entity in chosen}
        drafted: dict[str, Any] = {}
        asked: set[tuple[str, str, str | None]] = set()
        for entity in chosen:
            operation = entity.list_operation
            assert operation is not None, "only what can be listed is chosen"
            request = (operation.method, operation.path, operation.records_path)
            if request in asked or names[entity.name] in drafted:
                self._note(f"$.entities.{names[entity.name]}", "left out: another entity asks for the same")
                continue
            asked.add(request)
            drafted[names[entity.name]] = self._entity(names[entity.name], entity, operation, lists, names)
        return drafted

    def _entity(
        self,
        name: str,
        entity: DiscoveredEntity,
        operation: FoundOperation,
        lists: Mapping[str, DiscoveredEntity],
        names: Mapping[str, str],
    ) -> dict[str, Any]:
        path = f"$.entities.{name}"
        parent = self._parent(path, entity, operation, lists, names)
        for parameter in path_parameters(operation.path):
            if parent is None or _snake(parameter) != parent["param"]:
                self._setting(_snake(parameter), f"{parameter}, as in {operation.path}.")
        params = {parameter: f"{{{_snake(parameter)}}}" for parameter in operation.required}
        for parameter in operation.required:
            self._setting(_snake(parameter), f"Parameter {parameter} of {operation.path}.")
            self._note(f"{path}.params", f"{operation.path} needs {parameter}: a setting here; a parent may give it")
        canonical = name if name in load_entities() else None
        if canonical is not None:
            self._note(f"{path}.canonical_entity", f"has the name of the canonical {canonical}")
        self._note(f"{path}.primary_key", entity.primary_key_reason)
        if operation.remark:
            self._note(f"{path}.endpoint", f"taken for a list: {operation.remark}")
        others = [found.path for found in entity.operations if found.kind == "list" and found != operation]
        if others:
            self._note(f"{path}.endpoint", f"the first of {len(others) + 1} ways, the second is {others[0]}")
        drafted = {
            "endpoint": _template(operation.path),
            "description": (entity.description or "").split(". ")[0][:200] or None,
            "method": operation.method if operation.method != "GET" else None,
            "body": {} if operation.method == "POST" else None,
            "params": params or None,
            "records_path": operation.records_path,
            "pagination": self._paging(path, entity),
            "primary_key": list(entity.schema.primary_key),
            "incremental": self._incremental(path, entity),
            "parent": parent,
            "canonical_entity": canonical,
            "openapi_schema": entity.component,
        }
        return {key: value for key, value in drafted.items() if value is not None}

    def _parent(
        self,
        path: str,
        entity: DiscoveredEntity,
        operation: FoundOperation,
        lists: Mapping[str, DiscoveredEntity],
        names: Mapping[str, str],
    ) -> dict[str, Any] | None:
        """The entity whose list the last parameter picks one of."""
        parameters = path_parameters(operation.path)
        if not parameters:
            return None
        above = _template(operation.path.rpartition("{" + parameters[-1] + "}")[0].rstrip("/"))
        parent = lists.get(above)
        if parent is None or parent.name == entity.name or len(parent.schema.primary_key) != 1:
            return None
        key = _jmespath(parent.schema.primary_key[0])
        self._note(f"{path}.parent", f"{{{parameters[-1]}}} is taken for {parent.name}'s {key}: {above} lists them")
        return {"entity": names[parent.name], "key": key, "param": _snake(parameters[-1])}

    def _paging(self, path: str, entity: DiscoveredEntity) -> Any:
        guess = entity.paging
        if guess is None:
            return "auto"
        self._note(f"{path}.pagination", f"{guess.kind}: {guess.reason}")
        if guess.kind == "none" or (guess.kind == "cursor" and guess.next_path is None):
            self._note(f"{path}.pagination", "found in the first response (auto)")
            known = {name: value for name, value in _pagination(guess).items() if name != "kind"}
            return {"kind": "auto", **known} if known else "auto"
        if guess.kind == "last_record_id" and len(entity.schema.primary_key) != 1:
            return "auto"
        return _pagination(guess)

    def _incremental(self, path: str, entity: DiscoveredEntity) -> dict[str, Any] | None:
        guess = entity.incremental
        if guess is None:
            return None
        if guess.field is None:
            self._note(f"{path}.incremental", f"{guess.reason}, but which field it compares isn't told: left out")
            return None
        field = next((f for f in entity.schema.fields if f.path == guess.field), None)
        numeric = field is not None and set(field.types) & {"integer", "number"}
        form = "epoch_seconds" if numeric else "date" if field is not None and field.format == "date" else "iso8601"
        self._note(f"{path}.incremental", f"{guess.reason}, taken to compare {guess.field} as {form}")
        return {"mode": "server", "param": guess.param, "field": guess.field, "format": form}


def _pagination(guess: PagingGuess) -> dict[str, Any]:
    size = None if guess.size_param is None else min(guess.size or DEFAULT_PAGE, 1_000)
    drafted = {
        "kind": guess.kind,
        "cursor_param": guess.param,
        "cursor_path": guess.next_path if guess.kind in ("cursor", "next_url") else None,
        "more_path": guess.more_path,
        "size_param": guess.size_param,
        "page_size": size,
    }
    return {key: value for key, value in drafted.items() if value is not None}


def _template(path: str) -> str:
    """A path with parameters as settings are named."""
    return re.sub(r"\{([^{}]+)\}", lambda found: "{" + _snake(found[1]) + "}", path)


def _snake(name: str) -> str:
    """A name as settings and entities have it."""
    text = "_".join(words(name)) or "value"
    return text if text[0].isalpha() else f"n{text}"


def _jmespath(path: str) -> str:
    """A key of one step, whose quotes both grammars share."""
    return path if re.fullmatch(r'[A-Za-z_][A-Za-z0-9_]*|".*"', path) else f'"{path}"'


def _spec_name(url: str, title: str) -> str:
    """The vendor by its host, else by the document's title."""
    host = re.sub(r"\{[^{}]*\}", "x", urlsplit(url).hostname or "") if "://" in url else ""
    # The last label is a top-level domain, whatever it is called.
    labels = [label for label in host.split(".")[:-1] if label not in _HOST_WORDS]
    if labels and not host.replace(".", "").isdigit() and labels[-1] not in _NO_VENDORS:
        return _snake(labels[-1])
    kept = [word for word in words(title) if word not in _NOT_A_NAME and not word.isdigit()]
    return _snake(" ".join(kept[:2])) if kept else "connector"
