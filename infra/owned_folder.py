"""A folder for the data of one owned server. Whoever makes a new one first removes those whose owner is gone: what a
kill -9 in an unlucky moment left. `in_memory` says where they may lie without a disk."""

import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_OWNER = "owner.lock"
_SHARED_MEMORY = Path("/dev/shm")  # noqa: S108  # tmpfs (kernel.org, filesystems/tmpfs); `in_memory` looks whose it is
_ROOM_BYTES = 2 * 1024**3  # many times what a demo or a run of the tests writes; Docker gives 64 MiB by default


def in_memory(otherwise: Path) -> Path:
    """A folder of this user on a file system in memory, or `otherwise` where there is none or it is nearly full."""
    folder = _SHARED_MEMORY / f"aam-{os.getuid()}"
    try:
        folder.mkdir(mode=0o700, exist_ok=True)
        mine = folder.lstat()
        if mine.st_uid == os.getuid() and not mine.st_mode & 0o077 and shutil.disk_usage(folder).free >= _ROOM_BYTES:
            return folder
    except OSError:
        pass
    return otherwise


@contextmanager
def owned_folder(parent: Path, prefix: str) -> Iterator[Path]:
    """A new folder under `parent`, removed at the end. Its lock dies with this process."""
    parent.mkdir(parents=True, exist_ok=True)
    remove_abandoned(parent)
    folder = Path(tempfile.mkdtemp(prefix=f"{prefix}-", dir=parent))
    try:
        with (folder / _OWNER).open("w") as owner:
            fcntl.flock(owner, fcntl.LOCK_EX)
            yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def remove_abandoned(parent: Path) -> None:
    """Remove the folders of owners that ended without doing so. One that has no lock yet is being made: it stays."""
    for lock in parent.glob(f"*/{_OWNER}"):
        try:
            with lock.open() as owner:
                fcntl.flock(owner, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(lock.parent, ignore_errors=True)
        except OSError:  # held, or removed by another meanwhile
            continue
