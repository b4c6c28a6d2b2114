"""A folder for the data of one owned server. Whoever makes a new one first removes those whose owner is gone: what a
kill -9 in an unlucky moment left."""

import fcntl
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_OWNER = "owner.lock"


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
