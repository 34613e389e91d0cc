"""`/api/v1/daemon`: the service as a whole."""

from __future__ import annotations

from fastapi_app.dependencies.services import Daemon
from fastapi_app.routing import Router
from fastapi_app.schemas.daemon import DaemonStatus
from fastapi_app.schemas.problems import documented
from fastapi_app.security import requires
from fastapi_app.services.daemon import DaemonService

router = Router(prefix="/api/v1/daemon", tags=["daemon"])


@router.get(
    "/status",
    dependencies=[requires("daemon:read")],
    response_model=DaemonStatus,
    responses=documented(503),
)
async def status(daemon: Daemon) -> DaemonStatus:
    """What the server is and does."""
    return await _status(daemon)


@router.post(
    "/start",
    dependencies=[requires("daemon:write")],
    response_model=DaemonStatus,
    responses=documented(503),
)
async def start(daemon: Daemon) -> DaemonStatus:
    """Let the service take work again."""
    await daemon.start()
    return await _status(daemon)


@router.post(
    "/stop",
    dependencies=[requires("daemon:write")],
    response_model=DaemonStatus,
    responses=documented(503),
)
async def stop(daemon: Daemon) -> DaemonStatus:
    """Let the service take no more commands and workflows; what runs goes on."""
    await daemon.stop()
    return await _status(daemon)


async def _status(daemon: DaemonService) -> DaemonStatus:
    now = await daemon.snapshot()
    return DaemonStatus(
        running=now.daemon_running,
        pid=daemon.info.pid,
        version=daemon.info.version,
        uptime_seconds=daemon.uptime_seconds,
        home=daemon.info.home,
        database=daemon.info.database,
        active_runs=now.running,
        queued_runs=now.queued,
        active_processes=now.running_processes,
        commands=await daemon.count_commands(),
    )
