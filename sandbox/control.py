"""What is commanded while the sandbox runs: drift and faults, in one file that every process looks at."""

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from infra.file_lock import file_lock
from sandbox.drift import Change

FaultKind = Literal[
    "slow", "status", "limit", "html", "malformed", "truncated", "huge", "bomb", "error_200", "endless", "repeat",
    "keyless",
]  # fmt: skip


class Fault(BaseModel):
    """A bad day of a vendor, or of one of its entities."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: FaultKind
    vendor: str
    entity: str | None = None
    times: int | None = Field(default=None, ge=1, description="Requests, in each process; null: until cleared.")
    share: float = Field(default=1.0, gt=0, le=1, description="Of the requests.")
    seconds: float = Field(default=1.0, ge=0, description="slow: how long an answer takes.")
    status: int = Field(default=500, ge=400, le=599)
    megabytes: int = Field(default=64, ge=1, le=2048, description="huge and bomb: size of the body, decoded.")

    def hits(self, vendor: str, entity: str) -> bool:
        """Whether it is about this entity."""
        return self.vendor in (vendor, "*") and self.entity in (None, entity)


class Commands(BaseModel):
    """All that is in force. `revision` counts the changes."""

    revision: int = 0
    drift: dict[str, tuple[Change, ...]] = Field(default={}, description="vendor/entity → changes, in their order.")
    faults: tuple[Fault, ...] = ()


class Control:
    """The commands in `file`, read anew when it changes."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._seen: int | None = None
        self._commands = Commands()

    def commands(self) -> Commands:
        """What is in force now."""
        try:
            changed = os.stat(self._file).st_mtime_ns  # noqa: PTH116  # on every request; a Path costs as much again
        except FileNotFoundError:
            return self._commands
        if changed != self._seen:
            self._commands = Commands.model_validate_json(self._file.read_bytes())
            self._seen = changed
        return self._commands

    def drift(self, vendor: str, entity: str, change: Change) -> Commands:
        """Adds a change of an entity's records."""
        key = f"{vendor}/{entity}"
        return self._change(lambda now: {"drift": now.drift | {key: (*now.drift.get(key, ()), change)}})

    def fault(self, fault: Fault) -> Commands:
        """Adds a fault."""
        return self._change(lambda now: {"faults": (*now.faults, fault)})

    def clear(self) -> Commands:
        """Ends all drift and all faults."""
        return self._change(lambda _now: {"drift": {}, "faults": ()})

    def _change(self, change: Callable[[Commands], dict[str, Any]]) -> Commands:
        with file_lock(self._file.with_suffix(".lock")):
            now = self.commands()
            commands = now.model_copy(update=change(now) | {"revision": now.revision + 1})
            new = self._file.with_suffix(".new")
            new.write_text(json.dumps(commands.model_dump(mode="json")), encoding="utf-8")
            new.replace(self._file)
        return self.commands()
