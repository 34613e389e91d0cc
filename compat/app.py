"""Composition root: the new app, the old app and the gateway between them, as one application."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from flask import Flask

from compat import api
from compat.cutover import Cutover
from compat.gateway import Gateway
from compat.routes import RouteTable
from compat.settings import DualSettings
from compat.wsgi import Mount
from fastapi_app.app import create_app as create_new_app
from fastapi_app.factory import Services
from legacy_flask.app import create_app as create_legacy_app
from legacy_flask.services import EXTENSION


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
        old = _legacy_app(settings, legacy_port)
        mount = _mount(settings, old)
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
            mount.close()
            await asyncio.to_thread(old.extensions[EXTENSION].runner.close)


def _legacy_app(settings: DualSettings, port: int) -> Flask:
    return create_legacy_app(
        settings.home,
        settings.database_url,
        host=settings.legacy_host,
        port=port,
        command_timeout=settings.command_timeout,
        max_concurrent_commands=settings.max_concurrent_commands,
    )


def _mount(settings: DualSettings, legacy: Flask) -> Mount:
    return Mount(
        legacy.wsgi_app,
        threads=settings.legacy_threads,
        queue=settings.legacy_queue,
        limit=legacy.config["MAX_CONTENT_LENGTH"],
    )
