"""Composition root: the new app, the old app and the gateway between them, as one application."""

from __future__ import annotations

import asyncio
import importlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING
from wsgiref.types import WSGIApplication

from compat import api
from compat.cutover import Cutover
from compat.gateway import Gateway
from compat.routes import RouteTable
from compat.settings import DualSettings
from compat.wsgi import Mount
from fastapi_app.app import create_app as create_new_app
from fastapi_app.factory import Services

if TYPE_CHECKING:
    from flask import Flask

EXTENSION = "legacy"
"""Where the old app keeps its services."""


@asynccontextmanager
async def open_app(
    settings: DualSettings, *, legacy_port: int, documentation_base: str = ""
) -> AsyncIterator[Gateway]:
    """Both stacks over one state, until the context ends.

    `legacy_port` is the port that speaks the old contract alone. `documentation_base` is the URL
    of the other one, for the links on old answers.

    Raises:
        StartupError: the home folder or the database cannot be used.
    """
    new = create_new_app(settings)
    new.include_router(api.router)
    new.include_router(api.page)
    async with new.router.lifespan_context(new):
        services: Services = new.state.services
        table = RouteTable()
        cutover = new.state.cutover = Cutover(services, table, settings.default_stage)
        await cutover.load()
        old = _Old(settings, legacy_port)
        mount = Mount(
            old.build,
            threads=settings.legacy_threads,
            queue=settings.legacy_queue,
            limit=settings.max_body_bytes,
        )
        try:
            yield Gateway(
                new=new,
                legacy=mount,
                services=services,
                settings=settings,
                table=table,
                cutover=cutover,
                legacy_port=legacy_port,
                documentation=f"{documentation_base}{api.MIGRATION}",
            )
        finally:
            await mount.aclose()
            await asyncio.to_thread(old.close)


class _Old:
    """The old app, built late: its import takes a fifth of a second no start has to wait for."""

    def __init__(self, settings: DualSettings, port: int) -> None:
        self._settings = settings
        self._port = port
        self._app: Flask | None = None

    def build(self) -> WSGIApplication:
        settings = self._settings
        self._app = importlib.import_module("legacy_flask.app").create_app(
            settings.home,
            settings.database_url,
            host=settings.legacy_host,
            port=self._port,
            command_timeout=settings.command_timeout,
            max_concurrent_commands=settings.max_concurrent_commands,
            largest_body=settings.max_body_bytes,
            alone=False,
        )
        return self._app

    def close(self) -> None:
        """End what clients of the old stack still wait for; background runs go on."""
        if self._app is not None:
            self._app.extensions[EXTENSION].runner.close()
