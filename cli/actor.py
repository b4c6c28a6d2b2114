"""Who gives a command: what the registry's versions and its audit trail say of it."""

import getpass
import os


def current_actor() -> str:
    """The account's name."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container's user may have no name
        return f"uid {os.getuid()}"
