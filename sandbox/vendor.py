"""What a vendor is, as data: the model of `sandbox/vendors/<name>.json`. How it is played is up to the other modules.

It says in the vendor's own terms what `connector_specs/<name>.json` says in a client's, and is written apart from it: a
spec that is wrong about paging or auth must fail here as it would there.
"""

from functools import cache
from pathlib import Path
from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from schemas.failures import Misconfigured

FOLDER: Final = Path(__file__).parent / "vendors"

Name = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*$")]
Json = Any


class VendorPart(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)


class Place(VendorPart):
    """Where a request carries something: `query:limit`, `body:pagination.per_page`, `header:prefer`, `path:repo`."""

    in_: str = Field(alias="in", pattern=r"^(query|body|header|path):.+$")
    match: str | None = Field(default=None, description="Regular expression; its first group is what is meant.")


class Size(Place):
    """How many records a page may have."""

    default: int = Field(default=100, ge=1)
    most: int = Field(default=1000, ge=1)


class Position(Place):
    """What tells a page from the next: a record's id, an opaque token, an offset, or a number of the page."""

    kind: Literal["id", "token", "offset", "page"] = "token"
    first: int = Field(default=1, description="Number of the first page.")
    path: str | None = Field(default=None, description="Path of the next page, `{token}` in it, where it has its own.")


class Paging(VendorPart):
    """How a list comes in pages. In `envelope` stand `$records`, `$next` and the like; a key that ends in `?` is only
    there if there is more, one in `!` if there isn't."""

    size: Size
    position: Position | None = None
    envelope: Json = "$records"
    link_header: bool = False


class Select(Place):
    """Which fields a request asks for; without it, all."""

    within: str | None = Field(default=None, description="Object that holds what is chosen from.")
    always: tuple[str, ...] = ()


class Parent(VendorPart):
    """The record that these records hang below, and where a request names it."""

    entity: Name
    key: str = Field(default="id", description="Which of the parent's ids a request names.")
    place: Place


class Fields(VendorPart):
    """The endpoint that lists an entity's fields; in its texts, `{object}` is the vendor's name of the entity."""

    path: str
    envelope: Json
    field: Json = Field(description="One field of the list; `$name`, `$type` and `$label` stand for its own.")
    types: dict[str, str] = Field(description="JSON type (or date-time) → the vendor's word.")
    within: str | None = None


class Entity(VendorPart):
    """One kind of record: where it is listed, and how it is made."""

    path: str
    method: Literal["GET", "POST"] = "GET"
    when: tuple[Place, ...] = Field(default=(), description="Each must match for a request to mean this entity.")
    paging: str = Field(description="Name of one of the vendor's.")
    records_key: str | None = Field(default=None, description="What `$key` in the envelope stands for.")
    ids: dict[str, str | int] = Field(
        description="`{x}` 8 hex digits, `{X}` upper case, `{n}` a number; or the first number."
    )
    order: Literal["oldest", "newest"] = "oldest"
    share: float = Field(default=1.0, gt=0, description="Records of it per record that the sandbox is asked for.")
    since: tuple[Place, ...] = ()
    until: tuple[Place, ...] = ()
    filters: Literal["created", "updated"] = Field(default="updated", description="Which time `since` is about.")
    select: Select | None = None
    parent: Parent | None = None
    like: Name | None = Field(default=None, description="The same records as another entity, asked for otherwise.")
    object: str | None = Field(default=None, description="The vendor's name of it, where its fields are listed.")
    record: dict[str, Json]
    shape: Literal["plain", "ga4_rows", "metric_data"] = "plain"


class Limit(VendorPart):
    """So many requests per so many seconds, and the headers that tell of it."""

    limit: int = Field(ge=1)
    per: float = Field(gt=0, description="Seconds.")
    scope: Literal["account", "endpoint"] = "account"
    headers: dict[str, str] = Field(default={}, description="Texts with {limit}, {remaining}, {reset}, {seconds}.")


class Answer(VendorPart):
    """A status, its headers and body; texts may hold {message}."""

    status: int
    body: Json = None
    headers: dict[str, str] = {}


class OAuth(VendorPart):
    """The token endpoint."""

    token_path: str
    lifetime: int = Field(default=1800, description="Seconds.")
    grants: tuple[str, ...] = ("refresh_token", "client_credentials")
    client_in: Literal["body", "basic"] = "body"
    rotates: bool = Field(default=False, description="Whether a refresh gives a new refresh token.")
    answer: dict[str, Json] = Field(default={}, description="What it has beside the tokens; `$base` is our URL.")


class Auth(VendorPart):
    """How a request shows who asks: any one of these is enough."""

    bearer: bool = False
    basic: bool = False
    header: str | None = None
    query: str | None = None
    sigv4: str | None = Field(default=None, description="Name of the AWS service.")
    oauth: OAuth | None = None


class Errors(VendorPart):
    """The vendor's own answers when something is wrong."""

    auth: Answer
    not_found: Answer
    limit: Answer
    server: Answer
    bad_request: Answer
    no_parent: Answer | None = Field(default=None, description="An unknown parent; else as not_found.")


class Vendor(VendorPart):
    """One vendor."""

    name: Name
    base_path: str = Field(default="", description="What a path may begin with, where a base URL has it.")
    auth: Auth
    headers: dict[str, str] = Field(default={}, description="On every answer.")
    required_headers: tuple[str, ...] = ()
    limits: tuple[Limit, ...] = ()
    errors: Errors
    pool: int = Field(default=200, ge=1, description="Records of an entity that differ in more than ids and times.")
    pagings: dict[str, Paging]
    parts: dict[str, Json] = Field(default={}, description='Templates that `{"@part": name}` stands for.')
    fields: Fields | None = Field(default=None, description="Where an entity that has `object` lists its fields.")
    defaults: dict[str, Json] = Field(default={}, description="What every entity has that doesn't say otherwise.")
    entities: dict[Name, Entity]

    @model_validator(mode="before")
    @classmethod
    def _fill_in(cls, raw: Any) -> Any:
        if isinstance(raw, dict) and isinstance(raw.get("entities"), dict):
            defaults, entities = raw.get("defaults", {}), raw["entities"]
            whole = {n: defaults | entities.get(e.get("like", n), {}) | e for n, e in entities.items()}
            return raw | {"entities": whole}
        return raw


def vendor_names() -> list[str]:
    """The vendors that the sandbox plays by heart, in order of name."""
    return sorted(path.stem for path in FOLDER.glob("*.json"))


@cache
def load_vendor(name: str) -> Vendor:
    """One of `vendor_names()`. Raises Misconfigured if there is none, or its file doesn't fit the model."""
    if name not in vendor_names():
        raise Misconfigured(f"the sandbox plays no vendor {name!r}; there are {', '.join(vendor_names())}")
    return parse_vendor((FOLDER / f"{name}.json").read_bytes(), f"sandbox/vendors/{name}.json")


def parse_vendor(text: bytes, source: str) -> Vendor:
    """The vendor that `text` describes. Raises Misconfigured with `source` and the place of the first mistake."""
    try:
        return Vendor.model_validate_json(text)
    except ValidationError as error:
        first = error.errors()[0]
        raise Misconfigured(f"{source}: {'.'.join(map(str, first['loc']))}: {first['msg']}") from error
