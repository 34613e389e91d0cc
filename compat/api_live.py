"""`WS /ws/cutover`: what is moved, and how rollouts stand, as it happens."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncGenerator
from typing import Annotated, Any

from fastapi import Query, WebSocket, WebSocketDisconnect

from compat.api import Live
from compat.api_rollouts import RolloutAnswer
from compat.operations import Operations
from compat.schemas import AuditEntry
from fastapi_app.errors import StorageUnavailableError
from fastapi_app.leaving import ClientLeftError, unless_client_leaves
from fastapi_app.routing import Router
from fastapi_app.security import requires
from fastapi_app.slow import TooSlowError, promptly

router = Router()

LOOK = 0.25
"""Seconds between two looks: entries may come from other processes."""
WITHIN = 20.0
"""Seconds a reader may take nothing before it is dropped."""
TOO_SLOW = 4408


@router.websocket("/ws/cutover", dependencies=[requires("cutover:read")])
async def follow(
    socket: WebSocket, live: Live, after: Annotated[int | None, Query(ge=0)] = None
) -> None:
    """The audit log behind `after` (without it: from now on) and each change of a rollout."""
    await socket.accept()

    async def tell() -> None:
        async with contextlib.aclosing(_messages(live, after)) as messages:
            async for message in messages:
                await promptly(socket.send_text(json.dumps(message)), WITHIN)

    code = 1000
    try:
        await unless_client_leaves(socket.receive, tell())
    except TooSlowError:
        code = TOO_SLOW
    except (ClientLeftError, WebSocketDisconnect):
        return
    with contextlib.suppress(WebSocketDisconnect):
        await socket.close(code)


async def _messages(live: Operations, after: int | None) -> AsyncGenerator[dict[str, Any], None]:
    if after is None:
        newest = await live.cutover.entries(limit=1)
        after = newest[0].seq if newest else 0
    shown: dict[str, dict[str, Any]] = {}
    while True:
        try:
            for entry in await live.cutover.entries(after=after, newest=False):
                after = entry.seq
                yield {"type": "audit", **AuditEntry.of(entry).model_dump()}
            for rollout in await live.rollouts.all():
                state = RolloutAnswer.of(rollout, live).model_dump(mode="json")
                if shown.get(state["id"]) != state:
                    shown[state["id"]] = state
                    yield {"type": "rollout", **state}
        except StorageUnavailableError:
            pass  # the last known state stays in force, and there is nothing to tell
        await asyncio.sleep(LOOK)
