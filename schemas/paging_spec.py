"""How a spec says that the next page is asked for. `connectors.paging` does it."""

from typing import Any, Final, Literal, get_args

from pydantic import Field, GetJsonSchemaHandler, model_validator
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema

from schemas.spec_part import JmesPath, SpecPart

PagingKind = Literal["none", "cursor", "offset", "page", "link_header", "next_url", "last_record_id", "odata", "auto"]

ODATA_NEXT: Final = '"@odata.nextLink"'


class Pagination(SpecPart):
    """How the next page is asked for. A text alone is its kind; what is left out is found in the first response.

    - `cursor`: the response has a token (`cursor_path`) that the next request sends (`cursor_param`).
    - `last_record_id`: the id of the page's last record (`record_path`) is that token (Stripe).
    - `offset`, `page`: counted from `start`; end by `more_path`, `total_path`, `pages_path` or a page not full.
    - `next_url`: the response has the next URL, whole or as a path (`cursor_path`); `odata` is that with
      `@odata.nextLink`; `link_header` has it in the header `Link` with rel="next" (RFC 8288).
    """

    kind: PagingKind
    cursor_param: str | None = Field(
        default=None, description="Parameter that takes the token, offset or page number; in a body, a dotted path."
    )
    cursor_path: JmesPath | None = Field(default=None, description="JMESPath in the response to the token or next URL.")
    record_path: JmesPath | None = Field(
        default=None, description="last_record_id: JMESPath in the last record to its id; null: the primary key."
    )
    in_: Literal["query", "body", "header"] | None = Field(
        default=None, alias="in", description="Where token and size are sent; null: the query of a GET, else the body."
    )
    more_path: JmesPath | None = Field(
        default=None, description="JMESPath in the response to whether there is more, e.g. has_more, !end_of_stream."
    )
    total_path: JmesPath | None = Field(default=None, description="JMESPath in the response to the number of records.")
    pages_path: JmesPath | None = Field(default=None, description="JMESPath in the response to the number of pages.")
    start: int | None = Field(default=None, ge=0, description="First offset (null: 0) or page number (null: 1).")
    size_param: str | None = Field(default=None, description="Parameter that takes the number of records of a page.")
    page_size: int | None = Field(default=None, ge=1, description="Records asked for, and of a full page.")
    max_pages: int = Field(default=1_000_000, ge=1, description="More than these are an error: tokens without an end.")

    @model_validator(mode="before")
    @classmethod
    def _kind_alone(cls, data: Any) -> Any:
        return {"kind": data} if isinstance(data, str) else data

    @classmethod
    def __get_pydantic_json_schema__(cls, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        whole = handler.resolve_ref_schema(handler(schema))
        description = whole.pop("description", "")
        return {"description": description, "anyOf": [{"enum": list(get_args(PagingKind)), "type": "string"}, whole]}
