"""The new app: lifespan, middleware, routers."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

from fastapi import FastAPI, Response
from fastapi_offline import FastAPIOffline
from starlette.middleware.cors import CORSMiddleware

from fastapi_app import __version__, problems
from fastapi_app.factory import open_services
from fastapi_app.leaving import ClientLeftError
from fastapi_app.middleware.body_limit import BodyLimit
from fastapi_app.middleware.identity import Identity
from fastapi_app.middleware.trusted_host import TrustedHost
from fastapi_app.routers import (
    auth,
    commands,
    daemon,
    groups,
    health,
    live,
    runs,
    streams,
    workflows,
)
from fastapi_app.schemas.events import ProgressEvent, RunEvent, StatusEvent
from fastapi_app.schemas.problems import Problem, documented
from fastapi_app.settings import Settings

DESCRIPTION = """Runs commands and stored workflows, now or in the background, and shows them live.

Live logs are at `WS /ws/workflows/{id}/logs` (`offset` goes on from there). Errors are RFC 9457
problem details."""
PAGES = ("/docs",)
"""What anybody's page may link to."""
EXTRA_SCHEMAS = (Problem, RunEvent, StatusEvent, ProgressEvent)


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

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with open_services(settings) as services:
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
    app.add_middleware(Identity, public=(*PUBLIC, *public))
    app.add_middleware(BodyLimit, limit=settings.max_body_bytes)
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
    problems.install(app)
    app.add_exception_handler(ClientLeftError, _answer_nobody)
    for router in (auth, streams, workflows, runs, groups, commands, daemon, health, live):
        app.include_router(router.router)
    _document_events(app)
    return app


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
            if "security" in operation:
                refused = {str(status): found for status, found in documented(401, 403).items()}
                operation["responses"] = refused | operation["responses"]
            if "application/json" in operation["responses"].get("422", {}).get("content", {}):
                del operation["responses"]["422"]
