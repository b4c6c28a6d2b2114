"""Where a sync stands: per entity, and per parent where it has one. JSON in the registry, written after delivery only.

A `Position` with a `run` is a sync that was not finished: the next one goes on there.
"""

from typing import Any

from pydantic import BaseModel, ConfigDict

from connectors.paging import Token
from connectors.watermarks import Mark


class Run(BaseModel):
    """A listing that is under way."""

    model_config = ConfigDict(extra="ignore")

    since: Mark | None = None
    until: Mark | None = None
    """End of all windows."""
    window_until: Mark | None = None
    """End of the window that `token` is in."""
    token: Token | None = None
    highest: Mark | None = None
    """Of all records seen in this run."""
    full: bool = False


class Position(BaseModel):
    """How far one listing got."""

    model_config = ConfigDict(extra="ignore")

    watermark: Mark | None = None
    cursor: Token | None = None
    """Mode cursor: where the next sync begins."""
    run: Run | None = None
    run_id: str | None = None
    """Of an entity with a parent: the run that is under way. Of one parent: the last run in which it was done."""
    paging: dict[str, Any] | None = None
    """What was detected, where the spec leaves it open."""
    paging_reason: str | None = None


NO_PARENT = ""
StateKey = tuple[str, str]
"""(entity, parent's key as JSON; empty for the entity itself)"""
States = dict[StateKey, Position]
