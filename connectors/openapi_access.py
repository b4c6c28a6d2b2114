"""Where an OpenAPI document's requests go and how they are signed: base URL and auth, each a guess with its reason."""

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal
from urllib.parse import urljoin

from connectors.api_words import bare
from connectors.openapi_document import OpenApiDocument
from connectors.openapi_records import Operation

AuthKind = Literal["none", "api_key", "basic", "bearer", "oauth2"]

# Of several that are asked for equally often: what a person has at hand first.
_EASIEST: Final[tuple[AuthKind, ...]] = ("bearer", "api_key", "basic", "oauth2", "none")
_KEY_HEADERS: Final = frozenset({"apikey", "xapikey", "xauthtoken", "apitoken", "xapitoken", "xaccesstoken"})


@dataclass(frozen=True)
class AuthGuess:
    """How requests are signed. `name` is that of the header or query parameter that takes a key."""

    kind: AuthKind
    reason: str
    place: str | None = None
    name: str | None = None
    grant: str | None = None
    token_url: str | None = None
    authorization_url: str | None = None
    scopes: tuple[str, ...] = ()


@dataclass(frozen=True)
class BaseUrl:
    """Where requests go; `{names}` in it are settings of a connection, `variables` their defaults."""

    url: str
    reason: str
    variables: Mapping[str, str]


def guess_base_url(document: OpenApiDocument, *, fetched_from: str | None) -> BaseUrl | None:
    """The first server of the document; a relative one stands under the document's own address."""
    url, reason, variables = _swagger_host(document) if document.is_swagger else _first_server(document)
    if re.match(r"[a-zA-Z{][^/]*://|\{", url):
        return BaseUrl(url.rstrip("/"), reason, variables)
    if fetched_from is None:
        return None
    return BaseUrl(urljoin(fetched_from, url or "/").rstrip("/"), f"{reason}, at the document's own host", variables)


def _swagger_host(document: OpenApiDocument) -> tuple[str, str, Mapping[str, str]]:
    host, base = document.root.get("host"), str(document.root.get("basePath") or "")
    schemes = document.root.get("schemes")
    plain = isinstance(schemes, list) and "https" not in schemes and "http" in schemes
    if isinstance(host, str) and host:
        return f"{'http' if plain else 'https'}://{host}{base}", "`schemes`, `host` and `basePath`", {}
    return base, "`basePath`", {}


def _first_server(document: OpenApiDocument) -> tuple[str, str, Mapping[str, str]]:
    listed = document.root.get("servers")
    listed = listed if isinstance(listed, list) else []
    servers = [server for server in listed if isinstance(server, dict) and isinstance(server.get("url"), str)]
    if not servers:
        return "", "no `servers`", {}
    declared = servers[0].get("variables")
    variables = {
        str(name): str(variable.get("default", ""))
        for name, variable in (declared.items() if isinstance(declared, dict) else ())
        if isinstance(variable, dict)
    }
    return servers[0]["url"], f"`servers[0]` of {len(servers)}", variables


def guess_auth(document: OpenApiDocument, operations: Sequence[Operation]) -> AuthGuess:
    """The declared scheme that most reading operations ask for."""
    asked: Counter[str] = Counter()
    for operation in operations:
        asked.update(_schemes_asked(operation.definition.get("security", document.root.get("security"))))
    schemes = _security_schemes(document).items()
    guesses = [(name, guess) for name, scheme in schemes if (guess := _auth(name, scheme)) is not None]
    if guesses:
        return max(guesses, key=lambda found: (asked[found[0]], -_EASIEST.index(found[1].kind)))[1]
    return _by_parameters(operations)


def _by_parameters(operations: Sequence[Operation]) -> AuthGuess:
    for operation in operations:
        for name in operation.parameters_in("header"):
            if bare(name) == "authorization":
                return AuthGuess("bearer", f"{operation.path} has a header parameter {name}", "header", name)
            if bare(name) in _KEY_HEADERS:
                return AuthGuess("api_key", f"{operation.path} has a header parameter {name}", "header", name)
    return AuthGuess("bearer", "the document declares no security scheme; most APIs take a bearer token")


def _security_schemes(document: OpenApiDocument) -> dict[str, Mapping[str, Any]]:
    owner = document.root if document.is_swagger else document.resolve(document.root.get("components"))[0]
    declared = owner.get("securityDefinitions" if document.is_swagger else "securitySchemes")
    items = declared.items() if isinstance(declared, dict) else ()
    return {str(name): document.resolve(scheme)[0] for name, scheme in items}


def _schemes_asked(security: Any) -> Iterator[str]:
    for requirement in security if isinstance(security, list) else ():
        if isinstance(requirement, dict):
            yield from map(str, requirement)


def _auth(name: str, scheme: Mapping[str, Any]) -> AuthGuess | None:
    kind, reason = str(scheme.get("type", "")).lower(), f"security scheme {name}"
    if kind == "http":
        kind = "basic" if str(scheme.get("scheme", "")).lower() == "basic" else "bearer"
    if kind == "apikey" and scheme.get("in") in ("header", "query"):
        if bare(str(scheme.get("name"))) == "authorization":
            return AuthGuess("bearer", f"{reason}: a key in the header Authorization")
        return AuthGuess("api_key", reason, str(scheme["in"]), str(scheme.get("name")))
    if kind == "oauth2":
        return _oauth2(reason, scheme)
    if kind == "basic":
        return AuthGuess("basic", reason)
    return AuthGuess("bearer", reason) if kind in ("bearer", "openidconnect") else None


def _oauth2(reason: str, scheme: Mapping[str, Any]) -> AuthGuess:
    flows = scheme.get("flows")
    named = flows if isinstance(flows, dict) else {str(scheme.get("flow")): scheme}
    listed = [(name, flow) for name, flow in named.items() if isinstance(flow, dict)]
    name, best = next((found for found in listed if found[1].get("tokenUrl")), listed[0] if listed else ("", {}))
    scopes = best.get("scopes")
    return AuthGuess(
        "oauth2",
        reason,
        grant="client_credentials" if name in ("clientCredentials", "application") else "refresh_token",
        token_url=_text(best.get("tokenUrl")),
        authorization_url=_text(best.get("authorizationUrl")),
        scopes=tuple(map(str, scopes)) if isinstance(scopes, dict) else (),
    )


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) and value else None
