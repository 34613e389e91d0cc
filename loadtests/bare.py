"""Read routes of the new app on a bare FastAPI: the same handlers and services, nothing around."""

from __future__ import annotations

import argparse
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from fastapi import FastAPI
from starlette.types import ASGIApp

from fastapi_app.factory import open_services
from fastapi_app.routers import commands, daemon
from fastapi_app.schemas.commands import CommandList
from fastapi_app.schemas.daemon import DaemonStatus
from fastapi_app.serve import Plan, bind, run, url_of
from fastapi_app.settings import Settings

COMMANDS = "/api/v1/commands/list"
STATUS = "/api/v1/daemon/status"


@asynccontextmanager
async def opened(settings: Settings) -> AsyncIterator[ASGIApp]:
    """The application over the home folder of the settings."""
    app = FastAPI()
    app.get(COMMANDS, response_model=CommandList)(commands.list_commands)
    app.get(STATUS, response_model=DaemonStatus)(daemon.status)
    async with open_services(settings) as services:
        app.state.services = services
        yield app


def main(arguments: Sequence[str] | None = None) -> int:
    """Serve until SIGTERM or SIGINT."""
    parser = argparse.ArgumentParser(prog="loadtests.bare", description=__doc__)
    parser.add_argument("--port", type=int, default=8000, help="0 takes a free one")
    parser.add_argument("--home", required=True)
    options = parser.parse_args(arguments)

    def plan() -> Plan:
        settings = Settings.load(home=options.home)
        listener = bind("127.0.0.1", options.port, "--port")
        return Plan(opened(settings), settings, [listener], f"limit  {url_of(listener)}")

    return run(plan)


if __name__ == "__main__":
    sys.exit(main())
