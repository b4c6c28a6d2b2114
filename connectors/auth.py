"""Lets requests in, by each kind of `schemas.auth_spec`: signs them, and logs in again when a vendor refuses.

Credentials come from `Credentials` and are asked for when a request is signed; none is logged or in an error. A refresh
token that the vendor replaced is handed back before its access token is used: losing it would lock the tenant out.
"""

import asyncio
import base64
import re
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, Final, Protocol
from urllib.parse import urlencode

import orjson

from connectors.egress import Answer, Egress, origin_of
from connectors.errors import ActionRequired, BadResponse, VendorUnavailable
from connectors.expressions import expression
from connectors.request_parts import Outgoing, with_query
from connectors.templates import Variables, rebase, render, render_base, render_text
from schemas.auth_spec import (
    ApiKey,
    AuthSpec,
    AwsSigV4,
    Basic,
    Bearer,
    JwtAssertion,
    NoAuth,
    OAuth2,
    SessionToken,
    names_in,
)
from schemas.connector_spec import ConnectorSpec
from schemas.spec_part import variables_of

_EARLY_SECONDS: Final = 60.0
_MAX_TOKEN_BYTES: Final = 1 << 20
_OAUTH_ERROR: Final = re.compile(r"[a-z_]{1,40}")


class Credentials(Protocol):
    """The secrets of one connection, in the clear."""

    def names(self) -> set[str]:
        """Which there are."""

    def get(self, name: str) -> str:
        """Its value. Raises Misconfigured, which says what is missing but never a value."""

    async def keep(self, name: str, value: str) -> None:
        """Stores what the vendor replaced. Returns when it can't be lost any more."""


class Signer(Protocol):
    """One way of being let in."""

    @property
    def kind(self) -> str:
        """What `schemas.auth_spec` calls it."""

    async def variables(self) -> Mapping[str, Any]:
        """Variables that logging in gave, such as the account's own host."""

    async def sign(self, request: Outgoing) -> Outgoing:
        """The request with what lets it in."""

    async def renew(self) -> bool:
        """Logs in again; False if that can't change anything."""


def make_signer(
    spec: ConnectorSpec,
    credentials: Credentials,
    settings: Variables,
    egress: Egress,
    *,
    base_url: str | None = None,
    now: Callable[[], float] = time.time,
) -> Signer:
    """The signer of the first way of `spec` for which all credentials are there.

    Raises:
        ActionRequired: there is none; `fix` names the credentials that are missing.
    """
    given = credentials.names() | set(settings)
    lacking = []
    for auth in spec.auths:
        missing = sorted(names_in(auth) - given)
        if not missing:
            return _signer(auth, _Values(credentials, settings), spec, egress, base_url, now)
        lacking.append(f"{auth.kind}: {', '.join(missing)}")
    raise ActionRequired(f"{spec.name} has no credentials that let it in", f"add {' or '.join(lacking)}")


class _Values(Mapping[str, Any]):
    """Settings and credentials as variables of the templates of `auth`."""

    def __init__(self, credentials: Credentials, settings: Variables) -> None:
        self.credentials = credentials
        self._settings = settings

    def __getitem__(self, name: str) -> Any:
        if name in self.credentials.names():
            return self.credentials.get(name)
        return self._settings[name]

    def __iter__(self) -> Any:
        return iter(self.credentials.names() | set(self._settings))

    def __len__(self) -> int:
        return len(list(iter(self)))


def _signer(
    auth: AuthSpec, values: _Values, spec: ConnectorSpec, egress: Egress, base_url: str | None, now: Callable[[], float]
) -> Signer:
    if isinstance(auth, OAuth2 | SessionToken):
        return LoginSigner(auth, values, spec, egress, base_url, now)
    return StaticSigner(auth, values)


class StaticSigner:
    """Keys that hold until somebody changes them."""

    def __init__(self, auth: NoAuth | Bearer | ApiKey | Basic | AwsSigV4, values: _Values) -> None:
        self._auth = auth
        self._values = values
        self.kind: str = auth.kind

    async def variables(self) -> Mapping[str, Any]:
        """None."""
        return {}

    async def renew(self) -> bool:
        """Nothing to be had."""
        return False

    async def sign(self, request: Outgoing) -> Outgoing:
        """As its kind says."""
        auth, values = self._auth, self._values
        if isinstance(auth, NoAuth):
            return request
        if isinstance(auth, Bearer):
            return _with_header(request, auth.header, auth.prefix + render_text(auth.token, values))
        if isinstance(auth, Basic):
            return _with_header(request, "Authorization", _basic(auth.username, auth.password, values))
        if isinstance(auth, AwsSigV4):
            return sign_v4(request, auth, values)
        key = render_text(auth.key, values)
        if auth.in_ == "header":
            return _with_header(request, auth.name, key)
        return replace(request, url=with_query(request.url, {auth.name: key}))


