"""The life cycles, with a recipe whose server is a line of Python: reuse, retries, stale state, concurrent starts."""

import os
import socket
import subprocess
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from infra import local_server
from infra.detached_process import read_state, write_state
from infra.free_ports import free_ports
from infra.local_server import DetachedServer, Recipe, owned_server
from infra.narration import Say
from infra.server_command import ServerCommand
from schemas.failures import Misconfigured

LISTEN = """
import socket, sys
server = socket.create_server(("127.0.0.1", int(sys.argv[1])))
while True:
    client = server.accept()[0]
    client.sendall(sys.argv[2].encode())
    client.close()
"""
COMPLAIN = "import sys; print('no such setting'); sys.exit(1)"


class Listener(Recipe):
    """Tells everyone who connects which folder is its own; `script` can make it fail instead."""

    name, slug, port_count = "Listener", "listener", 1

    def __init__(self, script: str = LISTEN) -> None:
        self.script = script

    def prepare(self, folder: Path, ports: Sequence[int], *, durable: bool, say: Say) -> ServerCommand:
        folder.mkdir(exist_ok=True)
        argv = (sys.executable, "-c", self.script, str(ports[0]), str(folder / "data"))
        return ServerCommand("Listener", argv, folder / "server.log", str(folder / "data"), os.environ)

    def address(self, folder: Path, ports: Sequence[int]) -> str:
        return f"127.0.0.1:{ports[0]}"

    def answers(self, folder: Path, address: str) -> bool:
        return _greeting(address) == str(folder / "data")


@pytest.fixture
def server(tmp_path: Path) -> Iterator[DetachedServer]:
    detached = DetachedServer(Listener(), tmp_path)
    yield detached
    detached.stop()


def test_owned_answers_and_leaves_nothing(tmp_path: Path) -> None:
    with owned_server(Listener(), tmp_path) as address:
        assert _greeting(address) is not None
    assert _greeting(address) is None
    assert list((tmp_path / "owned").iterdir()) == []


def test_owned_that_complains_passes_its_complaint_on_and_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(Misconfigured, match="no such setting"), owned_server(Listener(COMPLAIN), tmp_path):
        pass
    assert list((tmp_path / "owned").iterdir()) == []


@pytest.mark.parametrize("attempt", ["owned", "detached"])
def test_port_taken_meanwhile_is_tried_again_on_another(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, attempt: str
) -> None:
    with owned_server(Listener(), tmp_path / "other") as other:  # the same kind of server, which would answer as well
        taken, free = [int(other.split(":")[1])], free_ports(1)
        choices = iter([taken, free])
        monkeypatch.setattr(local_server, "free_ports", lambda _count: next(choices))
        if attempt == "owned":
            with owned_server(Listener(), tmp_path) as address:
                assert address == f"127.0.0.1:{free[0]}"
        else:
            detached = DetachedServer(Listener(), tmp_path)
            try:
                assert detached.start().address == f"127.0.0.1:{free[0]}"
            finally:
                detached.stop()


def _greeting(address: str) -> str | None:
    try:
        with socket.create_connection(("127.0.0.1", int(address.split(":")[1])), 1) as connection:
            return connection.recv(1000).decode()
    except OSError:
        return None


def test_detached_runs_until_stopped_and_keeps_its_port(server: DetachedServer) -> None:
    assert server.status().state == "stopped"
    first = server.start()
    assert (first.state, server.status()) == ("running", first)
    assert server.stop() is True
    assert server.status().state == "stopped"
    assert server.stop() is False
    assert server.start().address == first.address


def test_concurrent_starts_start_one(tmp_path: Path, server: DetachedServer) -> None:
    with ThreadPoolExecutor(4) as pool:
        started = list(pool.map(lambda _: DetachedServer(Listener(), tmp_path).start(), range(4)))
    assert len({status.pid for status in started}) == 1


def test_pid_of_another_process_counts_as_stopped_and_is_left_alone(tmp_path: Path, server: DetachedServer) -> None:
    server.start()
    state_file = tmp_path / "listener" / "state.json"
    state = read_state(state_file)
    assert state is not None
    with subprocess.Popen(["sleep", "60"]) as bystander:
        server.stop()
        write_state(state_file, state | {"pid": bystander.pid})
        assert server.status().state == "stopped"
        assert server.stop() is False
        assert bystander.poll() is None
        bystander.kill()


def test_detached_that_complains_leaves_no_process_and_can_start_later(tmp_path: Path) -> None:
    with pytest.raises(Misconfigured, match="no such setting"):
        DetachedServer(Listener(COMPLAIN), tmp_path).start()
    server = DetachedServer(Listener(), tmp_path)
    assert server.status().state == "stopped"
    try:
        assert server.start().state == "running"
    finally:
        server.stop()
