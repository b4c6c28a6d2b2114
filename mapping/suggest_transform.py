"""Which transform of the closed vocabulary makes a source field's values those of a canonical field, or none for sure.

Rests on types, formats and shapes alone. Where the right step can't be told from them (cents or dollars, the words of
an enumeration, many values for one field), the answer is none: a person decides.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from mapping.mapping_set import Transform
from mapping.transforms import InvalidTransform, build_step
from schemas.canonical_model import CanonicalField, FieldKind
from schemas.messages import FieldProfile

_ISO_CURRENCY: Final = "ISO 4217"
_MONEY: Final = "major units"
_WHOLE: Final = {"integer"}
_NUMERIC: Final = {"integer", "number"}
_TEXT: Final = {"string"}


@dataclass(frozen=True, slots=True)
class Source:
    """What is known of a source field. `types` without "null"."""

    path: str
    types: frozenset[str]
    profile: FieldProfile
    shapes: tuple[str, ...] = ()

    @property
    def format(self) -> str | None:
        return self.profile.format


@dataclass(frozen=True, slots=True)
class Suggestion:
    """A transform, or None and why."""

    transform: Transform | None
    note: str = ""


def suggest_transform(source: Source, name: str, target: CanonicalField) -> Suggestion:
    """The step from `source` to `target`, whose path is `name` (`addresses[].city` of a list's member)."""
    if not source.types:
        return Suggestion(None, "the type of its values is not known")
    if "object" in source.types or "array" in source.types:
        return Suggestion(None, "its values are no plain values")
    if "[]" in source.path and not target.is_list and "[]" not in name:
        return Suggestion(None, "it has several values for one field")
    if target.kind is None:
        return Suggestion(None, "there is no plain value to fill")
    return _BY_KIND[target.kind](source, target)


def fits(transform: Transform, target: CanonicalField) -> bool:
    """Whether a transform without constants can give `target` at all."""
    try:
        if target.kind is not None:
            build_step(transform, target.kind)
    except InvalidTransform:
        return False
    return target.kind is not None and (not target.is_list or transform.op in _LIST_OPS)


def _string(source: Source, target: CanonicalField) -> Suggestion:
    if target.values:
        return _words(source, target)
    if target.unit == _ISO_CURRENCY:
        return _op("upper") if source.types == _TEXT else Suggestion(None, "a currency is told by its code")
    if source.types == _TEXT:
        return _op("copy")
    if source.types <= _TEXT | _WHOLE:
        return _op("to_string")
    return Suggestion(None, f"values of type {_told(source)} for a text")


def _words(source: Source, target: CanonicalField) -> Suggestion:
    """A normalised text: certain only where its words were told or seen, and all are known here. One that comes later
    and isn't known stays in the source's words, as unconverted."""
    words = source.profile.enum
    known = {_plain(word): word for word in target.values}
    if words and all(_plain(word) in known for word in words):
        table = {word: word for word in target.values} | {word: known[_plain(word)] for word in words}
        return Suggestion(Transform(op="enum", params={"values": table}))
    return Suggestion(None, f"its words must be told as {', '.join(target.values[:8])}")


def _long(source: Source, _target: CanonicalField) -> Suggestion:
    if source.types == _WHOLE:
        return _op("copy")
    if source.types <= _TEXT | _WHOLE and _is_number(source) and not _has_point(source):
        return _op("number")
    return Suggestion(None, f"values of type {_told(source)} for an integer")


def _double(source: Source, _target: CanonicalField) -> Suggestion:
    if source.types <= _NUMERIC:
        return _op("copy")
    if source.types <= _TEXT | _NUMERIC and _is_number(source):
        return _op("number")
    return Suggestion(None, f"values of type {_told(source)} for a number")


def _decimal(source: Source, target: CanonicalField) -> Suggestion:
    money = (target.unit or "").startswith(_MONEY)
    if money and (source.types == _WHOLE or (source.types == _TEXT and not _has_point(source))):
        return Suggestion(None, "whole numbers may be amounts in minor units")
    return _double(source, target)


def _boolean(source: Source, _target: CanonicalField) -> Suggestion:
    if source.types == {"boolean"}:
        return _op("copy")
    if source.types <= {"boolean", "string"} and source.format == "boolean":
        return _op("boolean")
    return Suggestion(None, f"values of type {_told(source)} for true or false")


def _timestamp(source: Source, _target: CanonicalField) -> Suggestion:
    return _moment(source, _TIMES, "time")


def _date(source: Source, _target: CanonicalField) -> Suggestion:
    return _moment(source, _DATES, "date")


def _moment(source: Source, ops: Mapping[str, str], what: str) -> Suggestion:
    found = ops.get(source.format or "")
    if found is None:
        return Suggestion(None, f"how its {what}s are written is not known")
    if source.types <= (_NUMERIC | _TEXT if found.startswith("epoch") else _TEXT):
        return _op(found)
    return Suggestion(None, f"values of type {_told(source)} for a {what}")


def _op(op: str) -> Suggestion:
    return Suggestion(Transform(op=op))


def _plain(word: str) -> str:
    """As words are compared: whatever their case and separators, and as in the United States."""
    letters = "".join(character for character in word.lower() if character.isalnum())
    return letters.replace("cancelled", "canceled")


def _told(source: Source) -> str:
    return " or ".join(sorted(source.types))


def _is_number(source: Source) -> bool:
    return source.format in ("number", "decimal") or (source.format is None and bool(source.types & _NUMERIC))


def _has_point(source: Source) -> bool:
    return source.profile.whole is False or any("." in shape for shape in source.shapes)


_LIST_OPS: Final = frozenset({"copy", "upper", "lower", "trim", "to_string", "split"})
_TIMES: Final = {
    "date-time": "iso_time",
    "date": "iso_time",
    "epoch-seconds": "epoch_seconds",
    "unix-time": "epoch_seconds",
    "epoch-millis": "epoch_millis",
}
_DATES: Final = _TIMES | {"date-time": "iso_date", "date": "iso_date"}
_BY_KIND: Final[Mapping[FieldKind, Callable[[Source, CanonicalField], Suggestion]]] = MappingProxyType(
    {
        FieldKind.STRING: _string,
        FieldKind.LONG: _long,
        FieldKind.DOUBLE: _double,
        FieldKind.DECIMAL: _decimal,
        FieldKind.BOOLEAN: _boolean,
        FieldKind.TIMESTAMP: _timestamp,
        FieldKind.DATE: _date,
    }
)