class LoginSigner:
    """OAuth2 and session logins: a token that ends, got when first needed, shared by all requests of a connection."""

    def __init__(
        self,
        auth: OAuth2 | SessionToken,
        values: _Values,
        spec: ConnectorSpec,
        egress: Egress,
        base_url: str | None,
        now: Callable[[], float],
    ) -> None:
        self._auth = auth
        self.kind: str = auth.kind
        self._values = values
        self._spec = spec
        self._egress = egress
        self._base_url = base_url
        self._now = now
        self._lock = asyncio.Lock()
        self._token: str | None = None
        self._ends_at = 0.0
        self._variables: Mapping[str, Any] = {}

    async def variables(self) -> Mapping[str, Any]:
        """What the login answered."""
        if isinstance(self._auth, OAuth2) and self._auth.variables:
            await self._current()
        return self._variables

    async def sign(self, request: Outgoing) -> Outgoing:
        """With the token, got anew if it is about to end."""
        return _with_header(request, self._auth.header, self._auth.prefix + await self._current())

    async def renew(self) -> bool:
        """Forgets the token, unless another request has just got a new one."""
        refused = self._token
        async with self._lock:
            if self._token == refused:
                self._token = None
        await self._current()
        return True

    async def _current(self) -> str:
        async with self._lock:
            if self._token is None or self._now() > self._ends_at - _EARLY_SECONDS:
                await self._log_in()
            assert self._token is not None
            return self._token

    async def _log_in(self) -> None:
        request, path = self._oauth_request() if isinstance(self._auth, OAuth2) else self._session_request()
        answer = await self._egress.fetch(
            request.method,
            request.url,
            headers={"Accept": "application/json", **request.headers},
            content=request.content,
            max_bytes=_MAX_TOKEN_BYTES,
            credentials_for=request.url,
        )
        found = _token_answer(answer, self._spec.name)
        token = expression(path)(found)
        if not isinstance(token, str) or not token:
            raise BadResponse(f"the login's answer has no token at {path}", "check token_path in the spec")
        replaced = found.get("refresh_token")
        if isinstance(self._auth, OAuth2) and self._auth.grant == "refresh_token" and isinstance(replaced, str):
            await self._keep_refresh_token(replaced)
        lifetime = found.get("expires_in")
        usable = isinstance(lifetime, int | float) and lifetime > 0
        self._ends_at = self._now() + (float(lifetime) if usable else self._auth.lifetime_seconds)  # type: ignore[arg-type]  # checked
        if isinstance(self._auth, OAuth2):
            self._variables = {name: expression(path)(found) for name, path in self._auth.variables.items()}
        self._token = token

    async def _keep_refresh_token(self, value: str) -> None:
        assert isinstance(self._auth, OAuth2)
        (name,) = variables_of(self._auth.refresh_token) or {"refresh_token"}
        if self._values.credentials.get(name) != value:
            await self._values.credentials.keep(name, value)

    def _oauth_request(self) -> tuple[Outgoing, str]:
        auth, values = self._auth, self._values
        assert isinstance(auth, OAuth2)
        url = rebase(render_base(auth.token_url, values, self._spec.config), self._base_url)
        form = {"grant_type": auth.grant, **render(auth.params, values)}
        headers: dict[str, str] = {"Content-Type": "application/x-www-form-urlencoded"}
        if auth.grant == "refresh_token":
            form["refresh_token"] = render_text(auth.refresh_token, values)
        if auth.grant == "jwt_assertion":
            assert auth.jwt is not None
            form["grant_type"] = "urn:ietf:params:oauth:grant-type:jwt-bearer"
            form["assertion"] = signed_jwt(auth.jwt, values, audience=url, now=self._now())
        if auth.scopes:
            form["scope"] = " ".join(auth.scopes)
        if auth.client_auth == "basic":
            headers["Authorization"] = _basic(auth.client_id, auth.client_secret or "", values)
        elif auth.grant != "jwt_assertion":
            form["client_id"] = render_text(auth.client_id, values)
            if auth.client_secret is not None:
                form["client_secret"] = render_text(auth.client_secret, values)
        return Outgoing("POST", url, headers, urlencode(form).encode()), auth.token_path

    def _session_request(self) -> tuple[Outgoing, str]:
        auth, values = self._auth, self._values
        assert isinstance(auth, SessionToken)
        url = auth.login_url
        if url.startswith("/"):
            url = self._spec.api_base_url.rstrip("/") + url
        url = rebase(render_base(url, values, self._spec.config), self._base_url)
        body = render(auth.body, values)
        if auth.method == "GET":
            return Outgoing("GET", with_query(url, body)), auth.token_path
        if auth.body_format == "form":
            headers = {"Content-Type": "application/x-www-form-urlencoded"}
            return Outgoing("POST", url, headers, urlencode(body).encode()), auth.token_path
        return Outgoing("POST", url, {"Content-Type": "application/json"}, orjson.dumps(body)), auth.token_path


