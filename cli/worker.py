"""`aam worker`: runs the agents in the foreground. What they do is up to `agents`."""

import gc
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated, Final

import typer

from agents.settings import WorkerSettings
from agents.worker import AGENTS, Worker
from cli.services import kafka_settings, load_settings, open_registry
from connectors.settings import ConnectorSettings
from inference.settings import InferenceSettings
from observability import log
from registry.pool import Pool
from registry.secrets import SecretSettings

app = typer.Typer()

# A batch changes threads some ten times. At Python's 5 ms each, records would wait for a thread that publishes or
# reads thousands of sets.
SWITCH_SECONDS: Final = 0.001
# Young objects are looked through in parts of a millisecond: 50,000 at once hold a batch up by 70 (p99 at 10,000
# records a second 430 ms instead of 124). Old ones seldom: sets that were published since the start are many.
GC_THRESHOLD: Final = (1_000, 20, 50)


@app.command()
def worker(
    agents: Annotated[str, typer.Option(metavar="NAME,…", help="Which agents run.")] = ",".join(AGENTS),
    port: Annotated[
        int | None, typer.Option(min=0, max=65535, help="Port of health and metrics, 0 for any; AAM_WORKER_PORT.")
    ] = None,
) -> None:
    """Pull from vendors, canonicalize raw records, map novel fields, publish mappings, until Ctrl-C."""
    settings = load_settings(WorkerSettings)
    if port is not None:
        settings = settings.model_copy(update={"worker_port": port})
    log.set_up(settings.log_level)
    sys.setswitchinterval(SWITCH_SECONDS)
    gc.set_threshold(*GC_THRESHOLD)
    names = [name.strip() for name in agents.split(",")]
    Worker(
        kafka_settings(),
        settings,
        _registry,
        names,
        inference=load_settings(InferenceSettings),
        connectors=load_settings(ConnectorSettings),
        secrets=load_settings(SecretSettings),
    ).run()


@contextmanager
def _registry() -> Iterator[Pool]:
    # Asked anew each time: Postgres may come up, or move, after the worker.
    with open_registry() as pool:
        yield pool
