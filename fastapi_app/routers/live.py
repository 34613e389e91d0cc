"""`/ws`: what happens, as it happens."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncGenerator, Callable
from typing import TypeVar

from fastapi import WebSocket, WebSocketDisconnect

from fastapi_app.dependencies.live import Events, Live, Since
from fastapi_app.dependencies.parameters import Position
from fastapi_app.dependencies.services import AllServices
from fastapi_app.errors import LogRemovedError, RunNotFoundError
from fastapi_app.leaving import ClientLeftError, unless_client_leaves
from fastapi_app.routers.events import change_message, log_events, log_message
from fastapi_app.routers.process_answers import process_message
from fastapi_app.routing import Router
from fastapi_app.security import requires
from fastapi_app.slow import TooSlowError, promptly

router = Router(prefix="/ws")

# Close codes of ours (4000 to 4999 are private use, RFC 6455 section 7.4.2).
NOT_FOUND = 4404
TOO_SLOW = 4408

T = TypeVar("T")


@router.websocket("/workflows", dependencies=[requires("workflows:read")])
async def follow_all(
    socket: WebSocket, services: AllServices, live: Live, wanted: Events, since: Since = None
) -> None:
    """The status events of all runs: those behind `since`, then what happens."""
    await socket.accept()
    async with _closing(socket):
        changes = live.changes(wanted, since)
        await _tell(socket, changes, change_message, services.settings.send_timeout)


@router.websocket("/workflows/{run_id}", dependencies=[requires("workflows:read")])
async def follow_run(
    socket: WebSocket, run_id: str, services: AllServices, live: Live, since: Since = None
) -> None:
    """Where a run stands, then its status and progress events until it is over."""
    await socket.accept()
    async with _closing(socket):
        changes = live.changes_of(await live.get(run_id), since)
        await _tell(socket, changes, change_message, services.settings.send_timeout)


@router.websocket("/workflows/{run_id}/logs", dependencies=[requires("workflows:read")])
async def follow_logs(
    socket: WebSocket, run_id: str, services: AllServices, live: Live, position: Position
) -> None:
    """History first, then live, then one `end` event."""
    await socket.accept()
    async with _closing(socket):
        items = log_events(live, await live.get(run_id), position, follow=True)
        await _tell(
            socket, items, lambda item: log_message(item[0]), services.settings.send_timeout
        )


@router.websocket("/processes", dependencies=[requires("processes:read")])
async def follow_processes(socket: WebSocket, services: AllServices) -> None:
    """All managed processes as they are, then each as it comes to stand elsewhere."""
    await socket.accept()
    async with _closing(socket):
        news = services.process_feed.news()
        await _tell(socket, news, process_message, services.settings.send_timeout)


async def _tell(
    socket: WebSocket,
    items: AsyncGenerator[T, None],
    encode: Callable[[T], str],
    within: float,
) -> None:
    """Send every item, each within so many seconds, unless the client leaves."""

    async def send() -> None:
        async with contextlib.aclosing(items):
            async for item in items:
                await promptly(socket.send_text(encode(item)), within)

    await unless_client_leaves(socket.receive, send())


@contextlib.asynccontextmanager
async def _closing(socket: WebSocket) -> AsyncGenerator[None, None]:
    """Close the socket with the code that says why."""
    code, reason = 1000, ""
    try:
        yield
    except RunNotFoundError:
        code, reason = NOT_FOUND, "no such run"
    except LogRemovedError:
        code, reason = NOT_FOUND, "the log was removed"
    except TooSlowError:
        code, reason = TOO_SLOW, "too slow"
    except (ClientLeftError, WebSocketDisconnect):
        return
    with contextlib.suppress(WebSocketDisconnect):
        await socket.close(code, reason)
