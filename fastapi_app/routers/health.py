"""`/livez` and `/readyz`, for whatever restarts servers and routes traffic."""

from __future__ import annotations

from fastapi_app.dependencies.services import Daemon, Drain
from fastapi_app.errors import DrainingError
from fastapi_app.routing import Router
from fastapi_app.schemas.daemon import Liveness, Readiness
from fastapi_app.schemas.problems import documented

router = Router(tags=["health"])


@router.get("/livez", response_model=Liveness)
async def alive() -> Liveness:
    """The server answers."""
    return Liveness()


@router.get("/readyz", response_model=Readiness, responses=documented(503))
async def ready(daemon: Daemon, draining: Drain) -> Readiness:
    """The server can work: its database answers, and it is not about to end."""
    if draining.begun:
        raise DrainingError
    await daemon.count_commands()
    return Readiness()
