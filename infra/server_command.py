"""What starts one local server: a value that says how, so that owned and detached starts are the same for Kafka and
Postgres. Starting it is the matter of `owned_process` and `detached_process`."""

import signal
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

LOG_TAIL_BYTES = 2_000


@dataclass(frozen=True)
class ServerCommand:
    """One server process and how to end it."""

    name: str  # for people: "Kafka"
    argv: tuple[str, ...]
    log: Path  # receives stdout and stderr
    marker: str  # an argument that only this instance's process carries: tells it from another with a reused pid
    env: Mapping[str, str]
    user: str | None = None  # the account to run as; None: the caller's
    stop_signal: signal.Signals = signal.SIGTERM  # for an orderly end (detached)
    discard_signal: signal.Signals = signal.SIGKILL  # when its data goes with it (owned)


def log_tail(log: Path) -> str:
    """The last lines of a server's log, for an error message; empty if there is none."""
    try:
        return log.read_bytes()[-LOG_TAIL_BYTES:].decode(errors="replace").strip()
    except FileNotFoundError:
        return ""


def as_account(user: str | None) -> dict[str, Any]:
    """Arguments of subprocess that drop from root to `user`, its group alone; none for the caller's own account."""
    return {} if user is None else {"user": user, "group": user, "extra_groups": []}
