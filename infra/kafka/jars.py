"""Kafka's jars: downloads exactly what `jars.lock.json` names, and hands out nothing whose SHA-256 differs.

The lock decides, not a resolver: neither Maven settings of the machine nor a repository can change what is run.
`python -m infra.kafka.jars` resolves anew and rewrites the lock.
"""

import hashlib
import json
import shutil
import tempfile
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path

import platformdirs
from jgo.maven import MavenContext
from requests import RequestException

from infra.file_lock import file_lock
from infra.narration import Say, to_stderr
from schemas.failures import Bug, Misconfigured, TransientError

KAFKA_VERSION = "4.3.1"
# slf4j 1.7 is the line that Kafka's slf4j-api is of. Don't add log4j here: its managed versions then apply to all, and
# kafka-clients 3.9.1 comes out under a 4.3.1 broker (research of 2026-11; `lock_jars` refuses that).
WANTED = (
    f"org.apache.kafka:kafka_2.13:{KAFKA_VERSION}",
    f"org.apache.kafka:kafka-tools:{KAFKA_VERSION}",
    "org.slf4j:slf4j-simple:1.7.36",
)
MAVEN_CENTRAL = "https://repo.maven.apache.org/maven2"
LOCK_FILE = Path(__file__).with_name("jars.lock.json")
DOWNLOADS_AT_ONCE = 8
DOWNLOAD_ATTEMPTS = 3
HTTP_TIMEOUT_SECONDS = 60


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
    """Paths of all `jars` in `folder`, each with the locked SHA-256. 54 MB take about 0.1 s, so every start does it.

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
        TransientError: Maven Central did not answer. Misconfigured: a jar differs from the lock.
    """
    jars = read_lock()
    folder = platformdirs.user_cache_path("aam") / "kafka-jars" / _sha256(LOCK_FILE)[:16]
    if not folder.is_dir():
        with file_lock(folder.with_suffix(".lock")):
            if not folder.is_dir():
                _install(jars, folder, say)
    return verify_jars(folder, jars)


def lock_jars(say: Say = to_stderr) -> tuple[LockedJar, ...]:
    """Resolve `WANTED` against Maven Central, hash every jar, and write the lock."""
    with tempfile.TemporaryDirectory() as scratch:
        context = _context(Path(scratch))
        dependencies = [context.create_dependency(wanted) for wanted in WANTED]
        inputs, transitive = context.resolver.resolve(dependencies)
        artifacts = [found.artifact for found in (*inputs, *transitive)]
        coordinates = sorted({f"{one.groupId}:{one.artifactId}:{one.version}" for one in artifacts})
        if f"org.apache.kafka:kafka-clients:{KAFKA_VERSION}" not in coordinates:
            raise Bug(f"The resolver chose another kafka-clients than {KAFKA_VERSION}; the lock was not written.")
        say(f"hashing {len(coordinates)} jars …")
        with ThreadPoolExecutor(DOWNLOADS_AT_ONCE) as pool:
            paths = list(pool.map(lambda coordinate: _download(context, coordinate), coordinates))
        jars = tuple(
            LockedJar(coordinate, _sha256(path), path.stat().st_size)
            for coordinate, path in zip(coordinates, paths, strict=True)
        )
    LOCK_FILE.write_text(json.dumps({"kafka": KAFKA_VERSION, "jars": [asdict(jar) for jar in jars]}, indent=1) + "\n")
    return jars


def _install(jars: tuple[LockedJar, ...], folder: Path, say: Say) -> None:
    """Download into a staging folder beside `folder`, verify, and rename: `folder` is complete or absent."""
    megabytes = sum(jar.size for jar in jars) / 1e6
    say(f"fetching Apache Kafka {KAFKA_VERSION} ({megabytes:.0f} MB, once) …")
    staging = folder.with_suffix(".staging")
    shutil.rmtree(staging, ignore_errors=True)  # of a download that was killed; we hold the lock
    context = _context(staging / "maven")
    (staging / "jars").mkdir(parents=True)
    with ThreadPoolExecutor(DOWNLOADS_AT_ONCE) as pool:
        for jar, path in zip(jars, pool.map(lambda jar: _download(context, jar.coordinate), jars), strict=True):
            path.rename(staging / "jars" / jar.file_name)
    verify_jars(staging / "jars", jars)
    (staging / "jars").rename(folder)
    shutil.rmtree(staging, ignore_errors=True)


def _context(repo_cache: Path) -> MavenContext:
    """Maven Central alone, into a folder of its own: neither ~/.m2 nor settings of jgo or Maven are read."""
    return MavenContext(
        repo_cache=repo_cache, local_repos=[], remote_repos={"central": MAVEN_CENTRAL}, timeout=HTTP_TIMEOUT_SECONDS
    )


def _download(context: MavenContext, coordinate: str) -> Path:
    group, artifact_id, version = coordinate.split(":")
    artifact = context.project(group, artifact_id).at_version(version).artifact()
    for attempt in range(1, DOWNLOAD_ATTEMPTS + 1):
        try:
            return Path(artifact.resolve())
        except (RequestException, RuntimeError) as problem:  # jgo raises RuntimeError for a bad status or checksum
            if artifact.cached_path is not None:  # what an aborted transfer left would pass as complete
                artifact.cached_path.unlink(missing_ok=True)
            if attempt == DOWNLOAD_ATTEMPTS:
                raise TransientError(f"Could not fetch {coordinate} from {MAVEN_CENTRAL}: {problem}") from problem
    raise AssertionError("unreachable")


def _sha256(path: Path) -> str:
    with path.open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()


if __name__ == "__main__":
    locked = lock_jars()
    print(f"{LOCK_FILE}: {len(locked)} jars, {sum(jar.size for jar in locked) / 1e6:.0f} MB")
