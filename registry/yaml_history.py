"""The versions of a mapping file: its commits, oldest first, as the `git` command tells them, and what lies there now.

Nothing that a repository's own configuration could start is let run: no hooks, no filters, no signature checks.
"""

import re
import subprocess
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Final

from registry.errors import InvalidMapping, RegistryMisconfigured

SECONDS: Final = 60.0

_QUIET: Final = ("-c", "core.fsmonitor=false", "-c", "log.showSignature=false", "-c", "core.hooksPath=/dev/null")
_FORMAT: Final = "%x01%H%x02%aN <%aE>%x02%aI%x02%B%x03"
_COMMIT: Final = re.compile(
    r"\x01(?P<id>[0-9a-f]+)\x02(?P<author>[^\x02]*)\x02(?P<at>[^\x02]*)\x02(?P<message>[^\x03]*)\x03\s*"
    r"(?::\d+ \d+ (?P<before>[0-9a-f]+) (?P<after>[0-9a-f]+) (?P<kind>[A-Z])[^\n]*)?"
)


@dataclass(frozen=True)
class FileVersion:
    """One version of a file. `before`: what its commit changed, None if that was not there.

    `commit` and `at` (when it was written) are None for what is in no commit.
    """

    content: bytes
    author: str
    message: str = ""
    commit: str | None = None
    at: datetime | None = None
    before: bytes | None = None


def read_versions(path: Path, repository: Path | None, *, actor: str) -> list[FileVersion]:
    """The versions of `path`, oldest first; with `repository`, its commits there, through renames.

    What lies at `path` and is in no commit comes last, as the word of `actor`. A commit that takes the file away gives
    none.

    Args:
        path: as it is named from here, or from the top of `repository`.
    Raises:
        InvalidMapping: there is no such file. RegistryMisconfigured: no repository, or no git.
    """
    commits = [] if repository is None else _commits(path, repository)
    there = path if repository is None or path.is_file() else repository / path
    if not there.is_file():
        if commits:
            return commits
        raise InvalidMapping(f"{path}: there is no such file")
    try:
        content = there.read_bytes()
    except OSError as error:
        raise InvalidMapping(f"{path}: cannot be read: {error.strerror}") from error
    if commits and commits[-1].content == content.replace(b"\r\n", b"\n"):  # as git may check it out
        return commits
    return [*commits, FileVersion(content, actor)]


def _commits(path: Path, repository: Path) -> list[FileVersion]:
    _git(repository, "rev-parse", "--git-dir")
    if not _git(repository, "rev-parse", "--verify", "--quiet", "HEAD", may_fail=True):
        return []  # a repository without any commit
    # A merge tells what it changed of its first parent. Newest first: reversed, --follow would end at a rename.
    told = _git(
        *(repository, "log", "--follow", "--topo-order", "--diff-merges=first-parent", "--raw", "--no-abbrev"),
        *("--no-ext-diff", f"--format={_FORMAT}", "--", str(path.resolve() if path.is_file() else path)),
    ).decode(errors="replace")
    versions = []
    for found in reversed(list(_COMMIT.finditer(told))):
        if found["after"] is None or not found["after"].strip("0"):
            continue
        versions.append(
            FileVersion(
                content=_git(repository, "cat-file", "blob", found["after"]),
                author=found["author"],
                message=found["message"].strip(),
                commit=found["id"],
                at=datetime.fromisoformat(found["at"]),
                before=_git(repository, "cat-file", "blob", found["before"]) if found["before"].strip("0") else None,
            )
        )
    return versions


def _git(repository: Path, *arguments: str, may_fail: bool = False) -> bytes:
    command = ["git", "-C", str(repository), *_QUIET, *arguments]
    try:
        done = subprocess.run(command, capture_output=True, stdin=subprocess.DEVNULL, timeout=SECONDS, check=False)
    except FileNotFoundError as error:
        raise RegistryMisconfigured("there is no `git` to read a repository with") from error
    except subprocess.TimeoutExpired as error:
        raise RegistryMisconfigured(f"git took longer than {SECONDS:.0f} s in {repository}") from error
    if done.returncode != 0 and not may_fail:
        said = done.stderr.decode(errors="replace").strip().partition("\n")[0]
        raise RegistryMisconfigured(f"{repository}: {said}")
    return done.stdout
