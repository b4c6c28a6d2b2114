"""`aam connectors discover` and `new`: what a source's records look like, from documents and samples.

What is found is decided in `connectors`; this reads files, asks for permission to nothing, and prints.
"""

import typer


def add_to(app: typer.Typer) -> None:
    """Register the commands of this module with `aam connectors`."""
