"""`python -m cli`: the `aam` command of this interpreter, wherever its script is installed."""

from cli.main import app

app()
