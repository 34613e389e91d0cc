"""The one place that renders failures: RFC 9457 problem details."""

from __future__ import annotations

import http
import logging
from collections.abc import Sequence
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import (
    RequestValidationError,
    ValidationException,
    WebSocketRequestValidationError,
)
from fastapi.routing import iter_route_contexts
from starlette.exceptions import HTTPException
from starlette.requests import HTTPConnection
from starlette.responses import JSONResponse, Response
from starlette.routing import Match

from fastapi_app.errors import AppError, ForbiddenError, UnauthenticatedError
from fastapi_app.observability import request_id

log = logging.getLogger(__name__)

MEDIA_TYPE = "application/problem+json"
TYPE = "urn:mcli:problem:"
METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE")


class ProblemResponse(JSONResponse):
    media_type = MEDIA_TYPE


def problem_response(error: AppError, instance: str) -> Response:
    """An application error as problem details."""
    headers = {} if error.retry_after is None else {"Retry-After": str(error.retry_after)}
    headers |= _challenge(error)
    errors = [problem._asdict() for problem in error.fields]
    return _problem(
        error.status,
        error.code,
        error.title,
        error.detail,
        instance,
        headers=headers,
        errors=errors or None,
    )


def install(app: FastAPI) -> None:
    """Render every failure of `app` as problem details."""

    @app.exception_handler(AppError)
    async def on_app_error(request: Request, error: AppError) -> Response:
        return problem_response(error, request.url.path)

    @app.exception_handler(RequestValidationError)
    @app.exception_handler(WebSocketRequestValidationError)
    async def on_invalid(request: HTTPConnection, error: ValidationException) -> Response:
        problems = [_field_problem(problem) for problem in error.errors()]
        detail = "; ".join(f"{p['pointer'] or 'body'}: {p['detail']}" for p in problems)
        return _problem(
            422, "invalid", "The request is not valid", detail, request.url.path, errors=problems
        )

    @app.exception_handler(HTTPException)
    async def on_http(request: Request, error: HTTPException) -> Response:
        title = http.HTTPStatus(error.status_code).phrase
        code = title.lower().replace(" ", "-")
        headers = dict(error.headers or {})
        if error.status_code == 405:
            headers["Allow"] = _allowed(request)
        detail = _hint(request, error, headers.get("Allow", ""))
        return _problem(error.status_code, code, title, detail, request.url.path, headers=headers)

    @app.exception_handler(Exception)
    async def on_bug(request: Request, error: Exception) -> Response:
        log.error("%s %s failed", request.method, request.url.path, exc_info=error)
        detail = "The server failed to answer; its log says why."
        return _problem(500, "internal", "Internal error", detail, request.url.path)


def _challenge(error: AppError) -> dict[str, str]:
    """What would help (RFC 6750, section 3)."""
    if isinstance(error, ForbiddenError):
        what = f', error="insufficient_scope", scope="{error.scope}"'
    elif isinstance(error, UnauthenticatedError):
        what = f', error="{error.problem}"' if error.problem else ""
    else:
        return {}
    return {"WWW-Authenticate": f'Bearer realm="mcli"{what}'}


def _problem(
    status: int,
    code: str,
    title: str,
    detail: str,
    instance: str,
    *,
    headers: dict[str, str] | None = None,
    errors: Sequence[dict[str, str]] | None = None,
) -> Response:
    content: dict[str, Any] = {
        "type": TYPE + code,
        "title": title,
        "status": status,
        "detail": detail,
        "code": code,
        "instance": instance,
    }
    if (asked := request_id()) is not None:
        content["request_id"] = asked
    if errors is not None:
        content["errors"] = errors
    return ProblemResponse(_printable(content), status, headers)


def _field_problem(problem: Any) -> dict[str, str]:  # noqa: ANN401 - pydantic's error dict
    if problem["type"] == "json_invalid":  # its place is a position in the text, not a field
        return {"pointer": "", "detail": _not_json(problem)}
    where = [str(part).replace("~", "~0").replace("/", "~1") for part in problem["loc"]]
    # The first part says where FastAPI read it; in a body the rest is the JSON pointer.
    path = where[1:] if where[:1] in (["body"], ["query"], ["path"]) else where
    detail = str(problem["msg"]).removeprefix("Value error, ")
    return {"pointer": "".join(f"/{part}" for part in path), "detail": detail}


def _not_json(problem: Any) -> str:  # noqa: ANN401
    why = problem.get("ctx", {}).get("error", problem["msg"])
    return f"The body is not JSON: {why}, at character {problem['loc'][-1]}"


def _allowed(request: Request) -> str:
    """Every method the path takes; the router names only those of the first route it found.

    Of a path that a route has word for word, only its methods: `/commands/list` could be the
    command `list`, too, but that is nothing to advertise.
    """
    routes = request.app.router.routes
    literal = {
        method
        for context in iter_route_contexts(routes)
        if context.path == request.url.path
        for method in context.methods or ()
    }
    if literal:
        return ", ".join(method for method in METHODS if method in literal)
    taken = (
        method
        for method in METHODS
        if any(
            route.matches({**request.scope, "method": method})[0] is Match.FULL for route in routes
        )
    )
    return ", ".join(taken)


def _hint(request: Request, error: HTTPException, allowed: str) -> str:
    if error.status_code == 404:
        return f"There is nothing at {request.url.path}; /docs lists what there is."
    if error.status_code == 405:
        return f"{request.method} is not allowed at {request.url.path}; use {allowed}."
    return str(error.detail)


def _printable(value: Any) -> Any:  # noqa: ANN401
    """The same with lone surrogates, which a client may send and JSON cannot carry, replaced."""
    if isinstance(value, str):
        return value.encode("utf-8", "replace").decode()
    if isinstance(value, dict):
        return {key: _printable(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_printable(item) for item in value]
    return value
