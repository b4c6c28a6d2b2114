"""Free TCP ports of 127.0.0.1. A port found free can be taken before its server binds it: servers retry with others
(`is_bind_failure` recognizes that end in their log)."""

import re
import socket
from contextlib import ExitStack

LOOPBACK = "127.0.0.1"
START_ATTEMPTS = 5  # a server whose ports were taken meanwhile is started again on others, this often in all

_BIND_FAILURE = re.compile(r"BindException|Address already in use|address already in use|could not bind")


def free_ports(count: int) -> list[int]:
    """`count` different ports that nothing listens on now, from the system's ephemeral range."""
    with ExitStack() as held:
        sockets = [held.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:  # all bound before the first is released, hence different
            one.bind((LOOPBACK, 0))
        return [one.getsockname()[1] for one in sockets]


def is_free(port: int) -> bool:
    """Whether a server could listen on `port` now. Connections of a former server in TIME_WAIT don't count."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
        except OSError:
            return False
        return True


def is_bind_failure(log_text: str) -> bool:
    """Whether a server's log says that its port was taken."""
    return _BIND_FAILURE.search(log_text) is not None
