"""The systems that are compared: what each is called, promises, needs to be installed, and how its process is started.

Each has an environment of its own under `.aam/bench`, made here from pinned requirements; ours and the bare loop run in
the environment of the benchmark.
"""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Final

from benchmarks.canonicalize_stage import Stage
from infra.free_ports import free_ports
from infra.kafka import maven
from infra.kafka.jars import read_lock, verify_jars
from infra.kafka.java import find_java
from infra.narration import to_stderr
from infra.owned_process import OwnedProcess
from infra.server_command import ServerCommand
from infra.settings import LocalSettings
from schemas.failures import Misconfigured

ROOT: Final = Path(__file__).parent.parent
PEERS: Final = Path(__file__).parent / "canonicalize_peers"
JARS: Final = PEERS / "jars.lock.json"
JAVA_CLASS: Final = "CanonicalizeStreams"
JAVA_HEAP: Final = "-Xmx1g"
COMPILER: Final = "ecj"
SESSION_SECONDS: Final = "6"  # the broker's least: a run must not wait long for the group of the one before

Command = Callable[[Path], list[str]]  # job file -> arguments


@dataclass(frozen=True)
class System:
    """One competitor. `records` is the most that it is given: the slow ones needn't work through all."""

    name: str
    format: str
    guarantee: str
    command: Command | None = None  # None: ours, which needs no job file
    records: int | None = None
    commit_seconds: float | None = None
    workers: int = 1

    @property
    def label(self) -> str:
        return f"{self.name} ({self.format}, {self.guarantee})"

    def group(self, stage: Stage, run: str) -> str:
        """Its consumer group in a run; ours is always the same."""
        names = stage.kafka.names
        own = f"{self.name}-{self.format}-{self.guarantee}-{run}"
        return names.group("canonicalize" if self.command is None else own)

    @contextmanager
    def running(self, stage: Stage, run: str) -> Iterator[list[OwnedProcess]]:
        """Its processes, until the block ends."""
        log = stage.folder / f"{stage.shape.name}-{self.name}-{self.format}-{self.guarantee}-{run}.log"
        processes: list[OwnedProcess] = []
        try:
            for slot in range(self.workers):
                argv, env = self._ours(slot, stage) if self.command is None else self._peer(stage, run)
                command = ServerCommand(
                    name=self.name,
                    argv=tuple(argv),
                    log=log,
                    marker=run,
                    env=env,
                    discard_signal=signal.SIGTERM,
                )
                processes.append(OwnedProcess(command, remove=[]))
            yield processes
        finally:
            for process in processes:
                process.end()

    def _ours(self, slot: int, stage: Stage) -> tuple[list[str], dict[str, str]]:
        (port,) = free_ports(1)
        env = {
            "AAM_WORKER_PORT": str(port),
            "AAM_WORKER_SLOT": str(slot),
            "AAM_EVENT_FORMAT": self.format,
            "AAM_SESSION_TIMEOUT_SECONDS": SESSION_SECONDS,
        }
        return [sys.executable, "-m", "cli", "worker", "--agents", "canonicalize"], stage.environment | env

    def _peer(self, stage: Stage, run: str) -> tuple[list[str], dict[str, str]]:
        assert self.command is not None, "ours is started otherwise"
        job = stage.job(
            self.group(stage, run),
            event_format=self.format,
            guarantee=self.guarantee,
            commit_seconds=self.commit_seconds,
        )
        path = stage.folder / f"job-{stage.runs}.json"
        path.write_text(json.dumps(job), encoding="utf-8")
        return self.command(path), dict(os.environ) | {"PYTHONPATH": str(ROOT)}


def systems(*, small: bool) -> list[System]:
    """All competitors, in the order of a round: ours never twice in a row, since its group must be empty first."""
    quix_commit = 1.0 if small else None
    return [
        System("ours", "avro", "exactly-once"),
        System("bare", "avro", "exactly-once", _python(None, "bare_loop")),
        System("kafka-streams", "json", "exactly-once", _kafka_streams),
        System("ours", "json", "exactly-once"),
        System("bare", "json", "exactly-once", _python(None, "bare_loop")),
        System("quix", "json", "exactly-once", _python("quix", "quix_streams"), commit_seconds=quix_commit),
        System("quix", "json", "at-least-once", _python("quix", "quix_streams"), commit_seconds=quix_commit),
        System(
            "faststream",
            "json",
            "at-least-once",
            _python("faststream", "fast_stream"),
            records=40_000 if small else 150_000,
        ),
        System("faust", "json", "at-least-once", _python("faust", "stock_faust"), records=15_000 if small else 60_000),
    ]


