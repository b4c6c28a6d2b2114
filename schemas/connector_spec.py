"""What a connector is: one JSON file that says where an API is, how to be let in, and which records it gives.

These models are the file's schema, `connector_specs/spec.schema.json` is made of them. What a schema can't say
(variables that resolve, endpoints that differ) is checked in `schemas.spec_problems`.

Templates may name: settings that `config` declares; variables that auth or a parent gives; `since` and `until` of
`incremental`; `fields` (comma-separated names from `fields_endpoint`). A template that is nothing but one `{name}`
keeps the value's JSON type. In a URL, values are percent-encoded.
"""

from typing import Annotated, Any, Final, Literal

from pydantic import Field, model_validator

from schemas.auth_spec import AuthSpec, AuthType, default_auth
from schemas.paging_spec import Pagination
from schemas.spec_part import JmesPath, Name, Period, SpecPart, Template, Url

NATIVE_RATE: Final = r"^[1-9]\d*/([1-9]\d* )?(second|minute|hour|day)s?$"


class ConfigVariable(SpecPart):
    """A setting that each connection gives."""

    description: str
    pattern: str | None = Field(
        default=None, description="What a value must match; in a host: letters, digits and hyphens unless said here."
    )
    default: str | int | bool | None = Field(default=None, description="Null: the connection must give it.")
    example: str | None = None
    secret: bool = Field(default=False, description="Kept with the credentials, never shown.")


class RateLimit(SpecPart):
    """How many requests, or units of cost, a period allows. Requests wait; none is dropped."""

    limit: int = Field(ge=1)
    per: Period
    scope: Literal["account", "app", "tenant", "endpoint"] = Field(
        default="account",
        description="Who shares it: the connection's account, all of this connector, a tenant, one endpoint.",
    )
    cost: int = Field(default=1, ge=0, description="Of one request; an entity may have its own.")
    entities: tuple[Name, ...] = Field(default=(), description="Only these; empty: all.")
    header_remaining: str | None = Field(default=None, description="Response header: what is left of the period.")
    header_reset: str | None = Field(default=None, description="Response header: when the period ends.")
    reset_format: Literal["seconds", "milliseconds", "epoch_seconds", "epoch_milliseconds", "iso8601", "http_date"] = (
        "epoch_seconds"
    )


Status = Annotated[int, Field(ge=100, le=599)]
StatusClass = Annotated[str, Field(pattern="^[1-5]xx$")]


class Condition(SpecPart):
    """A response that is meant; all that is said must hold."""

    status: tuple[Status | StatusClass, ...] | Status | StatusClass | None = Field(
        default=None, description="E.g. 429, '5xx', [403, 429]."
    )
    header: dict[str, str] = Field(default={}, description="Response header → its value; '*' for any.")
    body: JmesPath | None = Field(default=None, description="JMESPath in the response, true as JMESPath has it.")
    text: str | None = Field(default=None, description="Regular expression found in the response's text.")

    @model_validator(mode="after")
    def _says_something(self) -> "Condition":
        if self.status is None and not self.header and self.body is None and self.text is None:
            raise ValueError("a condition needs at least one of status, header, body, text")
        return self


Action = Literal["retry", "rate_limited", "refresh_token", "ignore", "restart_paging", "fail", "stop"]


class ErrorRule(SpecPart):
    """What to do with a response. The first rule that fits holds; then the usual meaning of HTTP status codes."""

    when: Condition
    action: Action = Field(
        description="retry: with backoff. rate_limited: wait as told, then retry. refresh_token: log in again, retry "
        "once. ignore: an empty page. restart_paging: the token has ended, begin the stream again. fail: this entity "
        "fails. stop: the connection needs somebody's action."
    )
    message: str | None = Field(default=None, description="What is wrong and what to do, for the tenant.")
    message_path: JmesPath | None = Field(default=None, description="JMESPath in the response to the vendor's words.")


