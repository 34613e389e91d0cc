"""The new app: lifespan, middleware, routers."""

from __future__ import annotations

import asyncio
import importlib
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from fastapi import FastAPI, Response
from fastapi.telemetry import TelemetryConfig
from fastapi_offline import FastAPIOffline
from starlette.types import ASGIApp

from fastapi_app import __version__, problems
from fastapi_app.errors import StartupError
from fastapi_app.factory import open_services
from fastapi_app.leaving import ClientLeftError
from fastapi_app.metrics import Metrics
from fastapi_app.middleware.access_log import AccessLog, access_log
from fastapi_app.middleware.body_limit import BodyLimit
from fastapi_app.middleware.observed import Observed
from fastapi_app.observability import is_json
from fastapi_app.routers import (
    audit,
    commands,
    daemon,
    groups,
    health,
    live,
    metrics,
    runs,
    streams,
    workflows,
)
from fastapi_app.schemas.events import ProgressEvent, RunEvent, StatusEvent
from fastapi_app.schemas.problems import Problem
from fastapi_app.settings import Settings

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import TracerProvider

DESCRIPTION = """Runs commands and stored workflows, now or in the background, and shows them live.

Live logs are at `WS /ws/workflows/{id}/logs` (`offset` goes on from there). Errors are RFC 9457
problem details."""
EXTRA_SCHEMAS = (Problem, RunEvent, StatusEvent, ProgressEvent)


def create_app(settings: Settings) -> FastAPI:
    """The application; its lifespan opens what it needs and puts it into `app.state.services`."""
    counted = Metrics()
    spans = _spans(settings.otel_endpoint)
    log = access_log(
        settings.access_log, sys.stderr, as_json=is_json(settings.log_format, sys.stderr)
    )

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        try:
            async with open_services(settings, counted) as services:
                app.state.services = services
                yield
        finally:
            if log is not None:
                log.flush()
            if spans is not None:
                await asyncio.to_thread(spans.shutdown)

    app = FastAPIOffline(
        title="mcli-dualstack",
        version=__version__,
        description=DESCRIPTION,
        lifespan=lifespan,
        redoc_url=None,
        redirect_slashes=False,
        license_info={"name": "MIT"},
        telemetry=_telemetry(spans),
    )
    app.add_middleware(BodyLimit, limit=settings.max_body_bytes)
    problems.install(app)
    app.add_exception_handler(ClientLeftError, _answer_nobody)
    routers = (streams, workflows, runs, groups, commands, daemon, audit, health, metrics, live)
    for router in routers:
        app.include_router(router.router)
    _document_events(app)
    _observe(app, counted, log)
    return app


def _spans(endpoint: str | None) -> TracerProvider | None:
    """Where spans go; what sends them is loaded only when it is to.

    Raises:
        StartupError: it is not installed.
    """
    if endpoint is None:
        return None
    try:
        module = importlib.import_module("fastapi_app.tracing")
    except ModuleNotFoundError as error:
        raise StartupError(
            f"MCLI_OTEL_ENDPOINT needs the extra otel ({error.name} is missing): run"
            " pip install 'mcli-dualstack[otel]', or leave the setting out."
        ) from error
    found: TracerProvider = module.provider(endpoint)
    return found


def _telemetry(spans: TracerProvider | None) -> TelemetryConfig:
    """One span for each request; numbers and lines are our own."""
    return {
        "tracer_provider": spans,
        "tracing": spans is not None,
        "metrics": False,
        "logs": False,
        "operation_spans": False,
        "auto_configure": False,
    }


def _observe(app: FastAPI, counted: Metrics, log: AccessLog | None) -> None:
    """Wrap the whole stack: what answers when everything else has failed is inside, too."""
    build = app.build_middleware_stack

    def stack() -> ASGIApp:
        return Observed(build(), counted, log)

    app.build_middleware_stack = stack  # type: ignore[method-assign]


async def _answer_nobody(_request: object, _error: Exception) -> Response:
    return Response(status_code=499)  # nginx's number for a client that left; nobody reads it


def _document_events(app: FastAPI) -> None:
    """Add the schemas that no single route names as its body."""
    generate = app.openapi

    def openapi() -> dict[str, Any]:
        document = generate()
        schemas = document.setdefault("components", {}).setdefault("schemas", {})
        _forget_automatic_failures(document, schemas)
        for model in EXTRA_SCHEMAS:
            schema = model.model_json_schema(ref_template="#/components/schemas/{model}")
            schemas.update(schema.pop("$defs", {}))
            schemas.setdefault(model.__name__, schema)
        return document

    app.openapi = openapi  # type: ignore[method-assign]


def _forget_automatic_failures(document: dict[str, Any], schemas: dict[str, Any]) -> None:
    """Remove the 422 FastAPI adds to every route with parameters, in a form no route answers."""
    schemas.pop("HTTPValidationError", None)
    schemas.pop("ValidationError", None)
    for methods in document["paths"].values():
        for operation in methods.values():
            if "application/json" in operation["responses"].get("422", {}).get("content", {}):
                del operation["responses"]["422"]
