"""The new stack speaking the old contract: an ASGI application over the rows of the table."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from starlette.types import Message, Receive, Scope, Send

from compat.adapters import StatusText
from compat.call import BROKEN, Call, Handler, header
from compat.handlers import STOPPED, RefusedError
from compat.hosts import is_refused
from compat.legacy_json import PageError, Reply, error
from compat.settings import DualSettings
from compat.table import Row
from fastapi_app.errors import DaemonStoppedError, QueueFullError, StorageUnavailableError
from fastapi_app.factory import Services
from fastapi_app.leaving import ClientLeftError
from legacy_flask.inputs import InputError

log = logging.getLogger(__name__)

MATCH = "compat.match"
"""Where the scope holds the row of a call and its path parameters."""
RECORDED = "compat.recorded"
"""Where it holds what the old stack has done already: the call is rehearsed, not executed."""
FAILED = (
    "The server encountered an internal error and was unable to complete your request. Either the"
    " server is overloaded or there is an error in the application."
)


class ContractApp:
    """Answers what the gateway has matched; `legacy_port` is what `/status` tells."""

    def __init__(
        self,
        services: Services,
        settings: DualSettings,
        *,
        legacy_port: int,
        endpoints: Sequence[str],
    ) -> None:
        self._services = services
        self._settings = settings
        config = {
            "host": settings.legacy_host,
            "port": legacy_port,
            "command_timeout": settings.command_timeout,
            "max_concurrent_commands": settings.max_concurrent_commands,
        }
        self._status_text = StatusText(config)
        self._endpoints = endpoints

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one call.

        Raises:
            ClientLeftError: nobody is there to answer.
        """
        match: tuple[Row, Mapping[str, Any]] = scope[MATCH]
        row, parameters = match
        recorded = scope.get(RECORDED)
        handler = row.handler if recorded is None or row.rehearsal is None else row.rehearsal
        call = Call(
            self._services,
            self._settings,
            self._status_text,
            scope,
            receive,
            parameters,
            self._endpoints,
            recorded,
        )
        await _send(send, await _answer(row, handler, call))


async def _answer(row: Row, handler: Handler, call: Call) -> Reply:
    """The reply of the handler, or the contract's words for why there is none."""
    try:
        if is_refused(header(call.scope, b"host")):
            raise PageError(400, BROKEN)
        return await handler(call)
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


async def _send(send: Send, reply: Reply) -> None:
    headers = [(b"content-type", reply.content_type)]
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
