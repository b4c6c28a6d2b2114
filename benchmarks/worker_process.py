"""An `aam worker` in a process of its own, as a user starts it, that can be asked, stopped, frozen and killed."""

import os
import signal
import sys
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Final

import httpx
import psutil

from infra.free_ports import free_ports
from infra.owned_process import OwnedProcess
from infra.server_command import ServerCommand, log_tail
from schemas.failures import TransientError

READY_SECONDS: Final = 90.0
STOP_SECONDS: Final = 30.0


class WorkerProcess:
    """Runs from the start on; ends with this process at the latest.

    Args:
        environment: what the worker's settings are read from.
        slot: its place, which a restarted worker takes again.
        agents: names by comma; None for what `aam worker` runs by itself.
    """

    def __init__(self, environment: Mapping[str, str], log: Path, *, slot: int = 0, agents: str | None = None) -> None:
        (port,) = free_ports(1)
        self.slot = slot
        self.url = f"http://127.0.0.1:{port}"
        chosen = [] if agents is None else ["--agents", agents]
        command = ServerCommand(
            name="aam worker",
            argv=(sys.executable, "-m", "cli", "worker", *chosen),
            log=log,
            marker="worker",
            env=dict(environment) | {"AAM_WORKER_PORT": str(port), "AAM_WORKER_SLOT": str(slot)},
            discard_signal=signal.SIGTERM,
        )
        self.owned = OwnedProcess(command, remove=[])

    @property
    def ended(self) -> bool:
        return self.owned.ended

    def ready(self) -> bool:
        try:
            return httpx.get(f"{self.url}/health/ready", timeout=2).status_code == httpx.codes.OK
        except httpx.TransportError:
            return False

    def metric(self, name: str) -> float:
        """The sum of a metric over its labels; 0 if the worker doesn't answer."""
        try:
            text = httpx.get(f"{self.url}/metrics", timeout=5).text
        except httpx.TransportError:
            return 0.0
        lines = [line for line in text.splitlines() if line.startswith((name + " ", name + "{"))]
        return sum(float(line.rsplit(" ", 1)[1]) for line in lines)

    def rss_bytes(self) -> int:
        """Resident memory; 0 if it is gone."""
        with suppress(psutil.NoSuchProcess):
            return int(psutil.Process(self.owned.pid).memory_info().rss)
        return 0

    def wait_until_ready(self, seconds: float = READY_SECONDS) -> None:
        """TransientError, with the end of its log, if it ends or takes longer."""
        end = time.monotonic() + seconds
        while not self.ready():
            if self.ended or time.monotonic() > end:
                raise TransientError(f"the worker did not get ready:\n{log_tail(self.owned.command.log)}")
            time.sleep(0.05)

    def signal(self, number: signal.Signals) -> None:
        """Send a signal; nothing if it is gone."""
        if self.owned.pid is not None and not self.ended:
            with suppress(ProcessLookupError):
                os.kill(self.owned.pid, number)

    def kill(self) -> None:
        """kill -9; returns when it is gone."""
        self.signal(signal.SIGKILL)
        self.owned.end()

    def stop(self) -> None:
        """SIGTERM; returns when it is gone."""
        self.owned.end()
