"""Connections: tenants' uses of connectors, with settings, references to secrets, status, and how far syncs got.

One sync of a connection at a time: it claims the connection for a while, and only the holder of the claim writes
positions, so that a sync that was thought dead can't set back its successor. What is in a position is up to
`connectors.sync_state`; secrets' values to `registry.secrets`.
"""

import re
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from datetime import datetime
from typing import Any, Final, Literal

from psycopg.types.json import Jsonb

from registry import errors
from registry.pool import Pool, transaction
from registry.secrets import KINDS, STATEMENTS

Status = Literal["active", "paused", "action_required"]
CLAIM_SECONDS: Final = 120.0
_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.:-]{0,199}")
PositionKey = tuple[str, str]
"""(entity, parent's key; '' without a parent)"""


@dataclass(frozen=True)
class NewConnection:
    """What is said of a connection. `secrets`: credential → reference; `entities` None: all of the spec."""

    tenant: str
    id: str
    connector: str
    settings: Mapping[str, Any] = field(default_factory=dict)
    secrets: Mapping[str, str] = field(default_factory=dict)
    base_url: str | None = None
    entities: Sequence[str] | None = None
    interval_seconds: int | None = None


@dataclass(frozen=True)
class StoredConnection(NewConnection):
    """A connection as it is. `problems`: entity → {reason, fix, at}; `progress`: entity → {records, total}."""

    status: Status = "active"
    reason: str = ""
    fix: str = ""
    problems: Mapping[str, Any] = field(default_factory=dict)
    last_sync_at: datetime | None = None
    next_sync_at: datetime | None = None
    records: int = 0
    progress: Mapping[str, Any] | None = None
    is_syncing: bool = False


@dataclass(frozen=True)
class Claim:
    """The right to sync a connection. Ends by itself if it isn't held on to."""

    tenant: str
    id: str
    owner: str


class ClaimLost(errors.RegistryUnavailable):
    """Another sync has taken over; what this one did not write yet will be done by that one."""