def latency_systems() -> list[System]:
    """The three whose latency is compared; peers commit every 100 ms, Kafka Streams' default under EOS."""
    by_name = {s.name: s for s in systems(small=False) if s.guarantee == "exactly-once" and s.name != "bare"}
    ours = System("ours", "avro", "exactly-once")
    return [ours, *(replace(by_name[name], commit_seconds=0.1) for name in ("kafka-streams", "quix"))]


def versions() -> dict[str, str]:
    """What each peer is, as pinned."""
    lines = [line for path in PEERS.glob("requirements-*.txt") for line in path.read_text("utf-8").splitlines()]
    pinned = dict(line.split("==") for line in lines if ";" not in line)
    named = {name: pinned[name] for name in ("quixstreams", "faststream", "faust-streaming", "aiokafka")}
    jars = dict(jar.coordinate.rsplit(":", 1) for jar in read_lock(JARS))
    return named | {"kafka-streams": jars["org.apache.kafka:kafka-streams"], "java": str(find_java().major)}


def prepare() -> None:
    """Install and compile what the competitors need, so that no run waits for it."""
    for name in ("quix", "faststream", "faust"):
        _venv(name)
    _java()


def _python(environment: str | None, module: str) -> Command:
    def command(job: Path) -> list[str]:
        python = sys.executable if environment is None else str(_venv(environment))
        return [python, "-m", f"benchmarks.canonicalize_peers.{module}", str(job)]

    return command


def _kafka_streams(job: Path) -> list[str]:
    java, class_path = _java()
    return [*java, JAVA_HEAP, "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn", "-cp", class_path, JAVA_CLASS, str(job)]


@cache
def _venv(name: str) -> Path:
    """The Python of an environment with the pinned requirements of a peer; made anew when they change."""
    wanted = (PEERS / f"requirements-{name}.txt").read_text(encoding="utf-8")
    folder = _folder() / f"venv-{name}"
    python, stamp = folder / "bin" / "python", folder / "installed.txt"
    if stamp.is_file() and stamp.read_text(encoding="utf-8") == wanted:
        return python
    to_stderr(f"installing {name} into {folder.relative_to(LocalSettings().root.parent)}")
    _run(sys.executable, "-m", "venv", "--clear", str(folder))
    _run(str(python), "-m", "pip", "install", "-q", "--no-deps", "-r", str(PEERS / f"requirements-{name}.txt"))
    stamp.write_text(wanted, encoding="utf-8")
    return python


@cache
def _java() -> tuple[list[str], str]:
    """(java and its options, class path with the compiled program)."""
    folder, java = _folder() / "streams", find_java()
    jars = read_lock(JARS)
    (folder / "jars").mkdir(parents=True, exist_ok=True)
    missing = [jar for jar in jars if not (folder / "jars" / jar.file_name).is_file()]
    if missing:
        to_stderr(f"fetching {sum(jar.size for jar in missing) / 1e6:.0f} MB of jars for Kafka Streams")
        found = maven.download([jar.coordinate for jar in missing], folder / "maven")
        for jar, path in zip(missing, found, strict=True):
            path.replace(folder / "jars" / jar.file_name)
    paths = {path.name: str(path) for path in verify_jars(folder / "jars", jars)}
    compiler = next(path for name, path in paths.items() if name.startswith(COMPILER))
    class_path = os.pathsep.join(path for path in paths.values() if path != compiler)
    classes, source = folder / "classes", str(PEERS / f"{JAVA_CLASS}.java")
    _run(java.executable, "-jar", compiler, "-17", "-nowarn", "-cp", class_path, "-d", str(classes), source)
    return [java.executable, *java.options()], os.pathsep.join([class_path, str(classes)])


def _folder() -> Path:
    folder = LocalSettings().root / "bench"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _run(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise Misconfigured(f"{' '.join(command[:4])} … failed:\n{(done.stdout + done.stderr)[-2000:]}")
