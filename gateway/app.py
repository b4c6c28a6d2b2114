"""Builds and serves the gateway: here its routes meet what they answer from.

Each API has its own module; this one knows only that they are there.
"""

import uvicorn
from fastapi import FastAPI

from gateway import health, schema_registry
from gateway.schema_directory import SchemaDirectory
from gateway.settings import GatewaySettings
from schemas.schema_ids import released_schemas


def create_app(settings: GatewaySettings) -> FastAPI:
    """The gateway's ASGI application.

    Raises:
        Bug: the shipped schemas are not the released ones.
    """
    servers = [{"url": settings.root_path}] if settings.root_path else None
    app = FastAPI(title="AAM gateway", servers=servers)
    app.state.schema_directory = SchemaDirectory(released_schemas())
    app.include_router(health.router)
    app.include_router(schema_registry.router)
    return app


def serve(settings: GatewaySettings) -> None:
    """Answers requests until SIGINT or SIGTERM."""
    uvicorn.run(create_app(settings), host=settings.host, port=settings.port, root_path=settings.root_path)
