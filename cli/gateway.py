"""`aam gateway`: runs the gateway in the foreground. What it serves is up to `gateway`."""

from typing import Annotated

import typer

from cli.services import load_settings, open_registry
from gateway.app import serve
from gateway.settings import GatewaySettings

app = typer.Typer()


@app.command()
def gateway(
    host: Annotated[str | None, typer.Option(help="Address to listen on; default AAM_GATEWAY_HOST.")] = None,
    port: Annotated[
        int | None, typer.Option(min=1, max=65535, help="Port to listen on; default AAM_GATEWAY_PORT.")
    ] = None,
) -> None:
    """Serve the API and the schemas until Ctrl-C."""
    given = {name: value for name, value in (("host", host), ("port", port)) if value is not None}
    serve(load_settings(GatewaySettings).model_copy(update=given), open_registry)
