"""An OpenAPI document as read: JSON or YAML, versions 2.0 (Swagger), 3.0 and 3.1, its local references resolved.

Documents come from strangers: size, nesting and what YAML aliases stand for are bounded, and a reference to another
file or host is never followed, but noted as a problem. What the document describes is found in `discover_openapi`.
"""

import json
import re
from typing import Any, Final
from urllib.parse import unquote

import orjson
import yaml

from schemas.failures import InvalidRecord

MAX_DOCUMENT_BYTES: Final = 64 * 1024 * 1024
MAX_NODES: Final = 4_000_000
MAX_KEYS: Final = 50_000
MAX_REFERENCES_IN_A_ROW: Final = 50
MAX_PROBLEMS: Final = 100
NOTHING: Final[dict[str, Any]] = {}  # one object, so that readers may remember places by id()


class InvalidDocument(InvalidRecord):
    """This is no OpenAPI document, or none that can be read within bounds. The message says where and what to do."""


class OpenApiDocument:
    """`root` as parsed; `version` is "2.0", "3.0", "3.1"…; `problems` collects what had to be left out, and why."""

    def __init__(self, root: Any) -> None:
        if not isinstance(root, dict):
            raise InvalidDocument("an OpenAPI document is an object; this is none")
        self.root: dict[str, Any] = root
        self.version = _version(root)
        if not isinstance(root.get("paths"), dict) or not root["paths"]:
            raise InvalidDocument("the OpenAPI document has no `paths`: there is nothing to read from")
        self.problems: list[str] = []

    @property
    def is_swagger(self) -> bool:
        """Version 2: other places for schemas, servers and security."""
        return self.version.startswith("2")

    def note(self, problem: str) -> None:
        """Remember, once, what was left out."""
        if problem not in self.problems and len(self.problems) < MAX_PROBLEMS:
            self.problems.append(problem)

    def resolve(self, node: Any) -> tuple[dict[str, Any], str | None]:
        """(what `node` is or refers to, the last reference followed). An empty object where that can't be told."""
        reference: str | None = None
        for _ in range(MAX_REFERENCES_IN_A_ROW):
            if not isinstance(node, dict):
                return NOTHING, reference
            if not isinstance(node.get("$ref"), str):
                return node, reference
            reference = node["$ref"]
            node = self._at(reference)
        self.note(f"`$ref` {_short(reference)} leads to itself")
        return NOTHING, reference

    def _at(self, reference: str) -> Any:
        if not reference.startswith("#"):
            self.note(f"`$ref` {_short(reference)} is not followed: only local ones (`#/…`) are; bundle the document")
            return NOTHING
        node: Any = self.root
        for token in unquote(reference[1:]).split("/")[1:]:
            key = token.replace("~1", "/").replace("~0", "~")
            if isinstance(node, dict) and key in node:
                node = node[key]
            elif isinstance(node, list) and key.isascii() and key.isdigit() and len(key) < 9 and int(key) < len(node):
                node = node[int(key)]
            else:
                self.note(f"`$ref` {_short(reference)} leads nowhere")
                return NOTHING
        if reference in ("#", "#/") or not isinstance(node, dict):
            self.note(f"`$ref` {_short(reference)} is not a schema")
            return NOTHING
        return node


def parse_document(data: bytes) -> OpenApiDocument:
    """The document in `data`, JSON or YAML.

    Raises:
        InvalidDocument: too large, neither JSON nor YAML, a bomb, or not OpenAPI 2.0, 3.0, 3.1.
    """
    if len(data) > MAX_DOCUMENT_BYTES:
        raise InvalidDocument(f"the document is larger than {MAX_DOCUMENT_BYTES // 1024**2} MiB")
    data = data.removeprefix(b"\xef\xbb\xbf")
    start = data.lstrip()[:1]
    if start == b"<":
        raise InvalidDocument("this is HTML or XML, not an OpenAPI document: is the address that of a web page?")
    try:
        return OpenApiDocument(orjson.loads(data))
    except orjson.JSONDecodeError as error:
        if start == b"{" and b"\n" not in data[: error.pos]:
            raise InvalidDocument(f"not JSON: {error.msg} at byte {error.pos}") from error
    return OpenApiDocument(_parse_yaml(data))


