"""Drift on command: a vendor adds, removes, renames or retypes a field, and every record shows it from then on.

A path names objects' keys, joined by dots; an array on the way means each of its elements.
"""

import json
from collections.abc import Callable, Iterator, Sequence
from copy import deepcopy
from typing import Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from sandbox.generators import SLOT_END, SLOT_START

Record = dict[str, Any]


class Change(BaseModel):
    """One change of an entity's records."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: Literal["add", "remove", "rename", "retype"]
    field: str = Field(min_length=1, description="Path of the field.")
    to: str | None = Field(default=None, description="rename: new name; retype: string, number, boolean or null.")
    value: Any = Field(default=None, description="add: the value that every record gets.")

    @model_validator(mode="after")
    def _complete(self) -> "Change":
        if self.kind == "rename" and not self.to:
            raise ValueError("a rename needs `to`, the new name")
        if self.kind == "retype" and self.to not in _RETYPE:
            raise ValueError(f"a retype needs `to`, one of {', '.join(_RETYPE)}")
        return self


def apply_changes(records: Sequence[Record], changes: Sequence[Change]) -> list[Record]:
    """Copies of `records` after `changes`, in their order."""
    changed = deepcopy(list(records)) if changes else list(records)
    for change in changes:
        for record in changed:
            _apply(record, change)
    return changed


def _apply(record: Record, change: Change) -> None:
    *above, name = change.field.split(".")
    for holder in _holders(record, above, make=change.kind == "add"):
        if change.kind == "add":
            holder[name] = change.value
        elif name in holder and change.kind == "remove":
            del holder[name]
        elif name in holder and change.kind == "rename":
            holder[str(change.to).rpartition(".")[2]] = holder.pop(name)
        elif name in holder:
            holder[name] = _RETYPE[str(change.to)](holder[name])


def _holders(value: Any, steps: Sequence[str], *, make: bool) -> Iterator[Record]:
    if isinstance(value, list):
        for element in value:
            yield from _holders(element, steps, make=make)
    elif isinstance(value, dict):
        if not steps:
            yield value
            return
        if make:
            value.setdefault(steps[0], {})
        yield from _holders(value.get(steps[0]), steps[1:], make=make)


def _as_text(value: Any) -> Any:
    if isinstance(value, str):
        whole = value.startswith(SLOT_START) and value.endswith(SLOT_END)
        return f"{value[:-1]}|text{SLOT_END}" if whole else value
    return None if value is None else json.dumps(value)


def _as_number(value: Any) -> Any:
    if value is None or (isinstance(value, int | float) and not isinstance(value, bool)):
        return value
    try:
        return float(value)
    except (TypeError, ValueError):
        return len(str(value))


_RETYPE: Final[dict[str, Callable[[Any], Any]]] = {
    "string": _as_text,
    "number": _as_number,
    "boolean": lambda value: None if value is None else bool(value),
    "null": lambda _value: None,
}
