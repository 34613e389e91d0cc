"""Serves both stacks with a fault planted in the new one: `python -m tests.compat.faulty serve …`.

`MCLI_TEST_FAULT` says which of `FAULTS`; with `MCLI_TEST_FAULT_FILE` only while that file exists.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path

import compat.routes
from cli.main import cli
from compat.call import Call, Handler
from compat.legacy_json import Reply, error

ROUTE = os.environ.get("MCLI_TEST_FAULT_ROUTE", "GET /status")


async def _raise(_reply: Reply) -> Reply:
    raise RuntimeError("planted")


async def _hang(_reply: Reply) -> Reply:
    await asyncio.Event().wait()
    raise AssertionError


async def _fail(_reply: Reply) -> Reply:
    return error(500, "planted")


async def _field(reply: Reply) -> Reply:
    assert isinstance(reply.body, bytes)
    return replace(reply, body=reply.body.replace(b'"running":true', b'"running":1'))


async def _newline(reply: Reply) -> Reply:
    assert isinstance(reply.body, bytes)
    return replace(reply, body=reply.body.removesuffix(b"\n"))


FAULTS: dict[str, Callable[[Reply], Awaitable[Reply]]] = {
    "raise": _raise,
    "hang": _hang,
    "fail": _fail,
    "field": _field,
    "newline": _newline,
}


def faulty(handler: Handler) -> Handler:
    """The handler with the fault behind it."""
    switch = os.environ.get("MCLI_TEST_FAULT_FILE")
    fault = FAULTS[os.environ["MCLI_TEST_FAULT"]]

    async def handle(call: Call) -> Reply:
        reply = await handler(call)
        return await fault(reply) if switch is None or Path(switch).exists() else reply  # noqa: ASYNC240

    return handle


if __name__ == "__main__":
    compat.routes.ROWS = tuple(  # type: ignore[assignment]
        replace(row, handler=faulty(row.handler)) if row.name == ROUTE else row
        for row in compat.routes.ROWS
    )
    cli(prog_name="mclictl")
