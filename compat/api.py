"""`/api/v1/cutover`: see and move the stage of each route; and the page clients are sent to."""

from __future__ import annotations

import html
from datetime import UTC, datetime
from typing import Annotated, Self

from fastapi import APIRouter, Depends
from fastapi.responses import HTMLResponse
from pydantic import BaseModel, ConfigDict, Field
from starlette.requests import HTTPConnection

from compat.cutover import Cutover, RouteState
from compat.routes import ROWS, Row
from compat.stages import Stage
from fastapi_app.schemas.problems import documented

router = APIRouter(prefix="/api/v1/cutover", tags=["cutover"])
page = APIRouter(include_in_schema=False)

MIGRATION = "/migration"


def _cutover(connection: HTTPConnection) -> Cutover:
    found: Cutover = connection.app.state.cutover
    return found


LiveCutover = Annotated[Cutover, Depends(_cutover)]


class RouteAnswer(BaseModel):
    """An old route and where it stands."""

    route: str = Field(examples=["POST /execute"])
    stage: Stage
    percent: int = Field(description="Share of calls the new stack answers")
    successor: str = Field(description="What replaces it", examples=["/api/v1/workflows/execute"])
    deprecated: str = Field(examples=["2026-01-01T00:00:00Z"])
    sunset: str = Field(examples=["2027-01-01T00:00:00Z"])

    @classmethod
    def of(cls, state: RouteState) -> Self:
        """The route as operators see it."""
        return cls(
            route=state.row.name,
            stage=state.stage,
            percent=state.percent,
            successor=state.row.successor,
            deprecated=_day(state.row.deprecated),
            sunset=_day(state.row.sunset),
        )


class StageRequest(BaseModel):
    """The stage a route is to have."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={"examples": [{"route": "POST /execute", "stage": "new"}]},
    )

    route: str
    stage: Stage


@router.get("/routes", response_model=list[RouteAnswer], responses=documented(503))
async def list_routes(cutover: LiveCutover) -> list[RouteAnswer]:
    """Every old route and its stage."""
    return [RouteAnswer.of(state) for state in cutover.all()]


@router.put("/routes", response_model=RouteAnswer, responses=documented(404, 422, 503))
async def set_stage(body: StageRequest, cutover: LiveCutover) -> RouteAnswer:
    """Move a route to a stage, from the next call on and across restarts."""
    return RouteAnswer.of(await cutover.set(body.route, body.stage))


@page.get(MIGRATION)
async def migration() -> HTMLResponse:
    """What the `Link` header of every old route points to."""
    return HTMLResponse(_PAGE.format(rows="".join(_table_row(row) for row in ROWS)))


def _table_row(row: Row) -> str:
    cells = (row.name, row.successor, _day(row.deprecated)[:10], _day(row.sunset)[:10])
    return "<tr>" + "".join(f"<td>{html.escape(cell)}</td>" for cell in cells) + "</tr>"


def _day(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


_PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>Moving to /api/v1</title>
<style>
body {{ font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto }}
table {{ border-collapse: collapse }} td, th {{ border: 1px solid #ccc; padding: .3rem .6rem }}
th {{ text-align: left }}
</style></head><body>
<h1>Moving to /api/v1</h1>
<p>The routes on the left still answer as they always have, until the day on the right.
What replaces each is documented, with examples, at <a href="/docs">/docs</a>.</p>
<table><thead>
<tr><th>Old route</th><th>Successor</th><th>Deprecated</th><th>Sunset</th></tr></thead>
<tbody>{rows}</tbody></table></body></html>
"""
