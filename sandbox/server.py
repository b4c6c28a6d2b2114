"""Runs the sandbox: one listening socket, and as many processes as asked that take requests from it.

They end with the process that started them, also after its kill -9.
"""

import asyncio
import multiprocessing
import os
import socket
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing.connection import wait
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Final

import uvicorn

from sandbox.settings import SandboxSettings
from schemas.failures import Misconfigured

_READY_SECONDS: Final = 60.0
_BACKLOG: Final = 2048


@contextmanager
def running_sandbox(settings: SandboxSettings) -> Iterator[str]:
    """The URL of a sandbox that runs while the block does. Raises Misconfigured if the port is taken."""
    with _socket(settings) as listening, tempfile.TemporaryDirectory(prefix="aam-sandbox-") as folder:
        control = settings.control or Path(folder) / "commands.json"
        settings = settings.model_copy(update={"control": control})
        processes = [_start(settings, listening) for _ in range(settings.processes)]
        try:
            yield f"http://{settings.host}:{listening.getsockname()[1]}"
        finally:
            for process in processes:
                process.terminate()
            for process in processes:
                process.join()


def serve(settings: SandboxSettings, listening: socket.socket) -> None:
    """Serves in this process until SIGTERM or SIGINT."""
    from sandbox.app import SandboxApp  # noqa: PLC0415  # Faker and the vendors load in the processes that serve

    config = uvicorn.Config(
        SandboxApp(settings), log_level="critical", access_log=False, server_header=False, timeout_graceful_shutdown=1
    )
    server = uvicorn.Server(config)
    asyncio.run(server.serve(sockets=[listening]))


def _start(settings: SandboxSettings, listening: socket.socket) -> BaseProcess:
    context = multiprocessing.get_context("spawn")
    reader, writer = context.Pipe(duplex=False)
    process = context.Process(target=_child, args=(settings, listening, writer), daemon=True)
    process.start()
    writer.close()
    if not reader.poll(_READY_SECONDS):
        process.kill()
        raise Misconfigured("a process of the sandbox doesn't start")
    try:
        reader.recv()
    except EOFError:
        raise Misconfigured("a process of the sandbox ended at once") from None
    return process


def _child(settings: SandboxSettings, listening: socket.socket, ready: object) -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None
    threading.Thread(target=lambda: (wait([parent.sentinel]), os._exit(0)), daemon=True).start()
    ready.send(True)  # type: ignore[attr-defined]  # a Connection, whose type differs by platform
    serve(settings, listening)


def _socket(settings: SandboxSettings) -> socket.socket:
    # asyncio switches Nagle's algorithm off only where the socket names its protocol: else small answers wait 40 ms
    listening = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind((settings.host, settings.port))
        listening.listen(_BACKLOG)
    except OSError as error:
        listening.close()
        raise Misconfigured(f"can't listen on {settings.host}:{settings.port}: {error.strerror}") from error
    return listening
