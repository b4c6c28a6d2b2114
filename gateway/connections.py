"""Connections and their running syncs, in numbers: what `aam connectors list --connections` shows, for programs.

Nothing that a connection was given is told: no settings, no addresses, no references to secrets. Postgres is asked for
when the first request comes, and may be away: the schemas are served all the same.
"""

import threading
from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack
from dataclasses import asdict
from datetime import datetime
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, HTTPException, Request
from pydantic import BaseModel, Field

from registry.connections import Connections
from registry.errors import InvalidDecision
from registry.pool import Pool
from schemas.failures import Misconfigured, TransientError

OpenPool = Callable[[], AbstractContextManager[Pool]]
RETRY_AFTER_SECONDS = 5


class EntityProgress(BaseModel):
    """How far a running sync is with one entity."""

    records: int
    total: int | None = Field(default=None, description="Null where the vendor doesn't tell.")


class EntityProblem(BaseModel):
    """Why the last sync of an entity failed, and what to do."""

    reason: str
    fix: str = ""
    at: datetime


class ConnectionState(BaseModel):
    """A connection as it is now."""

    tenant: str
    id: str
    connector: str
    status: Literal["active", "paused", "action_required"]
    reason: str
    fix: str
    is_syncing: bool
    progress: dict[str, EntityProgress] | None = Field(description="By entity; null while no sync runs.")
    problems: dict[str, EntityProblem] = Field(description="By entity, of the last sync; '' for the connection's own.")
    records: int = Field(description="Delivered by all syncs together.")
    last_sync_at: datetime | None
    next_sync_at: datetime | None


class RegistryDoor:
    """Opens the registry when it is first asked for; a failed try is made again with the next request."""

    def __init__(self, open_pool: OpenPool) -> None:
        self._open_pool = open_pool
        self._opened = ExitStack()
        self._pool: Pool | None = None
        self._lock = threading.Lock()

    def connections(self) -> Connections:
        """Raises TransientError or Misconfigured without Postgres."""
        with self._lock:
            if self._pool is None:
                self._pool = self._opened.enter_context(self._open_pool())
            return Connections(self._pool)

    def close(self) -> None:
        """Gives the connections to Postgres back."""
        self._opened.close()


def _connections(request: Request) -> Connections:
    door: RegistryDoor = request.app.state.registry_door
    try:
        return door.connections()
    except (TransientError, Misconfigured) as error:
        raise _unavailable(error) from error


Registry = Annotated[Connections, Depends(_connections)]

# `app.state.registry_door` must be set where this is included
router = APIRouter(prefix="/connections", tags=["connections"])


@router.get("")
def list_connections(registry: Registry, tenant: str | None = None) -> list[ConnectionState]:
    """All connections, or a tenant's. A running sync tells its progress every two seconds."""
    return [_state(stored) for stored in _asked(lambda: registry.find(tenant))]


@router.get("/{tenant}/{connection}")
def get_connection(tenant: str, connection: str, registry: Registry) -> ConnectionState:
    """One connection; 404 if there is none."""
    return _state(_asked(lambda: registry.get(tenant, connection)))


def _asked(ask: Callable[[], Any]) -> Any:
    try:
        return ask()
    except InvalidDecision as error:
        raise HTTPException(404, str(error)) from error
    except (TransientError, Misconfigured) as error:
        raise _unavailable(error) from error


def _unavailable(error: Exception) -> HTTPException:
    return HTTPException(503, str(error), headers={"Retry-After": str(RETRY_AFTER_SECONDS)})


def _state(stored: Any) -> ConnectionState:
    return ConnectionState.model_validate(asdict(stored))
