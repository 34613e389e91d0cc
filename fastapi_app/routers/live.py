"""`/ws`: what happens, as it happens."""

from __future__ import annotations

from fastapi import APIRouter, WebSocket, WebSocketDisconnect

from fastapi_app.dependencies.parameters import LogPosition, Position
from fastapi_app.dependencies.services import Workflows
from fastapi_app.errors import RunNotFoundError
from fastapi_app.leaving import ClientLeftError, unless_client_leaves
from fastapi_app.models import Run
from fastapi_app.routers.events import log_events
from fastapi_app.services.workflows import WorkflowService

router = APIRouter(prefix="/ws")

NOT_FOUND = 4404
"""Close code of ours (4000 to 4999 are private use, RFC 6455 section 7.4.2)."""


@router.websocket("/workflows/{run_id}/logs")
async def follow_logs(
    socket: WebSocket, run_id: str, workflows: Workflows, position: Position
) -> None:
    """History first, then live, then one `end` event."""
    await socket.accept()
    try:
        run = await workflows.get(run_id)
        await unless_client_leaves(socket.receive, _send(socket, workflows, run, position))
        await socket.close()
    except RunNotFoundError:
        await socket.close(NOT_FOUND, "no such run")
    except (ClientLeftError, WebSocketDisconnect):
        return


async def _send(
    socket: WebSocket, workflows: WorkflowService, run: Run, position: LogPosition
) -> None:
    async for event in log_events(workflows, run, position, live=True):
        await socket.send_json(event)
