"""The sandbox over real connections: several processes on one port, commands that reach all, and its end."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import httpx
import psutil
import pytest

from infra.free_ports import free_ports
from sandbox.admin import CREDENTIALS
from sandbox.server import running_sandbox
from sandbox.settings import SandboxSettings
from schemas.failures import Misconfigured

LET_IN = {"Authorization": f"Bearer {CREDENTIALS['token']}"}
PRODUCTS = "/stripe/v1/products"


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with running_sandbox(SandboxSettings(port=0, processes=2, records=20, vendors=3, limits=False)) as url:
        yield url


def ask_many(url: str, path: str, count: int = 40) -> list[httpx.Response]:
    """Answers to requests of connections of their own, which go to either process."""
    with ThreadPoolExecutor(8) as pool:
        return list(pool.map(lambda _: httpx.get(url + path, headers=LET_IN, timeout=30), range(count)))


def test_every_process_gives_the_same_records_and_heeds_commands(url: str) -> None:
    assert len({answer.content for answer in ask_many(url, PRODUCTS)}) == 1
    change = {"vendor": "stripe", "entity": "product", "kind": "rename", "field": "name", "to": "title"}
    httpx.post(f"{url}/_sandbox/drift", json=change, timeout=30).raise_for_status()
    for answer in ask_many(url, PRODUCTS):
        assert all("title" in record and "name" not in record for record in answer.json()["data"])
    httpx.delete(f"{url}/_sandbox/commands", timeout=30).raise_for_status()
    assert all("name" in answer.json()["data"][0] for answer in ask_many(url, PRODUCTS))


def test_an_answer_can_be_slow_or_end_before_its_end(url: str) -> None:
    for fault in ({"kind": "truncated"}, {"kind": "slow", "seconds": 0.5}):
        body = {"vendor": "stripe", "entity": "product"} | fault
        httpx.post(f"{url}/_sandbox/faults", json=body, timeout=30).raise_for_status()
        began = time.monotonic()
        if fault["kind"] == "truncated":
            with pytest.raises(httpx.RemoteProtocolError):
                httpx.get(url + PRODUCTS, headers=LET_IN, timeout=30)
        else:
            assert httpx.get(url + PRODUCTS, headers=LET_IN, timeout=30).status_code == 200
            assert time.monotonic() - began >= 0.5
        httpx.delete(f"{url}/_sandbox/commands", timeout=30).raise_for_status()


def test_a_port_that_is_taken_is_told(url: str) -> None:
    port = int(url.rpartition(":")[2])
    with (
        pytest.raises(Misconfigured, match=f"can't listen on 127.0.0.1:{port}"),
        running_sandbox(SandboxSettings(port=port)),
    ):
        pass


@pytest.mark.parametrize("sign", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_no_process_outlives_the_command(sign: signal.Signals) -> None:
    (port,) = free_ports(1)
    command = [sys.executable, "-m", "cli", "sandbox", "--port", str(port), "--processes", "2"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, start_new_session=True)
    assert process.stdout is not None
    assert process.stdout.readline().decode().strip() == f"http://127.0.0.1:{port}"
    children = psutil.Process(process.pid).children(recursive=True)
    assert len(children) >= 2
    os.kill(process.pid, sign)
    process.wait(20)
    process.stdout.close()
    _gone, alive = psutil.wait_procs(children, timeout=20)
    assert not alive
    with pytest.raises(httpx.ConnectError):
        httpx.get(f"http://127.0.0.1:{port}/_sandbox", timeout=5)