class _Loader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]  # in C where libyaml is there
    """YAML with the types of JSON (YAML 1.2, core schema): no dates, no `yes` and `no`, no octal numbers."""

    yaml_implicit_resolvers: dict[str, list[tuple[str, re.Pattern[str]]]] = {}  # noqa: RUF012  # PyYAML's own protocol

    def flatten_mapping(self, node: Any) -> None:
        """Merge keys (`<<`), which multiply like aliases, but in memory."""
        super().flatten_mapping(node)
        if len(node.value) > MAX_KEYS:
            raise InvalidDocument(f"YAML: an object of more than {MAX_KEYS} keys")


for _tag, _pattern, _first in (
    ("null", r"(?:~|null|Null|NULL|)", ["~", "n", "N", ""]),
    ("bool", r"(?:true|True|TRUE|false|False|FALSE)", list("tTfF")),
    ("int", r"[-+]?(?:0|[1-9][0-9]{0,300})", list("-+0123456789")),
    ("float", r"[-+]?(?:\.[0-9]+|[0-9]+\.[0-9]*)(?:[eE][-+]?[0-9]+)?", list("-+.0123456789")),
    ("merge", r"<<", ["<"]),
):
    _Loader.add_implicit_resolver(f"tag:yaml.org,2002:{_tag}", re.compile(f"^{_pattern}$"), _first)


def _parse_yaml(data: bytes) -> Any:
    try:
        root = yaml.load(data, Loader=_Loader)  # noqa: S506  # a SafeLoader
        _Weight().measure(root)
    except InvalidDocument:
        raise
    except yaml.MarkedYAMLError as error:
        where = f" at line {error.problem_mark.line + 1}" if error.problem_mark else ""
        raise InvalidDocument(f"neither JSON nor YAML: {error.problem}{where}") from error
    except (yaml.YAMLError, UnicodeError) as error:
        raise InvalidDocument("neither JSON nor YAML: characters that neither has") from error
    except RecursionError as error:
        raise InvalidDocument("YAML nested too deeply") from error
    except (ValueError, TypeError, AttributeError) as error:  # what PyYAML makes of odd tags and keys
        raise InvalidDocument(f"YAML that is not JSON: {type(error).__name__}") from error
    return root


class _Weight:
    """How many nodes a tree with shared parts stands for; keys made text on the way. Refuses bombs and cycles."""

    def __init__(self) -> None:
        self._weights: dict[int, int] = {}  # id -> nodes; 0 while open

    def measure(self, node: Any) -> int:
        """Nodes at and below `node`."""
        if not isinstance(node, dict | list):
            return 1
        known = self._weights.get(id(node))
        if known == 0:
            raise InvalidDocument("YAML: an alias inside its own anchor")
        if known is not None:
            return known
        self._weights[id(node)] = 0
        if isinstance(node, dict):
            for key in [key for key in node if not isinstance(key, str)]:
                node[json.dumps(key)] = node.pop(key)
        weight = 1 + sum(map(self.measure, node.values() if isinstance(node, dict) else node))
        if weight > MAX_NODES:
            raise InvalidDocument(f"YAML whose aliases stand for more than {MAX_NODES:,} values")
        self._weights[id(node)] = weight
        return weight


def _version(root: dict[str, Any]) -> str:
    version = str(root.get("openapi", root.get("swagger", "")))
    if version.startswith(("3.0", "3.1", "3.2")) or version in ("2.0", "2"):
        return version
    if version:
        raise InvalidDocument(f"OpenAPI {_short(version)} is not read: 2.0 (Swagger), 3.0 and 3.1 are")
    raise InvalidDocument("not an OpenAPI document: it has neither `openapi` nor `swagger`")


def _short(text: str | None) -> str:
    return json.dumps((text or "")[:120])
