"""The status of a local server, for people and for programs; the same for Kafka and Postgres."""

from typing import Any

from infra.local_server import ServerStatus


def as_json(status: ServerStatus) -> dict[str, Any]:
    """All that is known; keys with nothing known are null."""
    return {
        "state": status.state,
        "address": status.address,
        "pid": status.pid,
        "started_at": status.started_at,
        "log": str(status.log),
        "data": str(status.data),
    }


def as_lines(status: ServerStatus) -> list[str]:
    """One line a fact, what is unknown left out."""
    return [f"{name:<11} {value}" for name, value in as_json(status).items() if value is not None]
