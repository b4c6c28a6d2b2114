"""Builds the request for one page: the spec's templates, and what paging and increments put into query or body."""

import copy
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl, quote, urlencode, urlsplit

import orjson

from connectors.errors import EgressRefused
from connectors.templates import Variables, render, render_path, render_text
from schemas.connector_spec import EntitySpec


@dataclass(frozen=True, slots=True)
class PageRequest:
    """What differs from page to page: a whole URL, or values by the name of their parameter and where they go."""

    url: str | None = None
    values: Mapping[str, Any] = field(default_factory=dict)
    place: str = "query"


@dataclass(frozen=True, slots=True)
class Outgoing:
    """A request as it is sent, but for authorization."""

    method: str
    url: str
    headers: Mapping[str, str] = field(default_factory=dict)
    content: bytes | None = None


def place_of(entity: EntitySpec, place: str | None) -> str:
    """Where parameters go that a spec gives no place: the query of a GET, else the body."""
    return place or ("query" if entity.method == "GET" or entity.body is None else "body")


def build_request(
    base: str,
    entity: EntitySpec,
    variables: Variables,
    page: PageRequest,
    *,
    headers: Mapping[str, str],
    extra: Iterable[PageRequest] = (),
    root: str | None = None,
) -> Outgoing:
    """The request for `page` of `entity`. `extra` are further parameters; not added to a URL that the vendor gave."""
    sent = {name: render_text(value, variables) for name, value in {**headers, **entity.headers}.items()}
    if page.url is not None:
        return _with_body(entity, page_url(base, page.url, root), sent, render(entity.body, variables))
    url = base + "/" + render_path(entity.endpoint, variables).lstrip("/")
    params, body = dict(render(entity.params, variables)), render(copy.deepcopy(entity.body), variables)
    for part in (*extra, page):
        for name, value in part.values.items():
            if part.place == "body":
                body = put(body, name, value)
            elif part.place == "header":
                sent[name] = str(value)
            else:
                params[name] = value
    return _with_body(entity, with_query(url, params), sent, body)


def page_url(base: str, url: str, root: str | None = None) -> str:
    """The next URL as vendors write it: whole, from the host's root (`root`; null: the host of `base`), or relative."""
    if "://" in url.partition("?")[0]:
        return url
    if url.startswith("//"):
        raise EgressRefused("the vendor points to another host; credentials are not sent there")
    if not url.startswith("/"):
        return f"{base}/{url}"
    if root is None:
        parts = urlsplit(base)
        return f"{parts.scheme}://{parts.netloc}{url}"
    prefix = urlsplit(root).path.rstrip("/")
    return root.rstrip("/") + (url.removeprefix(prefix) if url.startswith(prefix + "/") else url)


def with_query(url: str, params: Mapping[str, Any]) -> str:
    """`url` with `params` in its query, in place of those of the same name; null leaves one out, a list repeats it."""
    if not params:
        return url
    path, _, query = url.partition("?")
    pairs = [(name, value) for name, value in parse_qsl(query, keep_blank_values=True) if name not in params]
    for name, value in params.items():
        for one in value if isinstance(value, list | tuple) else [value]:
            if one is not None:
                pairs.append((name, ("true" if one else "false") if isinstance(one, bool) else str(one)))
    return f"{path}?{urlencode(pairs, quote_via=quote)}" if pairs else path


def put(body: Any, path: str, value: Any) -> Any:
    """`body` with `value` at a dotted path; null takes it out."""
    result = body if isinstance(body, dict) else {}
    inner = result
    *above, last = path.split(".")
    for name in above:
        inner = inner.setdefault(name, {})
    if value is None:
        inner.pop(last, None)
    else:
        inner[last] = value
    return result


def _with_body(entity: EntitySpec, url: str, headers: dict[str, str], body: Any) -> Outgoing:
    if entity.method == "GET" or body is None:
        return Outgoing(entity.method, url, headers)
    if entity.body_format == "form":
        form = urlencode([(name, value) for name, value in body.items() if value is not None])
        return Outgoing("POST", url, {"Content-Type": "application/x-www-form-urlencoded"} | headers, form.encode())
    return Outgoing("POST", url, {"Content-Type": "application/json"} | headers, orjson.dumps(body))
