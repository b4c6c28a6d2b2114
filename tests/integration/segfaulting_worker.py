"""`aam`, but its transform `trim` ends the process at one value, as a bug in a native library would. For tests."""

import os
import signal
from typing import Any

from cli.main import app
from mapping import transforms
from schemas.canonical_model import FieldKind

DEADLY = "deadly"


def _trim(_params: dict[str, Any], _kind: FieldKind) -> transforms.Step:
    def trim(value: Any) -> tuple[str, bool]:
        if value == DEADLY:
            os.kill(os.getpid(), signal.SIGSEGV)
        return str(value), True

    return trim


if __name__ == "__main__":
    transforms._BUILDERS["trim"] = _trim
    app()
