"""Builds and serves the gateway: here its routes meet what they answer from.

Each API has its own module; this one knows only that they are there.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import uvicorn
from fastapi import FastAPI

from gateway import connections, health, schema_registry
from gateway.connections import OpenPool, RegistryDoor
from gateway.schema_directory import SchemaDirectory
from gateway.settings import GatewaySettings
from schemas.schema_ids import released_schemas


def create_app(settings: GatewaySettings, open_pool: OpenPool) -> FastAPI:
    """The gateway's ASGI application. `open_pool` reaches Postgres, which may be away.

    Raises:
        Bug: the shipped schemas are not the released ones.
    """
    servers = [{"url": settings.root_path}] if settings.root_path else None
    door = RegistryDoor(open_pool)

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        yield
        door.close()

    app = FastAPI(title="AAM gateway", servers=servers, lifespan=lifespan)
    app.state.registry_door = door
    app.state.schema_directory = SchemaDirectory(released_schemas())
    app.include_router(health.router)
    app.include_router(connections.router)
    app.include_router(schema_registry.router)
    return app


def serve(settings: GatewaySettings, open_pool: OpenPool) -> None:
    """Answers requests until SIGINT or SIGTERM."""
    uvicorn.run(create_app(settings, open_pool), host=settings.host, port=settings.port, root_path=settings.root_path)
