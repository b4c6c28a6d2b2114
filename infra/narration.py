"""How the local services tell a person what they are doing. Callers pass their own `say`; the default is stderr, so
that a first start, which downloads, is never a silent minute."""

import sys
from collections.abc import Callable

Say = Callable[[str], None]


def to_stderr(line: str) -> None:
    """Print one line for a person, out of the way of what a program reads from stdout."""
    print(line, file=sys.stderr, flush=True)
