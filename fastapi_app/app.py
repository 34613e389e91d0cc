"""The new app: lifespan, middleware, routers."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from fastapi import FastAPI, Response
from fastapi_offline import FastAPIOffline
from starlette.middleware.gzip import DEFAULT_EXCLUDED_CONTENT_TYPES, GZipMiddleware

from fastapi_app import __version__, problems
from fastapi_app.factory import open_services
from fastapi_app.leaving import ClientLeftError
from fastapi_app.limiter import Limiter, Policy
from fastapi_app.middleware import rate_limit
from fastapi_app.middleware.body_limit import BodyLimit
from fastapi_app.middleware.rate_limit import RateLimit
from fastapi_app.routers import commands, daemon, groups, health, live, runs, streams, workflows
from fastapi_app.schemas.events import ProgressEvent, RunEvent, StatusEvent
from fastapi_app.schemas.problems import Problem, documented
from fastapi_app.settings import Settings

DESCRIPTION = """Runs commands and stored workflows, now or in the background, and shows them live.

Live logs are at `WS /ws/workflows/{id}/logs` (`offset` goes on from there). Errors are RFC 9457
problem details."""
GZIP_FROM = 1024
"""Bytes from which an answer is compressed."""
GZIP_LEVEL = 5
NOT_COMPRESSED = (*DEFAULT_EXCLUDED_CONTENT_TYPES, "application/x-ndjson", "text/plain")
"""Besides what is small already: streams, of events and of logs."""
EXTRA_SCHEMAS = (Problem, RunEvent, StatusEvent, ProgressEvent)


def create_app(settings: Settings) -> FastAPI:
    """The application; its lifespan opens what it needs and puts it into `app.state.services`."""
    limiter = Limiter(settings.redis_url)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with limiter, open_services(settings) as services:
            app.state.services = services
            yield

    app = FastAPIOffline(
        title="mcli-dualstack",
        version=__version__,
        description=DESCRIPTION,
        lifespan=lifespan,
        redoc_url=None,
        redirect_slashes=False,
        license_info={"name": "MIT"},
    )
    app.state.limiter = limiter
    _add_middleware(app, settings, limiter)
    problems.install(app)
    app.add_exception_handler(ClientLeftError, _answer_nobody)
    for router in (streams, workflows, runs, groups, commands, daemon, health, live):
        app.include_router(router.router)
    _document_events(app)
    return app


def _add_middleware(app: FastAPI, settings: Settings, limiter: Limiter) -> None:
    """From the innermost to the outermost: what costs little refuses first."""
    app.add_middleware(
        RateLimit,
        limiter=limiter,
        default=Policy.of(rate_limit.DEFAULT, settings.rate_limit),
        login=Policy.of(rate_limit.LOGIN, settings.login_rate_limit),
    )
    app.add_middleware(BodyLimit, limit=settings.max_body_bytes)
    app.add_middleware(
        GZipMiddleware,
        minimum_size=GZIP_FROM,
        compresslevel=GZIP_LEVEL,
        exclude_content_types=NOT_COMPRESSED,
    )


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
            if "application/json" in operation["responses"].get("422", {}).get("content", {}):
                del operation["responses"]["422"]


def _document_limits(document: dict[str, Any]) -> None:
    """Add what any route may answer before it is asked."""
    for methods in document["paths"].values():
        for operation in methods.values():
            statuses = (415, 429) if "requestBody" in operation else (429,)
            for status, response in documented(*statuses).items():
                operation["responses"].setdefault(str(status), response)
