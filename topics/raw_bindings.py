"""Topics that a user already has, and whose records they carry: AAM_RAW_TOPICS, a JSON or YAML file.

It maps a topic, or a pattern, to tenant, connector, entity, connection and the form of its records. How a form is read
is decided in `topics.foreign_record`. A pattern has `{names}`, each one part of a topic's name without dots, which may
be used in the values, and `*` for anything: `cdc.{tenant}.public.{entity}`.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Final, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError

from schemas.failures import Misconfigured
from topics.raw_record import NAME_PATTERN

Form = Literal["auto", "plain", "debezium", "connect", "airbyte", "avro"]

MAX_FILE_BYTES: Final = 1 << 20
MAX_BINDINGS: Final = 10_000
_TOPIC: Final = re.compile(r"[A-Za-z0-9._-]{1,249}")
_PLACEHOLDER: Final = re.compile(r"\{([a-z]+)\}|(\*)")
_PARTS: Final = frozenset({"tenant", "connector", "connection", "entity"})
_PART: Final = "[A-Za-z0-9_-]+"
_KAFKAS_OWN: Final = ("__consumer_offsets", "__transaction_state", "_schemas")
_Text = Annotated[str, StringConstraints(min_length=1, max_length=200)]


class Binding(BaseModel):
    """Whose records a topic carries, and in what form. `entity` None: the record says it, or its header `entity`."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    tenant: _Text
    connector: _Text
    entity: _Text | None = None
    connection: _Text | None = Field(default=None, description="Default: the connector's name.")
    form: Form = "auto"


class RawBindings:
    """The bindings of one installation. Exact topics come before patterns, patterns in the file's order."""

    def __init__(self, bindings: Mapping[str, Binding], *, own_topics: Iterable[str] = ()) -> None:
        """Raises Misconfigured for a name that is none, and for a pattern that takes in AAM's own topics."""
        self._exact = {name: binding for name, binding in bindings.items() if not _PLACEHOLDER.search(name)}
        self._patterns = [(_Pattern(name), binding) for name, binding in bindings.items() if name not in self._exact]
        self._found: dict[str, Binding | None] = {}
        for name in self._exact:
            if not _TOPIC.fullmatch(name):
                raise _wrong(name, "is not the name of a topic")
        for own in (*own_topics, *_KAFKAS_OWN):
            if own in self._exact:
                raise _wrong(own, "is a topic of AAM's or Kafka's own")
            for pattern, _ in self._patterns:
                if pattern.match(own) is not None:
                    raise _wrong(pattern.text, f"takes in {own}, a topic of AAM's or Kafka's own: be more exact")
        for name, binding in bindings.items():
            _check_names(name, binding)

    @classmethod
    def load(cls, path: Path, *, own_topics: Iterable[str] = ()) -> "RawBindings":
        """From a file. Raises Misconfigured, saying what is wrong where."""
        try:
            if path.stat().st_size > MAX_FILE_BYTES:
                raise Misconfigured(f"AAM_RAW_TOPICS: {path} is larger than {MAX_FILE_BYTES >> 20} MiB")
            listed = yaml.load(path.read_text(encoding="utf-8"), Loader=_UniqueKeys)  # noqa: S506  # a SafeLoader
        except (OSError, UnicodeError) as error:
            raise Misconfigured(f"AAM_RAW_TOPICS: {path} can't be read: {type(error).__name__}") from error
        except (yaml.YAMLError, RecursionError) as error:
            raise Misconfigured(f"AAM_RAW_TOPICS: {path} is neither JSON nor YAML: {_where(error)}") from error
        if not isinstance(listed, dict) or not listed:
            raise Misconfigured(f"AAM_RAW_TOPICS: {path} must be an object of topics: {{topic: {{tenant: …}}}}")
        if len(listed) > MAX_BINDINGS:
            raise Misconfigured(f"AAM_RAW_TOPICS: more than {MAX_BINDINGS} topics")
        return cls({str(name): _binding(str(name), given) for name, given in listed.items()}, own_topics=own_topics)

    def __bool__(self) -> bool:
        return bool(self._exact or self._patterns)

    @property
    def topics(self) -> list[str]:
        """The topics named in full; they must exist."""
        return list(self._exact)

    def subscriptions(self) -> list[str]:
        """What to subscribe to, as librdkafka takes it: names, and `^` before a regular expression."""
        return [*self._exact, *(pattern.posix for pattern, _ in self._patterns)]

    def find(self, topic: str) -> Binding | None:
        """The binding of a topic, its placeholders filled; None where it has none."""
        if topic not in self._found:
            self._found[topic] = self._exact.get(topic) or next(self._matching(topic), None)
        return self._found[topic]

    def _matching(self, topic: str) -> Iterator[Binding]:
        for pattern, binding in self._patterns:
            parts = pattern.match(topic)
            if parts is not None:
                yield _filled(binding, parts)


