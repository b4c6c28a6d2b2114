"""The two life cycles of a local server. *Owned*: it ends, with its data, when the process that started it ends.
*Detached*: it runs until stopped and keeps its data. What a Kafka or a Postgres is stands in a `Recipe`."""

import datetime
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal

from infra.detached_process import is_running, read_state, start_detached, stop_detached, write_state
from infra.file_lock import file_lock
from infra.free_ports import START_ATTEMPTS, free_ports, is_bind_failure, is_free
from infra.narration import Say, to_stderr
from infra.owned_folder import in_memory, owned_folder
from infra.owned_process import OwnedProcess
from infra.server_command import ServerCommand, log_tail
from schemas.failures import Misconfigured, TransientError

READY_SECONDS = 120.0  # a loaded machine of two cores has taken 15 s; past this it is not load
STOP_SECONDS = 30.0
POLL_SECONDS = 0.05
RELEASE_SECONDS = 2.0  # a process that was killed is gone for others a moment before its ports are free


class Recipe(ABC):
    """What one kind of server needs: its name, how many ports, how to prepare, address and probe it."""

    name: ClassVar[str]  # for people: "Kafka"
    slug: ClassVar[str]  # folder under the root
    port_count: ClassVar[int]

    @abstractmethod
    def prepare(self, folder: Path, ports: Sequence[int], *, durable: bool, say: Say) -> ServerCommand:
        """Make `folder` ready to run on `ports` (formats it if it is new) and return what starts the server."""

    @abstractmethod
    def address(self, folder: Path, ports: Sequence[int]) -> str:
        """What a client connects to."""

    @abstractmethod
    def answers(self, folder: Path, address: str) -> bool:
        """Whether the server of `folder`, and no other that took its port, answers a real request now; takes at most a
        few seconds."""


@dataclass(frozen=True)
class ServerStatus:
    """What is known of a detached server. `address` and `pid` are None unless it runs; times are UTC, ISO 8601."""

    state: Literal["running", "starting", "stopped"]
    address: str | None
    pid: int | None
    started_at: str | None
    log: Path
    data: Path


@contextmanager
def owned_server(recipe: Recipe, root: Path, *, say: Say = to_stderr, volatile: bool = False) -> Iterator[str]:
    """Run a server for as long as the block, or this process, lasts; yields its address. `volatile`: its data lies in
    memory, where there is room.

    Raises:
        Misconfigured: it ended while starting (its log is in the message). TransientError: it never answered.
    """
    on_disk = root / "owned"
    with owned_folder(in_memory(otherwise=on_disk) if volatile else on_disk, recipe.slug) as folder:
        for attempt in range(1, START_ATTEMPTS + 1):
            ports = free_ports(recipe.port_count)
            command = recipe.prepare(folder, ports, durable=False, say=say)
            with OwnedProcess(command, remove=[folder]) as process:
                address = recipe.address(folder, ports)
                if _wait_until_ready(recipe, folder, address, lambda: not process.ended):
                    yield address
                    return
                if not process.ended or not is_bind_failure(log_tail(command.log)) or attempt == START_ATTEMPTS:
                    raise _failed_start(recipe.name, command.log, ended=process.ended)


class DetachedServer:
    """The detached server of one kind under one root (a checkout's `.aam`). Safe to use from several processes."""

    def __init__(self, recipe: Recipe, root: Path) -> None:
        self._recipe = recipe
        self._folder = root / recipe.slug
        self._state_file = self._folder / "state.json"
        self._lock_file = self._folder / "start.lock"

    def start(self, *, say: Say = to_stderr) -> ServerStatus:
        """Start the server, or find it running; returns once it answers.

        Raises:
            Misconfigured: it ended while starting (its log is in the message). TransientError: it never answered.
        """
        with file_lock(self._lock_file):
            status = self.status()
            if status.pid is not None:
                return self._await(status.pid)  # if its starter was killed, it may not answer yet
            for attempt in range(1, START_ATTEMPTS + 1):
                ports = self._choose_ports()
                command = self._recipe.prepare(self._folder, ports, durable=True, say=say)
                try:
                    return self._start(command, ports)
                except Misconfigured:
                    if attempt == START_ATTEMPTS or not is_bind_failure(log_tail(command.log)):
                        raise
            raise AssertionError("unreachable")

    def stop(self) -> bool:
        """Stop the server in an orderly way, keeping its data. False if it wasn't running."""
        with file_lock(self._lock_file):
            status = self.status()
            if status.pid is None:
                return False
            state = self._state()
            stop_detached(status.pid, state["marker"], with_signal=state["stop_signal"], patience_seconds=STOP_SECONDS)
            write_state(self._state_file, {"ports": state["ports"]})  # kept: clients' settings stay valid
            return True

    def status(self) -> ServerStatus:
        """What runs now. A pid that another process has got meanwhile counts as stopped."""
        state, log, data = self._state(), self._folder / "server.log", self._folder / "data"
        if "pid" not in state or not is_running(state["pid"], state["marker"]):
            return ServerStatus("stopped", None, None, None, log, data)
        word: Literal["running", "starting"] = "running" if state["ready"] else "starting"
        address = self._recipe.address(self._folder, state["ports"])
        return ServerStatus(word, address, state["pid"], state["started_at"], log, data)

    def _start(self, command: ServerCommand, ports: list[int]) -> ServerStatus:
        if command.log.exists():
            command.log.replace(command.log.with_suffix(".log.1"))  # a log is of one run of the server
        pid = start_detached(command)
        try:
            write_state(
                self._state_file,
                {
                    "pid": pid,
                    "marker": command.marker,
                    "ports": ports,
                    "stop_signal": int(command.stop_signal),
                    "started_at": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
                    "ready": False,
                },
            )
            return self._await(pid)
        except BaseException:  # also Ctrl-C: a start that didn't succeed leaves no process
            stop_detached(pid, command.marker, with_signal=command.stop_signal, patience_seconds=STOP_SECONDS)
            raise

    def _await(self, pid: int) -> ServerStatus:
        state = self._state()
        address = self._recipe.address(self._folder, state["ports"])
        if not _wait_until_ready(self._recipe, self._folder, address, lambda: is_running(pid, state["marker"])):
            ended = not is_running(pid, state["marker"])
            raise _failed_start(self._recipe.name, self._folder / "server.log", ended=ended)
        write_state(self._state_file, state | {"ready": True})
        return self.status()

    def _choose_ports(self) -> list[int]:
        """The ports of the last run if they are still free, else new ones."""
        before: list[int] = self._state().get("ports", [])
        if len(before) == self._recipe.port_count:
            deadline = time.monotonic() + RELEASE_SECONDS
            while True:
                if all(map(is_free, before)):
                    return before
                if time.monotonic() > deadline:
                    break
                time.sleep(POLL_SECONDS)
        return free_ports(self._recipe.port_count)

    def _state(self) -> dict[str, Any]:
        return read_state(self._state_file) or {}


def _wait_until_ready(recipe: Recipe, folder: Path, address: str, alive: Callable[[], bool]) -> bool:
    deadline = time.monotonic() + READY_SECONDS
    while alive() and time.monotonic() < deadline:
        if recipe.answers(folder, address):
            return True
        time.sleep(POLL_SECONDS)
    return False


def _failed_start(name: str, log: Path, *, ended: bool) -> Misconfigured | TransientError:
    if ended:
        return Misconfigured(f"{name} ended while starting. Its log ({log}) ends with:\n{log_tail(log)}")
    return TransientError(f"{name} did not answer within {READY_SECONDS:.0f} s. Its log ({log}) ends:\n{log_tail(log)}")