class Incremental(SpecPart):
    """How only what changed since the last sync is asked for.

    - `server`: `param` (or `{since}` in a template) says from when.
    - `client`: everything is fetched, and what is older is left out; with `order` descending, it ends there.
    - `cursor`: the last page's token, or the delta URL at `cursor_path`, is where the next sync begins.
    """

    mode: Literal["server", "client", "cursor"] = "server"
    field: JmesPath | None = Field(default=None, description="JMESPath in a record to when it changed.")
    param: str | None = Field(default=None, description="Parameter for the start; in a body, a dotted path.")
    until_param: str | None = Field(default=None, description="Parameter for the end of a window.")
    in_: Literal["query", "body"] | None = Field(default=None, alias="in", description="Null: as pagination.")
    format: Literal["iso8601", "date", "epoch_seconds", "epoch_milliseconds", "text"] = Field(
        default="iso8601", description="Of `param`, and of `field` unless `field_format` says otherwise."
    )
    field_format: Literal["iso8601", "date", "epoch_seconds", "epoch_milliseconds", "text"] | None = None
    start: Template | None = Field(
        default=None, description="Start of the first sync: ISO 8601, epoch, or a template; null: everything."
    )
    lookback_seconds: int = Field(default=0, ge=0, description="Asked for again each time: what came late.")
    end_margin_seconds: int = Field(default=0, ge=0, description="Not asked for yet: Zendesk leaves out a minute.")
    window_seconds: int | None = Field(default=None, ge=1, description="Longest span of one request.")
    order: Literal["ascending", "descending"] | None = Field(
        default=None, description="Of `field` over pages, if the API promises one."
    )
    cursor_path: JmesPath | None = Field(default=None, description="mode cursor: JMESPath to the delta URL or token.")

    @model_validator(mode="after")
    def _is_complete(self) -> "Incremental":
        if self.mode == "client" and self.field is None:
            raise ValueError("mode client needs `field`")
        return self


class Parent(SpecPart):
    """This entity is asked for once per record of another."""

    entity: Name
    key: JmesPath = Field(description="JMESPath in the parent's record to what `param` stands for.")
    param: Name = Field(description="The variable, as {param} in this entity's endpoint, params, body and `add`.")
    when: JmesPath | None = Field(default=None, description="JMESPath in the parent's record: only where true.")


class Deletes(SpecPart):
    """Which records say that something is gone."""

    when: JmesPath | None = Field(default=None, description="JMESPath in a record; null: every record.")
    of: Name | None = Field(default=None, description="The entity whose records are gone; null: this one.")
    id: JmesPath | None = Field(default=None, description="JMESPath to the id of what is gone; null: the primary key.")


class Zip(SpecPart):
    """Rows as arrays under common headers, made into objects (GA4). All are JMESPath."""

    columns: JmesPath = Field(description="In the response: list of names.")
    rows: JmesPath = Field(description="In the response: list of rows.")
    values: JmesPath = Field(default="@", description="In a row: list of values, in the columns' order.")


class Series(SpecPart):
    """Parallel lists made into objects, the n-th of each list into the n-th (CloudWatch's GetMetricData, charts)."""

    path: JmesPath = Field(description="JMESPath in the response to the object with the lists, or a list of such.")
    lists: dict[str, str] = Field(
        min_length=1,
        description="Field of a record → the object's member with its list. What the object has beside those is copied "
        "into each record.",
    )


class FieldsEndpoint(SpecPart):
    """Where the vendor lists an entity's fields, custom ones included."""

    endpoint: str = Field(pattern="^/")
    method: Literal["GET", "POST"] = "GET"
    params: dict[str, Any] = Field(default={}, description="Query parameters; templates.")
    fields_path: JmesPath = Field(default="@", description="JMESPath in the response to the list of fields.")
    name: JmesPath = Field(default="name", description="JMESPath in a field to its name in records.")
    type: JmesPath | None = Field(default="type", description="JMESPath in a field to its type.")
    types: dict[str, Literal["string", "integer", "number", "boolean", "object", "array"]] = Field(
        default={}, description="The vendor's types → JSON's; others are found by name."
    )
    description: JmesPath | None = None
    custom: JmesPath | None = Field(default=None, description="JMESPath in a field to whether a customer made it.")
    enum: JmesPath | None = Field(default=None, description="JMESPath in a field to its possible values.")
    prefix: str = Field(default="", description="Path in a record above these fields, e.g. properties.")
    max_characters: int | None = Field(
        default=None,
        ge=100,
        description="Longest {fields} of a request, percent-encoded. What is longer is asked for in several requests a "
        "page, whose records are joined by primary key. Null: never split.",
    )


