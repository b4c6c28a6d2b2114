"""A server that runs until it is stopped: starts it in a session of its own, recognizes it again from another process
by pid and marker, and ends it. Which ports and data it has is the matter of the service's own state file."""

import contextlib
import json
import os
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import psutil

from infra.server_command import ServerCommand, as_account

POLL_SECONDS = 0.05
KILL_SECONDS = 5.0
LOADING_SECONDS = 2.0


def start_detached(command: ServerCommand) -> int:
    """Start the server so that it outlives this process and its terminal; returns its pid."""
    with command.log.open("ab") as log:
        server = subprocess.Popen(
            command.argv,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            env=dict(command.env),
            start_new_session=True,
            **as_account(command.user),
        )
    server.returncode = 0  # it is meant to outlive us: no "still running" warning when this handle is dropped
    return server.pid


def is_running(pid: int, marker: str) -> bool:
    """Whether `pid` is the server with this marker: not ended, no zombie, no other process that got its number."""
    _reap(pid)
    try:
        process = psutil.Process(pid)
        return any(marker in word for word in _command_line(process))
    except (psutil.NoSuchProcess, psutil.ZombieProcess):
        return False


def stop_detached(pid: int, marker: str, *, with_signal: signal.Signals, patience_seconds: float) -> None:
    """Ask the server to end; after `patience_seconds` kill its process group. Returns when it is gone."""
    for sign, seconds in ((with_signal, patience_seconds), (signal.SIGKILL, KILL_SECONDS)):
        if not is_running(pid, marker):
            return
        with contextlib.suppress(ProcessLookupError):
            # an orderly end is the main process's own affair; only the kill is for all of its group
            os.killpg(pid, sign) if sign == signal.SIGKILL else os.kill(pid, sign)
        deadline = time.monotonic() + seconds
        while is_running(pid, marker) and time.monotonic() < deadline:
            time.sleep(POLL_SECONDS)


def write_state(path: Path, state: dict[str, Any]) -> None:
    """Replace a state file in one step, readable by its owner alone (it may hold a password)."""
    draft = path.with_suffix(".draft")
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as handle:
        json.dump(state, handle)
    draft.replace(path)


def read_state(path: Path) -> dict[str, Any] | None:
    """What `write_state` wrote last, or None: no file, or not ours."""
    try:
        state = json.loads(path.read_bytes())
    except (FileNotFoundError, ValueError):
        return None
    return state if isinstance(state, dict) else None


def _command_line(process: psutil.Process) -> list[str]:
    """Its arguments; none if it is a zombie. While a program is being loaded they are empty for a moment, on Linux also
    after subprocess has reported the start: asked at once, a server would seem to have ended."""
    deadline = time.monotonic() + LOADING_SECONDS
    while process.status() != psutil.STATUS_ZOMBIE:
        words: list[str] = process.cmdline()
        if words or time.monotonic() > deadline:
            return words
        time.sleep(POLL_SECONDS)
    return []


def _reap(pid: int) -> None:
    with contextlib.suppress(ChildProcessError):  # not our child: its own parent reaps it
        os.waitpid(pid, os.WNOHANG)
