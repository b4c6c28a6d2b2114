"""How a spec says that a connection is let in: one of seven kinds, each naming the credentials it needs.

Credentials stand in templates as `{names}`, like settings; their values come from a connection's secrets and never
from a spec. `connectors.auth` does what is declared here.
"""

from typing import Annotated, Final, Literal

from pydantic import Field

from schemas.spec_part import JmesPath, SpecPart, Template, Url, variables_of

AuthType = Literal["none", "bearer", "basic", "api_key", "oauth2", "session_token", "aws_sigv4"]


class NoAuth(SpecPart):
    """Open to everybody."""

    kind: Literal["none"]


class Bearer(SpecPart):
    """A token that the vendor's user made, in the header `Authorization`."""

    kind: Literal["bearer"]
    token: Template = Field(default="{token}", description="The credential; a template.")
    header: str = "Authorization"
    prefix: str = Field(default="Bearer ", description="Stands before the token.")


class ApiKey(SpecPart):
    """A key in a header or query parameter of the vendor's own."""

    kind: Literal["api_key"]
    key: Template = Field(default="{api_key}", description="The credential; a template.")
    in_: Literal["header", "query"] = Field(default="header", alias="in")
    name: str = Field(default="X-API-Key", description="Of the header or query parameter.")


class Basic(SpecPart):
    """HTTP Basic (RFC 7617)."""

    kind: Literal["basic"]
    username: Template = Field(default="{username}", description="E.g. {email}/token.")
    password: Template = "{password}"  # noqa: S105  # a template


class JwtAssertion(SpecPart):
    """The signed statement of the grant `jwt_assertion` (RFC 7523)."""

    algorithm: Literal["RS256", "RS384", "RS512", "ES256", "HS256"] = "RS256"
    key: Template = Field(default="{private_key}", description="PEM, or the shared secret of HS256.")
    key_id: Template | None = Field(default=None, description="Header `kid`.")
    issuer: Template
    subject: Template | None = None
    audience: Template | None = Field(default=None, description="None: the token URL.")
    claims: dict[str, Template] = Field(default={}, description="Further claims.")
    lifetime_seconds: int = Field(default=3_600, ge=60, le=86_400)


class OAuth2(SpecPart):
    """OAuth 2.0 (RFC 6749): an access token from `token_url`, renewed before it ends or when it is refused."""

    kind: Literal["oauth2"]
    grant: Literal["client_credentials", "refresh_token", "jwt_assertion"]
    token_url: Url
    client_id: Template = "{client_id}"
    client_secret: Template | None = Field(default="{client_secret}", description="Null for a public client.")
    client_auth: Literal["body", "basic"] = Field(default="body", description="Where the client shows its id.")
    refresh_token: Template = Field(
        default="{refresh_token}", description="A new one in the answer replaces the stored one (rotation)."
    )
    scopes: tuple[str, ...] = Field(default=())
    params: dict[str, Template] = Field(default={}, description="Further fields of the token request.")
    jwt: JwtAssertion | None = Field(default=None, description="For the grant `jwt_assertion`.")
    token_path: JmesPath = Field(default="access_token", description="JMESPath in the answer to the access token.")
    variables: dict[str, JmesPath] = Field(
        default={}, description="Variables that the answer gives, e.g. {'instance_url': 'instance_url'}."
    )
    lifetime_seconds: int = Field(default=3_600, ge=60, description="Where the answer has no `expires_in`.")
    header: str = "Authorization"
    prefix: str = "Bearer "


class SessionToken(SpecPart):
    """A login that gives a token for the requests after it."""

    kind: Literal["session_token"]
    login_url: Template = Field(pattern=r"^(https://|\{|/)", description="Absolute, or a path under `api_base_url`.")
    method: Literal["GET", "POST"] = "POST"
    body: dict[str, Template] = Field(default={"username": "{username}", "password": "{password}"})
    body_format: Literal["json", "form"] = "json"
    token_path: JmesPath = "token"  # noqa: S105  # a path
    lifetime_seconds: int = Field(default=3_600, ge=60)
    header: str = "Authorization"
    prefix: str = "Bearer "


class AwsSigV4(SpecPart):
    """AWS Signature Version 4."""

    kind: Literal["aws_sigv4"]
    service: str = Field(description="As in the credential scope, e.g. monitoring.")
    region: Template = "{region}"
    access_key_id: Template = "{access_key_id}"
    secret_access_key: Template = "{secret_access_key}"  # noqa: S105  # a template
    session_token: Template | None = Field(default=None, description="E.g. {session_token}, for temporary keys.")


AuthSpec = Annotated[
    NoAuth | Bearer | ApiKey | Basic | OAuth2 | SessionToken | AwsSigV4,
    Field(discriminator="kind"),
]

_DEFAULTS: Final[dict[str, AuthSpec]] = {
    "none": NoAuth(kind="none"),
    "bearer": Bearer(kind="bearer"),
    "basic": Basic(kind="basic"),
    "api_key": ApiKey(kind="api_key"),
    # Without a `token_url` nobody can renew it: a token that was made elsewhere.
    "oauth2": Bearer(kind="bearer", token="{access_token}"),  # noqa: S106  # a template
}


def default_auth(auth_type: str) -> AuthSpec | None:
    """What `auth_type` alone stands for; None where that isn't enough."""
    return _DEFAULTS.get(auth_type)


def names_in(auth: AuthSpec) -> set[str]:
    """The settings and credentials that the templates of `auth` ask for."""
    unused: set[str] = set()
    if isinstance(auth, OAuth2):
        unused = {
            "client_credentials": {"refresh_token"},
            "refresh_token": {"jwt"},
            "jwt_assertion": {"refresh_token"} | (set() if auth.client_auth == "basic" else {"client_secret"}),
        }[auth.grant]
        if auth.grant == "jwt_assertion" and auth.client_auth == "body":
            unused |= {"client_id"}
    return variables_of(auth.model_dump(exclude=unused))
