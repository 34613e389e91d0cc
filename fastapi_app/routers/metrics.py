"""`/metrics`, for Prometheus."""

from __future__ import annotations

from typing import Annotated

from fastapi import Header, Response

from fastapi_app.dependencies.services import Metrics
from fastapi_app.routing import Router
from fastapi_app.security import requires

router = Router(tags=["metrics"])

TEXT = "text/plain"
OPENMETRICS = "application/openmetrics-text"
_CONTENT = {TEXT: {"schema": {"type": "string"}}, OPENMETRICS: {"schema": {"type": "string"}}}


@router.get(
    "/metrics",
    dependencies=[requires("metrics:read")],
    response_class=Response,
    responses={200: {"description": "In the form that `Accept` asks for", "content": _CONTENT}},
)
async def scrape(
    metrics: Metrics, accept: Annotated[str, Header(include_in_schema=False)] = ""
) -> Response:
    """The numbers of this server, in Prometheus' text format or as OpenMetrics."""
    body, content_type = await metrics.render(accept)
    return Response(body, headers={"Content-Type": content_type})