def signed_jwt(jwt_spec: JwtAssertion, values: Variables, *, audience: str, now: float) -> str:
    """The assertion of RFC 7523. Raises ActionRequired if the key is none of its algorithm."""
    import jwt  # noqa: PLC0415  # with cryptography, slow to import

    claims: dict[str, Any] = {
        "iss": render_text(jwt_spec.issuer, values),
        "aud": render_text(jwt_spec.audience, values) if jwt_spec.audience else audience,
        "iat": int(now),
        "exp": int(now) + jwt_spec.lifetime_seconds,
        **render(jwt_spec.claims, values),
    }
    if jwt_spec.subject is not None:
        claims["sub"] = render_text(jwt_spec.subject, values)
    headers = {"kid": render_text(jwt_spec.key_id, values)} if jwt_spec.key_id else None
    key = str(render(jwt_spec.key, values))
    try:
        return jwt.encode(claims, key, algorithm=jwt_spec.algorithm, headers=headers)
    except (ValueError, TypeError, jwt.PyJWTError):
        raise ActionRequired("the private key can't sign", f"enter a PEM key for {jwt_spec.algorithm}") from None


def sign_v4(request: Outgoing, auth: AwsSigV4, values: Variables) -> Outgoing:
    """AWS Signature Version 4, by botocore."""
    from botocore.auth import SigV4Auth  # noqa: PLC0415  # slow to import
    from botocore.awsrequest import AWSRequest  # noqa: PLC0415
    from botocore.credentials import Credentials as AwsCredentials  # noqa: PLC0415

    keys = AwsCredentials(
        render_text(auth.access_key_id, values),
        render_text(auth.secret_access_key, values),
        render_text(auth.session_token, values) if auth.session_token else None,
    )
    aws = AWSRequest(request.method, request.url, headers=dict(request.headers), data=request.content or b"")
    SigV4Auth(keys, auth.service, render_text(auth.region, values)).add_auth(aws)
    return replace(request, headers=dict(aws.headers.items()))


def _token_answer(answer: Answer, connector: str) -> dict[str, Any]:
    try:
        found = orjson.loads(answer.body)
    except orjson.JSONDecodeError:
        found = None
    if answer.status >= 500 or answer.status == 429:
        raise VendorUnavailable(f"the login answered {answer.status}")
    said = found.get("error") if isinstance(found, dict) else None
    reason = f": {said}" if isinstance(said, str) and _OAUTH_ERROR.fullmatch(said) else ""
    if answer.status >= 400 or (said and "access_token" not in found):
        raise ActionRequired(
            f"{connector} refuses the login ({answer.status}{reason})", "check the credentials, or authorize again"
        )
    if not isinstance(found, dict):
        raise BadResponse(
            f"the login at {origin_of(answer.url)} answered no JSON object", "check token_url in the spec"
        )
    return found


def _basic(username: str, password: str, values: Variables) -> str:
    pair = f"{render_text(username, values)}:{render_text(password, values)}"
    return "Basic " + base64.b64encode(pair.encode()).decode()


def _with_header(request: Outgoing, name: str, value: str) -> Outgoing:
    return replace(request, headers={**request.headers, name: value})