class _Pattern:
    """`cdc.{tenant}.*` as a regular expression of Python's and of POSIX."""

    def __init__(self, text: str) -> None:
        self.text = text
        python, posix = "", ""
        position = 0
        names: set[str] = set()
        for found in _PLACEHOLDER.finditer(text):
            literal = text[position : found.start()]
            python, posix, position = python + re.escape(literal), posix + _posix(literal), found.end()
            name = found[1]
            if name is not None and (name not in _PARTS or name in names):
                raise _wrong(text, f"{{{name}}} must be one of {', '.join(sorted(_PARTS))}, once")
            names.add(name or "")
            python += f"(?P<{name}>{_PART})" if name else ".*"
            posix += _PART if name else ".*"
        literal = text[position:]
        if not re.fullmatch(r"[A-Za-z0-9._-]*", _PLACEHOLDER.sub("", text)):
            raise _wrong(text, "has characters that no topic has; patterns have {names} and *")
        self.names = names - {""}
        self.posix = f"^{posix}{_posix(literal)}$"
        self._python = re.compile(python + re.escape(literal))

    def match(self, topic: str) -> dict[str, str] | None:
        """The parts that the placeholders stand for; None if the topic is another's."""
        found = self._python.fullmatch(topic)
        return None if found is None else found.groupdict()


def _posix(literal: str) -> str:
    return literal.replace(".", "[.]")


def _filled(binding: Binding, parts: Mapping[str, str]) -> Binding:
    """The values of a binding with what the topic's name says."""
    given = {
        name: _PLACEHOLDER.sub(lambda found: parts.get(found[1] or "", found[0]), value) if value else value
        for name, value in binding.model_dump(include=set(_PARTS)).items()
    }
    return binding.model_copy(update=given)  # what is no name is refused record by record


def _check_names(name: str, binding: Binding) -> None:
    """What the values name must be in the pattern, and be a name."""
    has = _Pattern(name).names if _PLACEHOLDER.search(name) else set()
    for part, value in binding.model_dump(include=set(_PARTS), exclude_none=True).items():
        unknown = [found[1] for found in _PLACEHOLDER.finditer(value) if found[1] not in has]
        if unknown:
            raise _wrong(name, f"{part}: {{{unknown[0]}}} is not in the pattern")
        if not NAME_PATTERN.fullmatch(_PLACEHOLDER.sub("x", value)):
            raise _wrong(name, f"{part} must be letters, digits and `_.:/-`, starting with a letter or digit")


def _binding(name: str, given: Any) -> Binding:
    try:
        return Binding.model_validate(given)
    except ValidationError as error:
        issue = error.errors(include_input=False)[0]
        where = ".".join(map(str, issue["loc"]))
        raise _wrong(
            name, f"{where}: {issue['msg']}" if where else "must be an object with tenant, connector, …"
        ) from None


def _wrong(name: str, what: str) -> Misconfigured:
    return Misconfigured(f"AAM_RAW_TOPICS: {name!r}: {what}")


def _where(error: Exception) -> str:
    if isinstance(error, yaml.MarkedYAMLError) and error.problem_mark is not None:
        return f"{error.problem} at line {error.problem_mark.line + 1}"
    return type(error).__name__


class _UniqueKeys(yaml.SafeLoader):
    """A topic that stands twice is a mistake, not the second of the two."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        keys = [self.construct_object(key, deep=True) for key, _ in node.value]
        twice = next((key for index, key in enumerate(keys) if key in keys[:index]), None)
        if twice is not None:
            raise yaml.constructor.ConstructorError(None, None, f"{twice!r} stands there twice", node.start_mark)
        return super().construct_mapping(node, deep)