class Connections:
    """Reads and writes connections. Methods raise RegistryUnavailable and RegistryMisconfigured."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    def add(self, new: NewConnection, *, actor: str) -> None:
        """Adds a connection. Raises InvalidDecision if the tenant has one of this id."""
        if not self._write("add_connection", _columns(new) | {"actor": actor}):
            raise errors.InvalidDecision(f"tenant {new.tenant} has a connection {new.id} already")

    def change(self, changed: NewConnection) -> None:
        """Replaces what is said of a connection; its connector stays. Raises InvalidDecision if there is none."""
        if not self._write("change_connection", _columns(changed)):
            raise _unknown(changed.tenant, changed.id)

    def remove(self, tenant: str, connection_id: str) -> None:
        """Removes a connection and its positions; what it delivered stays. Raises InvalidDecision."""
        if not self._write("remove_connection", {"tenant": tenant, "id": connection_id}):
            raise _unknown(tenant, connection_id)

    def get(self, tenant: str, connection_id: str) -> StoredConnection:
        """One connection. Raises InvalidDecision if there is none."""
        found = self.find(tenant, connection_id)
        if not found:
            raise _unknown(tenant, connection_id)
        return found[0]

    def find(self, tenant: str | None = None, connection_id: str | None = None) -> list[StoredConnection]:
        """All connections, or a tenant's, in order."""
        with transaction(self._pool) as connection:
            rows = connection.execute(STATEMENTS["list_connections"], {"tenant": tenant, "id": connection_id})
            return [_stored(row) for row in rows]

    def set_status(self, tenant: str, connection_id: str, status: Status, *, reason: str = "", fix: str = "") -> None:
        """Pauses, resumes, or asks for somebody's action. An active one is due at once."""
        row = {"tenant": tenant, "id": connection_id, "status": status, "reason": reason, "fix": fix}
        if not self._write("set_status", row):
            raise _unknown(tenant, connection_id)

    def set_secret_reference(self, tenant: str, connection_id: str, name: str, reference: str) -> None:
        """Has a credential come from another place."""
        row = {"tenant": tenant, "id": connection_id, "name": name, "reference": _checked(name, reference)}
        self._write("set_secret_reference", row)

    def claim(self, tenant: str, connection_id: str, *, seconds: float = CLAIM_SECONDS) -> Claim | None:
        """The right to sync this connection; None while another sync has it."""
        claim = Claim(tenant, connection_id, secrets.token_hex(8))
        return claim if self._write("claim_connection", _claim_row(claim, seconds)) else None

    def claim_due(self, *, limit: int, seconds: float = CLAIM_SECONDS) -> list[Claim]:
        """Claims active connections whose time has come, the longest due first."""
        owner = secrets.token_hex(8)
        with transaction(self._pool) as connection:
            rows = connection.execute(
                STATEMENTS["claim_due"], {"owner": owner, "seconds": seconds, "limit": limit}
            ).fetchall()
        return [Claim(tenant, connection_id, owner) for tenant, connection_id in rows]

    def release(
        self,
        claim: Claim,
        *,
        problems: Mapping[str, Any],
        reason: str = "",
        fix: str = "",
        again_seconds: float | None = None,
    ) -> None:
        """Ends a sync. With a `reason` the connection waits for somebody's action; `again_seconds`: next try."""
        row = _claim_row(claim, 0) | {"problems": Jsonb(problems), "reason": reason, "fix": fix, "again": again_seconds}
        self._write("release_claim", row)

    def positions(self, tenant: str, connection_id: str) -> dict[PositionKey, dict[str, Any]]:
        """Where the syncs of a connection stand."""
        with transaction(self._pool) as connection:
            rows = connection.execute(STATEMENTS["list_positions"], {"tenant": tenant, "id": connection_id})
            return {(entity, parent): position for entity, parent, position in rows}

    def save(
        self,
        claim: Claim,
        positions: Mapping[PositionKey, Mapping[str, Any]],
        *,
        records: int = 0,
        progress: Mapping[str, Any] | None = None,
        seconds: float = CLAIM_SECONDS,
    ) -> None:
        """Writes positions and holds on to the claim, all or nothing. Raises ClaimLost."""
        row = _claim_row(claim, seconds) | {
            "records": records,
            "progress": None if progress is None else Jsonb(progress),
        }
        with transaction(self._pool) as connection:
            if connection.execute(STATEMENTS["hold_claim"], row).fetchone() is None:
                raise ClaimLost(f"another sync of {claim.id} has taken over")
            for (entity, parent), position in positions.items():
                values = {"entity": entity, "parent": parent, "position": Jsonb(dict(position))}
                connection.execute(STATEMENTS["save_position"], row | values)

    def forget(self, tenant: str, connection_id: str, entity: str | None = None) -> None:
        """Has the next sync begin from the start, of one entity or all."""
        self._write("forget_positions", {"tenant": tenant, "id": connection_id, "entity": entity})

    def _write(self, statement: str, row: Mapping[str, Any]) -> int:
        with transaction(self._pool) as connection:
            return connection.execute(STATEMENTS[statement], row).rowcount


def _columns(new: NewConnection) -> dict[str, Any]:
    for what, name in (("tenant", new.tenant), ("id", new.id)):
        if not _NAME.fullmatch(name):
            raise errors.InvalidDecision(
                f"a connection's {what} is 1 to 200 of letters, digits and _.:-, starting with a letter or digit"
            )
    return {
        "tenant": new.tenant,
        "id": new.id,
        "connector": new.connector,
        "settings": Jsonb(dict(new.settings)),
        "secrets": Jsonb({name: _checked(name, reference) for name, reference in new.secrets.items()}),
        "base_url": new.base_url,
        "entities": None if new.entities is None else list(new.entities),
        "interval": new.interval_seconds,
    }


def _checked(name: str, reference: str) -> str:
    """The reference; a value that somebody gave in its place must not be stored in the clear, nor repeated."""
    kind, colon, rest = reference.partition(":")
    if kind not in KINDS or not colon or not rest:
        raise errors.InvalidDecision(f"credential {name} is no reference: env:NAME, file:NAME or store:NAME")
    return reference


def _claim_row(claim: Claim, seconds: float) -> dict[str, Any]:
    return {"tenant": claim.tenant, "id": claim.id, "owner": claim.owner, "seconds": seconds}


def _stored(row: Sequence[Any]) -> StoredConnection:
    names = [column.name for column in fields(StoredConnection)]
    given = dict(zip(names, row, strict=True))
    return StoredConnection(**given | {"is_syncing": bool(given["is_syncing"])})


def _unknown(tenant: str, connection_id: str) -> errors.InvalidDecision:
    return errors.InvalidDecision(
        f"tenant {tenant} has no connection {connection_id}: see `aam connectors list --connections`"
    )
