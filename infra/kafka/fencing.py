"""Fences the broker of a run that was killed, before it starts again.

Until its session times out, a killed broker stands in the cluster's metadata as the leader of all. One that is back
before takes its transactions over by that claim, can't send their markers to itself, and gives them up when the claim
ends: what they wrote stays undecided, until a later transaction of the same producer decides it, the wrong way round
(docs/adr/0006). So the controller runs alone first, until it has fenced that broker.
"""

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from signal import SIGTERM
from typing import Final

from infra.kafka.properties import controller_properties, render
from infra.owned_process import OwnedProcess
from infra.server_command import ServerCommand, log_tail
from schemas.failures import Misconfigured

FENCING_SECONDS: Final = 10.0
POLL_SECONDS: Final = 0.05
_LOGGER: Final = "-Dorg.slf4j.simpleLogger.log.org.apache.kafka.controller.ReplicationControlManager=info"
_FENCED: Final = b"handleBrokerFenced"
_CLEAN: Final = ".kafka_cleanshutdown"


def was_killed(data: Path) -> bool:
    """Whether the last broker of this data folder ended without an orderly shutdown."""
    has_run = any(log.stat().st_size for log in (data / "__cluster_metadata-0").glob("*.log"))
    return has_run and not (data / _CLEAN).exists()


def fence_killed_broker(
    java: Sequence[str], arguments: str, folder: Path, ports: Sequence[int], env: Mapping[str, str]
) -> bool:
    """Run the controller alone until it has fenced the broker, or for as long as that could take: a broker that was
    killed before it was of any use needs no fencing. Whether it was fenced.

    Args:
        java: the program and its options; `arguments` is the argument file with the class path.
        ports: of clients and of the controller.

    Raises:
        Misconfigured: the controller ended by itself; what it wrote is in the message.
    """
    properties, log = folder / "fencing.properties", folder / "fencing.log"
    properties.write_text(render(controller_properties(folder / "data", ports)))
    log.unlink(missing_ok=True)
    argv = (*java, _LOGGER, arguments, "kafka.Kafka", str(properties))
    command = ServerCommand(
        name="Kafka's controller", argv=argv, log=log, marker=str(properties), env=env, discard_signal=SIGTERM
    )
    end = time.monotonic() + FENCING_SECONDS
    with OwnedProcess(command, remove=[]) as process:
        while time.monotonic() < end:
            if log.exists() and _FENCED in log.read_bytes():
                return True
            if process.ended:
                raise Misconfigured(f"{command.name} ended while starting:\n{log_tail(log)}")
            time.sleep(POLL_SECONDS)
    return False
