"""What commands print: tables for people, JSON for programs, one line for an error.

Results go to standard output, everything else to standard error. Texts from records are made harmless first: a
terminal obeys escape sequences, whoever wrote them.
"""

import sys
from collections.abc import Sequence
from typing import Any


def printable(text: object) -> str:
    """`text` on one line, with every character that a terminal would act on shown as an escape."""
    return "".join(char if char.isprintable() else ascii(char)[1:-1] for char in str(text))


def is_terminal() -> bool:
    """Whether standard output is a person's."""
    return sys.stdout.isatty()


def write_line(text: str) -> None:
    """One line of result."""
    sys.stdout.write(printable(text) + "\n")
    sys.stdout.flush()


def write_json(value: Any) -> None:
    """One line of JSON; numbers as exact as they were read."""
    from mapping.decode_json import dump  # noqa: PLC0415  # `aam --help` does without

    sys.stdout.write(dump(value).decode() + "\n")
    sys.stdout.flush()


def write_table(columns: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """A table as wide as the terminal; as wide as it needs when piped."""
    from rich import box  # noqa: PLC0415  # slow to import, and most commands print no table
    from rich.console import Console  # noqa: PLC0415
    from rich.table import Table  # noqa: PLC0415
    from rich.text import Text  # noqa: PLC0415

    table = Table(*columns, box=box.SIMPLE_HEAD, pad_edge=False)
    for row in rows:
        table.add_row(*(Text(printable(cell)) for cell in row))
    console = Console() if is_terminal() else Console(width=max(80, _width(columns, rows)))
    console.print(table)


def say(text: str) -> None:
    """Progress or a remark, on standard error."""
    sys.stderr.write(printable(text) + "\n")
    sys.stderr.flush()


def _width(columns: Sequence[str], rows: Sequence[Sequence[object]]) -> int:
    widths = [max(len(printable(cell)) for cell in column) for column in zip(columns, *rows, strict=True)]
    return sum(widths) + 3 * len(widths) + 4
