"""Owned and detached processes, with `sleep` as the server: who ends whom, and what is left."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from infra import owned_folder as owned_folders
from infra.detached_process import is_running, read_state, start_detached, stop_detached, write_state
from infra.free_ports import free_ports, is_bind_failure, is_free
from infra.owned_folder import in_memory, owned_folder
from infra.owned_process import OwnedProcess
from infra.server_command import ServerCommand

PATIENCE_SECONDS = 10.0


def _sleeper(folder: Path, script: str = "exec sleep 600") -> ServerCommand:
    folder.mkdir(exist_ok=True)
    argv = ("/bin/sh", "-c", f": {folder}; {script}")
    return ServerCommand(name="Sleeper", argv=argv, log=folder / "log", marker="sleep", env=os.environ)


def _wait_until_gone(pid: int) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while is_running(pid, "sleep"):
        assert time.monotonic() < deadline, f"process {pid} still runs"
        time.sleep(0.02)


def test_owned_process_and_its_folder_end_with_the_block(tmp_path: Path) -> None:
    with OwnedProcess(_sleeper(tmp_path / "it"), remove=[tmp_path / "it"]) as process:
        assert process.pid is not None
        assert is_running(process.pid, "sleep")
    assert not is_running(process.pid, "sleep")
    assert not (tmp_path / "it").exists()


def test_owned_process_ends_when_its_owner_is_killed(tmp_path: Path) -> None:
    script = f"""
import os, time
from pathlib import Path
from infra.owned_process import OwnedProcess
from infra.server_command import ServerCommand
folder = Path({str(tmp_path / "it")!r})
folder.mkdir()
process = OwnedProcess(ServerCommand("Sleeper", ("sleep", "600"), folder / "log", "sleep", os.environ), remove=[folder])
print(process.pid, flush=True)
if os.fork() == 0:  # a forked child that lives on must not keep the server
    os.close(1)
    time.sleep(3)
    os._exit(0)
time.sleep(600)
"""
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True) as owner:
        assert owner.stdout is not None
        pid = int(owner.stdout.readline())
        assert is_running(pid, "sleep")
        owner.kill()
        owner.wait()
        _wait_until_gone(pid)
    deadline = time.monotonic() + PATIENCE_SECONDS
    while (tmp_path / "it").exists():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_owned_server_that_ends_by_itself_leaves_its_log(tmp_path: Path) -> None:
    with OwnedProcess(_sleeper(tmp_path / "it", "echo complaint; exit 3"), remove=[tmp_path / "it"]) as process:
        deadline = time.monotonic() + PATIENCE_SECONDS
        while not process.ended:
            assert time.monotonic() < deadline
            time.sleep(0.02)
        assert (tmp_path / "it" / "log").read_text() == "complaint\n"


def test_server_that_ignores_the_signal_is_killed(tmp_path: Path) -> None:
    command = _sleeper(tmp_path / "it", "trap '' TERM; while :; do sleep 0.1; done")
    pid = start_detached(command)
    time.sleep(0.2)  # the trap must be in place
    stop_detached(pid, "sleep", with_signal=signal.SIGTERM, patience_seconds=0.3)
    assert not is_running(pid, "sleep")


def test_detached_is_recognized_by_pid_and_marker(tmp_path: Path) -> None:
    pid = start_detached(_sleeper(tmp_path / "it"))
    try:
        assert is_running(pid, "sleep")
        assert not is_running(pid, "another server's folder")  # the number was given to another process
    finally:
        stop_detached(pid, "sleep", with_signal=signal.SIGTERM, patience_seconds=5)
    assert not is_running(pid, "sleep")


def test_state_is_replaced_whole_and_private(tmp_path: Path) -> None:
    path = tmp_path / "state.json"
    assert read_state(path) is None
    write_state(path, {"pid": 1})
    assert read_state(path) == {"pid": 1}
    assert path.stat().st_mode & 0o077 == 0
    path.write_text('{"pid": 1')
    assert read_state(path) is None


def test_folders_of_dead_owners_are_removed_and_those_of_the_living_stay(tmp_path: Path) -> None:
    abandoned = tmp_path / "kafka-abandoned"
    abandoned.mkdir()
    (abandoned / "owner.lock").touch()
    with owned_folder(tmp_path, "kafka") as first, owned_folder(tmp_path, "kafka") as second:
        assert not abandoned.exists()
        assert first.is_dir()
        assert second.is_dir()
    assert list(tmp_path.iterdir()) == []


def test_a_folder_in_memory_is_private_and_given_up_where_it_is_not_ours_or_full(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(owned_folders, "_SHARED_MEMORY", tmp_path)
    on_disk = tmp_path / "disk"
    folder = in_memory(otherwise=on_disk)
    assert folder.parent == tmp_path
    assert folder.stat().st_mode & 0o777 == 0o700

    folder.chmod(0o755)  # as another user could have prepared it
    assert in_memory(otherwise=on_disk) == on_disk
    folder.chmod(0o700)
    monkeypatch.setattr(owned_folders, "_ROOM_BYTES", 2**62)
    assert in_memory(otherwise=on_disk) == on_disk
    monkeypatch.setattr(owned_folders, "_SHARED_MEMORY", tmp_path / "absent")
    assert in_memory(otherwise=on_disk) == on_disk


def test_ports_are_different_and_free() -> None:
    ports = free_ports(3)
    assert len(set(ports)) == 3
    assert all(map(is_free, ports))


@pytest.mark.parametrize(
    ("log", "taken"),
    [
        ("java.net.BindException: Address already in use", True),
        ('LOG:  could not bind IPv4 address "127.0.0.1": Address already in use', True),
        ("java.lang.OutOfMemoryError: Java heap space", False),
    ],
)
def test_taken_port_is_told_from_other_ends(log: str, taken: bool) -> None:
    assert is_bind_failure(log) is taken
