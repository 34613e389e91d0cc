"""Routers that are passed over at once when a request is not theirs."""

from __future__ import annotations

from fastapi import APIRouter
from starlette.routing import Match
from starlette.types import Scope


class Router(APIRouter):
    """An `APIRouter` that tries its routes only with paths that begin like all of them.

    An application tries one router after the other, and each tried all of its routes: what that
    cost grew with every route there was.
    """

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        """Whether the request is for one of these routes."""
        if not scope["path"].startswith(self.prefix.partition("{")[0]):
            return Match.NONE, {}
        return super().matches(scope)
