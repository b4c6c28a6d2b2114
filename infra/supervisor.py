"""A small process between a server and the process that owns it: when the owner ends, however it ends, the pipe on
stdin closes; the supervisor then ends the server's process group and removes its data. Standard library only, run as a
script, in a session of its own, so that Ctrl-C in the owner's terminal reaches neither it nor the server.

One argument, JSON: {argv, log, env, user, discard_signal, remove}. Writes the server's pid as one line, then, if the
server ends first, exits with its code and removes nothing: its log is wanted.
"""

import contextlib
import json
import os
import select
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from types import FrameType
from typing import Any

POLL_SECONDS = 0.25
GRACE_SECONDS = 10.0


def main() -> int:
    task: dict[str, Any] = json.loads(sys.argv[1])
    signal.signal(signal.SIGTERM, _leave)
    signal.signal(signal.SIGHUP, _leave)
    server = _start(task)
    try:
        print(server.pid, flush=True)
        while server.poll() is None:
            if select.select([sys.stdin], [], [], POLL_SECONDS)[0] and not os.read(sys.stdin.fileno(), 1):
                break
        else:
            return server.returncode
    finally:
        if server.returncode is None:
            _end(server, task["discard_signal"])
            for folder in task["remove"]:
                shutil.rmtree(folder, ignore_errors=True)
    return 0


def _start(task: dict[str, Any]) -> "subprocess.Popen[bytes]":
    as_user: dict[str, Any] = (
        {} if task["user"] is None else {"user": task["user"], "group": task["user"], "extra_groups": []}
    )
    with Path(task["log"]).open("ab") as log:
        return subprocess.Popen(
            task["argv"],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            env=task["env"],
            start_new_session=True,
            **as_user,
        )


def _leave(_signal: int, _frame: FrameType | None) -> None:
    raise SystemExit(0)


def _end(server: "subprocess.Popen[bytes]", with_signal: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(server.pid, with_signal)
    try:
        server.wait(GRACE_SECONDS)
    except subprocess.TimeoutExpired:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(server.pid, signal.SIGKILL)
        server.wait()


if __name__ == "__main__":
    sys.exit(main())