class EntitySpec(SpecPart):
    """One kind of record that a connector gives."""

    endpoint: str = Field(
        pattern=r"^(/|\{)", description="Path under `api_base_url`; a query in it is sent with every request."
    )
    description: str | None = None
    method: Literal["GET", "POST"] = "GET"
    params: dict[str, Any] = Field(default={}, description="Query parameters; templates; lists repeat the parameter.")
    headers: dict[str, Template] = Field(default={}, description="Beside those of the connector.")
    body: Any = Field(default=None, description="JSON with templates.")
    body_format: Literal["json", "form"] = "json"
    records_path: JmesPath | None = Field(
        default=None,
        description="JMESPath in the response to the records (what is left out when empty: rows || `[]`); null: the "
        "response, or its only list.",
    )
    zip: Zip | None = Field(default=None, description="In place of `records_path`.")
    series: Series | None = Field(default=None, description="In place of `records_path`.")
    record: JmesPath | None = Field(default=None, description="JMESPath that makes a record of what was found.")
    add: dict[str, Template] = Field(default={}, description="Fields added to each record, e.g. its parent's id.")
    pagination: Pagination = Field(default=Pagination(kind="auto"))
    primary_key: tuple[str, ...] = Field(
        default=("id",), description="Source paths that identify a record; empty: its content does."
    )
    incremental: Incremental | None = None
    parent: Parent | None = None
    deletes: Deletes | None = None
    cost: int | None = Field(default=None, ge=0, description="Of one request, in the units of `rate_limits`.")
    max_page_bytes: int = Field(default=64 << 20, ge=1_024, description="Largest response, decoded; more is an error.")
    canonical_entity: Name | None = Field(default=None, description="What its records are in the canonical model.")
    fields_endpoint: FieldsEndpoint | None = None
    openapi_schema: str | None = Field(default=None, description="Name of its schema in the OpenAPI document.")


class ConnectorSpec(SpecPart):
    """One connector: where its API is, how to be let in, and what it gives."""

    schema_: str | None = Field(default=None, alias="$schema")
    name: Name
    title: str | None = Field(default=None, description="As people write it.")
    docs_url: str | None = Field(default=None, description="The vendor's documentation that this was checked against.")
    api_base_url: Url = Field(description="A template; https.")
    config: dict[Name, ConfigVariable] = Field(default={}, description="Settings of a connection.")
    auth_type: AuthType | None = Field(default=None, description="Alone: the usual form of this kind.")
    auth: AuthSpec | tuple[AuthSpec, ...] | None = Field(
        default=None,
        description="In full; of several, a connection uses the first whose credentials it has.",
    )
    headers: dict[str, Template] = Field(default={}, description="Sent with every request; no secrets.")
    rate_limit: str | None = Field(default=None, pattern=NATIVE_RATE, description="E.g. 100/second, 110/10 seconds.")
    rate_limits: tuple[RateLimit, ...] = Field(default=(), description="In full; all hold together.")
    max_concurrent: int = Field(default=4, ge=1, description="Requests of one connection at once.")
    errors: tuple[ErrorRule, ...] = Field(default=())
    openapi_spec_url: str | None = Field(default=None, pattern="^https://")
    test_entity: Name | None = Field(default=None, description="Cheapest to ask for, to test credentials.")
    entities: dict[Name, EntitySpec] = Field(min_length=1)

    @model_validator(mode="after")
    def _says_how_to_be_let_in(self) -> "ConnectorSpec":
        if self.auth is None and self.auth_type is None:
            raise ValueError("one of auth_type and auth is needed")
        if self.auth is None and default_auth(str(self.auth_type)) is None:
            raise ValueError(f"auth_type {self.auth_type} needs `auth` in full")
        return self

    @property
    def auths(self) -> tuple[AuthSpec, ...]:
        """The ways to be let in, the preferred first."""
        if self.auth is None:
            auth = default_auth(str(self.auth_type))
            return (auth,) if auth else ()
        return self.auth if isinstance(self.auth, tuple) else (self.auth,)

    @property
    def limits(self) -> tuple[RateLimit, ...]:
        """All limits, `rate_limit` included."""
        if self.rate_limit is None:
            return self.rate_limits
        limit, _, period = self.rate_limit.partition("/")
        return (RateLimit(limit=int(limit), per=period), *self.rate_limits)
