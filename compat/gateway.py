"""Picks the stack for each call of the old contract, and announces the successor on each answer."""

from __future__ import annotations

import logging
from dataclasses import replace

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from compat.call import Call
from compat.cutover import Cutover
from compat.handlers import STOPPED, RefusedError
from compat.headers import Headers, deprecation_headers, with_announcement
from compat.legacy_json import PageError, Reply, error
from compat.routes import RouteTable, Row
from compat.settings import DualSettings
from compat.stages import Stage
from compat.wsgi import Mount
from fastapi_app.errors import DaemonStoppedError, QueueFullError, StorageUnavailableError
from fastapi_app.factory import Services
from fastapi_app.leaving import ClientLeftError
from legacy_flask.inputs import InputError

log = logging.getLogger(__name__)

SERVED_BY = b"x-served-by"
FAILED = (
    "The server encountered an internal error and was unable to complete your request. Either the"
    " server is overloaded or there is an error in the application."
)
NEW_PATHS = (
    "/api/v1",
    "/docs",
    "/livez",
    "/openapi.json",
    "/readyz",
    "/static-offline-docs",
    "/ws",
)


class Gateway:
    """One ASGI application for both listeners.

    The legacy port speaks the old contract alone; the other port speaks both.
    """

    def __init__(
        self,
        *,
        new: ASGIApp,
        legacy: Mount,
        services: Services,
        settings: DualSettings,
        table: RouteTable,
        cutover: Cutover,
        legacy_port: int,
        documentation: str,
    ) -> None:
        self._new = new
        self._legacy = legacy
        self._services = services
        self._settings = settings
        self._table = table
        self._cutover = cutover
        self._legacy_port = legacy_port
        self._new_paths = (*NEW_PATHS, documentation[documentation.rindex("/") :])
        self._endpoints = sorted(table.rows)
        self._announcements = {
            (row.name, stage): _announcement(row, stage, documentation)
            for row in table.rows.values()
            for stage in Stage
        }

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        legacy_only = scope["server"][1] == self._legacy_port
        if not legacy_only and self._is_new(scope["path"]):
            await self._new(scope, receive, send)
        elif scope["type"] == "http":
            try:
                await self._serve(scope, receive, send)
            except ClientLeftError:
                log.debug("%s %s: the client left", scope["method"], scope["path"])
        else:  # the old contract knows no WebSockets
            await receive()
            await send({"type": "websocket.close", "code": 1000})

    def _is_new(self, path: str) -> bool:
        return any(path == new or path.startswith(f"{new}/") for new in self._new_paths)

    async def _serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        found = self._table.match(scope["method"], scope["path"])
        if found is None:
            await self._legacy(scope, receive, send)
            return
        row, parameters = found
        stage = self._cutover.stage(row)
        announcement = self._announcements[row.name, stage]
        if stage is Stage.LEGACY:
            await self._legacy(scope, receive, _announcing(send, announcement))
            return
        call = Call(
            services=self._services,
            settings=self._settings,
            legacy_port=self._legacy_port,
            scope=scope,
            receive=receive,
            parameters=parameters,
            endpoints=self._endpoints,
        )
        await _send(send, await self._answer(row, call), announcement)

    async def _answer(self, row: Row, call: Call) -> Reply:
        """The reply of the row's handler, or the contract's words for why there is none."""
        try:
            return await row.handler(call)
        except InputError as problem:
            return error(400, str(problem))
        except RefusedError as refused:
            return refused.reply
        except (DaemonStoppedError, QueueFullError, StorageUnavailableError) as unable:
            stopped = isinstance(unable, DaemonStoppedError)
            found = error(503, STOPPED if stopped else unable.detail)
            return replace(found, retry_after=unable.retry_after)
        except PageError as failure:
            return failure.reply
        except ClientLeftError:
            raise
        except Exception:
            log.exception("%s failed", row.name)
            return PageError(500, FAILED).reply


def _announcement(row: Row, stage: Stage, documentation: str) -> Headers:
    headers = deprecation_headers(
        deprecated=row.deprecated,
        sunset=row.sunset,
        successor=row.successor,
        documentation=documentation,
    )
    return [*headers, (SERVED_BY, str(stage).encode())]


def _announcing(send: Send, announcement: Headers) -> Send:
    async def announce(message: Message) -> None:
        if message["type"] == "http.response.start":
            message = {**message, "headers": with_announcement(message["headers"], announcement)}
        await send(message)

    return announce


async def _send(send: Send, reply: Reply, announcement: Headers) -> None:
    headers = [(b"content-type", reply.content_type), *announcement]
    if reply.retry_after is not None:
        headers.append((b"retry-after", str(reply.retry_after).encode()))
    start: Message = {"type": "http.response.start", "status": reply.status, "headers": headers}
    if isinstance(reply.body, bytes):
        headers.append((b"content-length", str(len(reply.body)).encode()))
        await send(start)
        await send({"type": "http.response.body", "body": reply.body})
        return
    await send(start)
    async for piece in reply.body:
        await send({"type": "http.response.body", "body": piece, "more_body": True})
    await send({"type": "http.response.body", "body": b""})
