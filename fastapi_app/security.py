"""What each route demands of who asks: `dependencies=[requires("workflows:read")]`."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import Depends, Security
from fastapi.openapi.models import OAuth2, OAuthFlowPassword, OAuthFlows
from fastapi.security import SecurityScopes
from fastapi.security.base import SecurityBase
from starlette.requests import HTTPConnection

from fastapi_app.errors import ForbiddenError, UnauthenticatedError
from fastapi_app.identity import PRINCIPAL, SCOPES, Principal

LOGIN = "/api/v1/auth/login"


class _Scopes(SecurityBase):
    """Holds the scopes of the principal against those of the route."""

    def __init__(self) -> None:
        flow = OAuthFlowPassword(tokenUrl=LOGIN, scopes=dict(SCOPES))
        self.model = OAuth2(flows=OAuthFlows(password=flow))
        self.scheme_name = "Login"

    async def __call__(self, connection: HTTPConnection, wanted: SecurityScopes) -> None:
        principal = connection.scope["state"].get(PRINCIPAL)
        if principal is None:
            raise UnauthenticatedError
        for scope in wanted.scopes:
            if scope not in principal.scopes:
                raise ForbiddenError(scope)


_SCOPES = _Scopes()


def requires(*scopes: str) -> Any:  # noqa: ANN401 - as FastAPI has it
    """A dependency that lets in only who has all of these; without any, everybody we know."""
    if not set(scopes) <= SCOPES.keys():
        raise ValueError(f"there is no scope {set(scopes) - SCOPES.keys()}")
    return Security(_SCOPES, scopes=scopes)


async def _caller(connection: HTTPConnection) -> Principal:
    principal: Principal | None = connection.scope["state"].get(PRINCIPAL)
    if principal is None:
        raise UnauthenticatedError
    return principal


Caller = Annotated[Principal, Depends(_caller)]
