"""The new app: lifespan, middleware, routers."""

from __future__ import annotations

import asyncio
import importlib
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from fastapi import FastAPI, Response
from fastapi.telemetry import TelemetryConfig
from fastapi_offline import FastAPIOffline
from starlette.middleware.cors import CORSMiddleware
from starlette.types import ASGIApp

from fastapi_app import __version__, problems
from fastapi_app.errors import StartupError
from fastapi_app.factory import open_services
from fastapi_app.leaving import ClientLeftError
from fastapi_app.limiter import Limiter
from fastapi_app.metrics import Metrics, counter
from fastapi_app.middleware import rate_limit
from fastapi_app.middleware.access_log import AccessLog, access_log
from fastapi_app.middleware.body_limit import BodyLimit
from fastapi_app.middleware.compression import Compression
from fastapi_app.middleware.identity import Identity
from fastapi_app.middleware.observed import Observed
from fastapi_app.middleware.rate_limit import RateLimit
from fastapi_app.middleware.trusted_host import TrustedHost
from fastapi_app.observability import is_json
from fastapi_app.routers import (
    audit,
    auth,
    command_history,
    commands,
    daemon,
    groups,
    health,
    live,
    metrics,
    runs,
    scheduler,
    streams,
    sync,
    workflows,
)
from fastapi_app.schemas.events import ProgressEvent, RunEvent, StatusEvent
from fastapi_app.schemas.problems import Problem, documented
from fastapi_app.schemas.sync import SyncEvent
from fastapi_app.settings import Settings
from fastapi_app.windows import Policy

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import TracerProvider

DESCRIPTION = """Runs commands and stored workflows, now or in the background, and shows them live.

Live logs are at `WS /ws/workflows/{id}/logs` (`offset` goes on from there). Errors are RFC 9457
problem details."""
PAGES = ("/docs",)
"""What anybody's page may link to."""
FALLBACKS = (
    "mcli_ratelimit_fallbacks",
    "Requests that were counted in memory because Redis did not answer",
)
EXTRA_SCHEMAS = (Problem, RunEvent, StatusEvent, ProgressEvent, SyncEvent)


PUBLIC = (
    "/api/v1/auth/login",
    "/api/v1/auth/refresh",
    "/docs",
    "/livez",
    "/openapi.json",
    "/readyz",
    "/static-offline-docs/",
)
"""What anybody may ask for."""


def create_app(settings: Settings, public: Sequence[str] = ()) -> FastAPI:
    """The application; its lifespan opens what it needs and puts it into `app.state.services`.

    `public` are more pages that anybody may ask for, and link to.
    """
    limiter = Limiter(settings.redis_url)
    counted = Metrics()
    counted.register(lambda: [counter(*FALLBACKS, limiter.fallbacks)])
    spans = _spans(settings.otel_endpoint)
    log = access_log(
        settings.access_log, sys.stderr, as_json=is_json(settings.log_format, sys.stderr)
    )

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        try:
            async with limiter, open_services(settings, counted) as services:
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
    app.state.limiter = limiter
    _add_middleware(app, settings, limiter, public)
    problems.install(app)
    app.add_exception_handler(ClientLeftError, _answer_nobody)
    routers = (
        *(auth, streams, workflows, runs, groups, commands, command_history, sync),
        *(scheduler, daemon, audit, health, metrics, live),
    )
    for router in routers:
        app.include_router(router.router)
    _document_events(app)
    _observe(app, counted, log)
    return app


def _add_middleware(
    app: FastAPI, settings: Settings, limiter: Limiter, public: Sequence[str]
) -> None:
    """From the innermost to the outermost: what costs little refuses first."""
    app.add_middleware(
        RateLimit,
        limiter=limiter,
        default=Policy.of(rate_limit.DEFAULT, settings.rate_limit),
        login=Policy.of(rate_limit.LOGIN, settings.login_rate_limit),
    )
    app.add_middleware(Identity, public=(*PUBLIC, *public))
    app.add_middleware(BodyLimit, limit=settings.max_body_bytes)
    app.add_middleware(Compression)
    if settings.allowed_origins:
        app.add_middleware(
            CORSMiddleware,
            allow_origins=settings.allowed_origins,
            allow_methods=["*"],
            allow_headers=["*"],
        )
    app.add_middleware(
        TrustedHost,
        bound_to=settings.host,
        names=settings.allowed_hosts,
        origins=settings.allowed_origins,
        pages=(*PAGES, *public),
    )


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
        _document_limits(document)
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
            if "security" in operation:
                refused = {str(status): found for status, found in documented(401, 403).items()}
                operation["responses"] = refused | operation["responses"]
            if "application/json" in operation["responses"].get("422", {}).get("content", {}):
                del operation["responses"]["422"]


def _document_limits(document: dict[str, Any]) -> None:
    """Add what any route may answer before it is asked."""
    for methods in document["paths"].values():
        for operation in methods.values():
            statuses = (400, 413, 415, 422, 429) if "requestBody" in operation else (429,)
            for status, response in documented(*statuses).items():
                operation["responses"].setdefault(str(status), response)
