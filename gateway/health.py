"""What a supervisor asks: is the process alive, and can it answer requests?

The gateway needs nothing but its own schemas, which it has read before it listens, so both answers are the same.
"""

from fastapi import APIRouter

router = APIRouter(prefix="/health", tags=["health"])


@router.get("/live")
async def live() -> dict[str, str]:
    """200 while the process answers at all."""
    return {"status": "live"}


@router.get("/ready")
async def ready() -> dict[str, str]:
    """200 when requests can be sent here."""
    return {"status": "ready"}
