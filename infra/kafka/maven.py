"""Fetches jars from Maven Central through `jgo`, into a folder given, and resolves what a set of artifacts needs.
What is fetched and whether it is trusted is the matter of `jars`."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from jgo.maven import MavenContext
from requests import RequestException

from schemas.failures import TransientError

MAVEN_CENTRAL = "https://repo.maven.apache.org/maven2"
DOWNLOADS_AT_ONCE = 8
DOWNLOAD_ATTEMPTS = 3
HTTP_TIMEOUT_SECONDS = 60


def resolve(wanted: Sequence[str], scratch: Path) -> list[str]:
    """Coordinates (`group:artifact:version`) of `wanted` and all that they need at run time, sorted."""
    context = _context(scratch)
    inputs, transitive = context.resolver.resolve([context.create_dependency(one) for one in wanted])
    artifacts = [found.artifact for found in (*inputs, *transitive)]
    return sorted({f"{one.groupId}:{one.artifactId}:{one.version}" for one in artifacts})


def download(coordinates: Sequence[str], scratch: Path) -> list[Path]:
    """The jars of these coordinates, below `scratch`, in their order.

    Raises:
        TransientError: Maven Central did not deliver one of them, three times.
    """
    context = _context(scratch)
    with ThreadPoolExecutor(DOWNLOADS_AT_ONCE) as pool:
        return list(pool.map(lambda coordinate: _download(context, coordinate), coordinates))


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
            return artifact.resolve()
        except (RequestException, RuntimeError) as problem:  # jgo raises RuntimeError for a bad status or checksum
            if artifact.cached_path is not None:  # what an aborted transfer left would pass as complete
                artifact.cached_path.unlink(missing_ok=True)
            if attempt == DOWNLOAD_ATTEMPTS:
                raise TransientError(f"Could not fetch {coordinate} from {MAVEN_CENTRAL}: {problem}") from problem
    raise AssertionError("unreachable")
