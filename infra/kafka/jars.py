"""Kafka's jars: downloads exactly what `jars.lock.json` names, and hands out nothing whose SHA-256 differs.

The lock decides, not a resolver: neither Maven settings of the machine nor a repository can change what is run.
`python -m infra.kafka.jars` resolves anew and rewrites the lock.
"""

import hashlib
import json
import shutil
import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import platformdirs

from infra.file_lock import file_lock
from infra.narration import Say, to_stderr
from schemas.failures import Bug, Misconfigured

KAFKA_VERSION = "4.3.1"
# slf4j 1.7 is the line that Kafka's slf4j-api is of. Don't add log4j here: its managed versions then apply to all, and
# kafka-clients 3.9.1 comes out under a 4.3.1 broker (seen with jgo 3.2.0; `lock_jars` refuses that).
WANTED = (
    f"org.apache.kafka:kafka_2.13:{KAFKA_VERSION}",
    f"org.apache.kafka:kafka-tools:{KAFKA_VERSION}",
    "org.slf4j:slf4j-simple:1.7.36",
)
LOCK_FILE = Path(__file__).with_name("jars.lock.json")


@dataclass(frozen=True)
class LockedJar:
    """One jar of the lock: `group:artifact:version`, its SHA-256 (hex) and its size in bytes."""

    coordinate: str
    sha256: str
    size: int

    @property
    def file_name(self) -> str:
        """`artifact-version.jar`, as in Maven Central."""
        _, artifact, version = self.coordinate.split(":")
        return f"{artifact}-{version}.jar"


def read_lock(path: Path = LOCK_FILE) -> tuple[LockedJar, ...]:
    """The jars of a lock file, in its order."""
    return tuple(LockedJar(**jar) for jar in json.loads(path.read_text())["jars"])


def verify_jars(folder: Path, jars: Iterable[LockedJar]) -> list[Path]:
    """Paths of all `jars` in `folder`, each with the locked SHA-256. 56 MB take about 0.1 s, so every start does it.

    Raises:
        Misconfigured: a jar is missing or differs; the message names it.
    """
    paths = []
    for jar in jars:
        path = folder / jar.file_name
        if not path.is_file():
            raise Misconfigured(f"{path} is missing. Remove {folder} to have it downloaded again.")
        if _sha256(path) != jar.sha256:
            raise Misconfigured(
                f"{path} is not the jar that the lock names ({jar.coordinate}): its SHA-256 differs. It will not be "
                f"run. Remove {folder} to have it downloaded again."
            )
        paths.append(path)
    return paths


def fetch_jars(say: Say = to_stderr) -> list[Path]:
    """All of Kafka's jars, verified; downloaded once a user and lock, then offline.

    They live in the user's cache folder under the lock's own hash: checkouts share them, other versions don't meet.

    Raises:
        TransientError: Maven Central did not answer. Misconfigured: a jar differs from the lock, or the
            cache can't be written.
    """
    jars = read_lock()
    folder = platformdirs.user_cache_path("aam") / "kafka-jars" / _sha256(LOCK_FILE)[:16]
    if not folder.is_dir():
        try:
            with file_lock(folder.with_suffix(".lock")):
                if not folder.is_dir():
                    _install(jars, folder, say)
        except PermissionError as problem:
            raise Misconfigured(f"{problem}. Set XDG_CACHE_HOME to a folder that can be written.") from problem
    return verify_jars(folder, jars)


def lock_jars() -> tuple[LockedJar, ...]:
    """Resolve `WANTED` against Maven Central, hash every jar, and write the lock."""
    from infra.kafka import maven  # noqa: PLC0415 - half a second to import, needed once a machine

    with tempfile.TemporaryDirectory() as scratch:
        coordinates = maven.resolve(WANTED, Path(scratch))
        if f"org.apache.kafka:kafka-clients:{KAFKA_VERSION}" not in coordinates:
            raise Bug(f"The resolver chose another kafka-clients than {KAFKA_VERSION}; the lock was not written.")
        paths = maven.download(coordinates, Path(scratch))
        jars = tuple(
            LockedJar(coordinate, _sha256(path), path.stat().st_size)
            for coordinate, path in zip(coordinates, paths, strict=True)
        )
    LOCK_FILE.write_text(json.dumps({"kafka": KAFKA_VERSION, "jars": [asdict(jar) for jar in jars]}, indent=1) + "\n")
    return jars


def _install(jars: Sequence[LockedJar], folder: Path, say: Say) -> None:
    """Download into a staging folder beside `folder`, verify, and rename: `folder` is complete or absent."""
    from infra.kafka import maven  # noqa: PLC0415 - half a second to import, needed once a machine

    megabytes = sum(jar.size for jar in jars) / 1e6
    say(f"fetching Apache Kafka {KAFKA_VERSION} ({megabytes:.0f} MB, once) …")
    staging = folder.with_suffix(".staging")
    shutil.rmtree(staging, ignore_errors=True)  # of a download that was killed; we hold the lock
    (staging / "jars").mkdir(parents=True)
    downloads = maven.download([jar.coordinate for jar in jars], staging / "maven")
    for jar, path in zip(jars, downloads, strict=True):
        path.rename(staging / "jars" / jar.file_name)
    verify_jars(staging / "jars", jars)
    (staging / "jars").rename(folder)
    shutil.rmtree(staging, ignore_errors=True)


def _sha256(path: Path) -> str:
    with path.open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()


if __name__ == "__main__":
    locked = lock_jars()
    print(f"{LOCK_FILE}: {len(locked)} jars, {sum(jar.size for jar in locked) / 1e6:.0f} MB")
