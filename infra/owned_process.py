"""A server that ends with the process that started it, even after that one's kill -9. `supervisor` does the ending;
this side only holds the pipe whose closing is the sign."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Self

from infra import supervisor
from infra.server_command import ServerCommand, log_tail
from schemas.failures import Misconfigured

END_SECONDS = supervisor.GRACE_SECONDS + 20  # the supervisor's grace, and the removal of the data

_held: set[int] = set()  # pipe ends of this process; a forked child must not keep a server alive after its owner


def _forget_in_child() -> None:
    for descriptor in _held:
        os.close(descriptor)
    _held.clear()


os.register_at_fork(after_in_child=_forget_in_child)


class OwnedProcess:
    """A running server whose life hangs on this process.

    Args:
        command: what to start.
        remove: folders that end with the server.
    """

    def __init__(self, command: ServerCommand, *, remove: list[Path]) -> None:
        self.command = command
        task = {
            "argv": command.argv,
            "log": str(command.log),
            "env": dict(command.env),
            "user": command.user,
            "discard_signal": int(command.discard_signal),
            "remove": [str(folder) for folder in remove],
        }
        read_end, self._write_end = os.pipe()
        _held.add(self._write_end)
        # stdin and stdout are pipes, stderr too: a supervisor has no terminal to write to once its owner is gone
        self._supervisor = subprocess.Popen(
            [sys.executable, "-I", "-S", str(Path(supervisor.__file__)), json.dumps(task)],
            stdin=read_end,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        os.close(read_end)
        assert self._supervisor.stdout is not None
        first_line = self._supervisor.stdout.readline()
        self._supervisor.stdout.close()
        self.pid = int(first_line) if first_line else None

    @property
    def ended(self) -> bool:
        """Whether the server is gone, by itself or because it never started."""
        return self._supervisor.poll() is not None

    def wait(self, timeout_seconds: float) -> int:
        """Exit code of the server once it ends by itself; subprocess.TimeoutExpired if it takes longer."""
        return self._supervisor.wait(timeout_seconds)

    def end(self) -> None:
        """End the server and remove its folders; returns when both are done. Safe to call twice."""
        if self._write_end in _held:
            _held.discard(self._write_end)
            os.close(self._write_end)
        self._supervisor.wait(END_SECONDS)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.end()


def run_owned(command: ServerCommand, *, remove: list[Path], timeout_seconds: float) -> None:
    """Run a command that prepares a server to its end; it ends early, and `remove` goes, if this process ends.

    Raises:
        Misconfigured: it failed or took too long; what it wrote is in the message.
    """
    with OwnedProcess(command, remove=remove) as process:
        try:
            code = process.wait(timeout_seconds)
        except subprocess.TimeoutExpired:
            raise Misconfigured(f"{command.name} took longer than {timeout_seconds:.0f} s.") from None
    if code != 0:
        raise Misconfigured(f"{command.name} failed:\n{log_tail(command.log)}")
