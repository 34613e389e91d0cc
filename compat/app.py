"""Composition root: the new app, the old app and the gateway between them, as one application."""

from __future__ import annotations

import asyncio
import importlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING
from wsgiref.types import WSGIApplication

from starlette.types import ASGIApp

from compat import api, api_live, api_rollouts, metrics, page
from compat.callers import Callers
from compat.contract import ContractApp
from compat.cutover import Cutover
from compat.experiment import Experiment
from compat.gateway import Gateway
from compat.guard import Rules
from compat.measures import Measures
from compat.mismatches import Mismatches
from compat.operations import Operations, in_background, owner_of
from compat.recorder import Recorder
from compat.rollout import Rollouts
from compat.routes import route_table
from compat.settings import DualSettings
from compat.wsgi import Mount
from fastapi_app.app import create_app as create_new_app
from fastapi_app.factory import Services

if TYPE_CHECKING:
    from flask import Flask

EXTENSION = "legacy"
"""Where the old app keeps its services."""
NEW_PATHS = (
    "/api/v1",
    "/docs",
    "/livez",
    "/metrics",
    page.MIGRATION,
    "/openapi.json",
    "/readyz",
    "/static-offline-docs",
    "/ws",
)


@asynccontextmanager
async def open_app(
    settings: DualSettings, rules: Rules, *, legacy_port: int, documentation_base: str = ""
) -> AsyncIterator[Gateway]:
    """Both stacks over one state, until the context ends.

    `rules` say who may talk to the old contract. `legacy_port` is the port that speaks it alone.
    `documentation_base` is the URL of the other one, for the links on old answers.

    Raises:
        StartupError: the home folder or the database cannot be used.
    """
    app = create_new_app(settings, public=[page.MIGRATION])
    for router in (api.router, api_rollouts.router, api_live.router, page.router):
        app.include_router(router)
    async with app.router.lifespan_context(app):
        old = _Old(settings, legacy_port)
        mount = Mount(
            old.build,
            threads=settings.legacy_threads,
            queue=settings.legacy_queue,
            limit=settings.max_body_bytes,
        )
        try:
            opened = await _opened(
                app,
                app.state.services,
                settings,
                mount,
                rules,
                legacy_port=legacy_port,
                documentation=f"{documentation_base}{page.MIGRATION}",
            )
            gateway, operations, experiment = opened
            app.state.operations = operations
            async with in_background(operations, experiment):
                yield gateway
        finally:
            await mount.aclose()
            await asyncio.to_thread(old.close)


async def _opened(
    app: ASGIApp,
    services: Services,
    settings: DualSettings,
    legacy: Mount,
    rules: Rules,
    *,
    legacy_port: int,
    documentation: str,
) -> tuple[Gateway, Operations, Experiment]:
    """The gateway, what an operator works with, and what runs behind the gateway's back."""
    table = route_table()
    names = list(table.rows)
    measures, mismatches = Measures(services, owner_of(settings.home)), Mismatches(services)
    callers, recorder = Callers(services), Recorder()
    cutover = Cutover(services, names, measures, settings.default_stage)
    await cutover.load()
    await measures.load()
    new = ContractApp(services, settings, legacy_port=legacy_port, endpoints=sorted(names))
    experiment = Experiment(
        control=legacy,
        candidate=new,
        measures=measures,
        mismatches=mismatches,
        slots=settings.shadow_slots,
        queue=settings.shadow_queue,
        timeout=settings.shadow_timeout,
    )
    services.metrics.register(metrics.collector(measures, experiment, legacy, rules))
    gateway = Gateway(
        app=app,
        new_paths=NEW_PATHS,
        legacy=legacy,
        new=new,
        table=table,
        cutover=cutover,
        measures=measures,
        callers=callers,
        experiment=experiment,
        recorder=recorder,
        legacy_port=legacy_port,
        documentation=documentation,
        allow_forcing=settings.allow_stack_header,
        rules=rules,
    )
    rollouts = Rollouts(
        services, cutover, measures, names, lambda name: table.rows[name].rehearsal is not None
    )
    operations = Operations(
        table=table,
        cutover=cutover,
        measures=measures,
        mismatches=mismatches,
        callers=callers,
        recorder=recorder,
        rollouts=rollouts,
    )
    return gateway, operations, experiment


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
