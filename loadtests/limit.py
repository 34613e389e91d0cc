"""The bare limit: constant answers from the server settings of the product, and no product."""

from __future__ import annotations

import argparse
import contextlib
import sys
from collections.abc import Sequence

from starlette.types import Receive, Scope, Send

from fastapi_app.serve import Plan, bind, run, url_of
from fastapi_app.settings import Settings

# As the old daemon writes them, so that as many bytes go over the wire.
ANSWERS = {
    "/status": b'{"active_commands":0,"active_workflows":[],"command_history_count":0,'
    b'"config":{"command_timeout":300,"host":"127.0.0.1","max_concurrent_commands":1024,'
    b'"port":5005},"running":true,"uptime_seconds":12.345}\n',
    "/execute": b'{"error":"","execution_time_ms":3,"output":"","returncode":0,'
    b'"status":"completed","success":true}\n',
}
NOT_FOUND = b'{"error":"not found"}\n'


async def app(scope: Scope, receive: Receive, send: Send) -> None:
    """Read the request to its end and answer what is always answered there."""
    while (await receive()).get("more_body"):
        pass
    body = ANSWERS.get(scope["path"])
    status, body = (404, NOT_FOUND) if body is None else (200, body)
    headers = [
        (b"content-type", b"application/json"),
        (b"content-length", b"%d" % len(body)),
    ]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def main(arguments: Sequence[str] | None = None) -> int:
    """Serve until SIGTERM or SIGINT."""
    parser = argparse.ArgumentParser(prog="loadtests.limit", description=__doc__)
    parser.add_argument("--port", type=int, default=8000, help="0 takes a free one")
    options = parser.parse_args(arguments)

    def plan() -> Plan:
        listener = bind("127.0.0.1", options.port, "--port")
        banner = f"limit  {url_of(listener)}"
        return Plan(contextlib.nullcontext(app), Settings.load(), [listener], banner)

    return run(plan)


if __name__ == "__main__":
    sys.exit(main())
