"""What the live routes ask for: the service, and which events a client wants."""

from __future__ import annotations

from typing import Annotated

from fastapi import Depends, Header, Query

from fastapi_app.dependencies.services import AllServices
from fastapi_app.models import RunKind, RunStatus
from fastapi_app.services.live import EventFilter, LiveService


async def _live(found: AllServices) -> LiveService:
    return found.live


async def event_filter(
    status: Annotated[list[RunStatus], Query(description="May be repeated")] = [],  # noqa: B006
    kind: Annotated[list[RunKind], Query(description="May be repeated")] = [],  # noqa: B006
    name: Annotated[str | None, Query(description="Of the stored command or process")] = None,
    group: Annotated[str | None, Query()] = None,
) -> EventFilter:
    """Which events a client wants: all that agree with each parameter given."""
    return EventFilter(status, kind, name, group)


Live = Annotated[LiveService, Depends(_live)]
Events = Annotated[EventFilter, Depends(event_filter)]
LastPosition = Annotated[
    str,
    Header(
        alias="Last-Event-ID",
        pattern=r"^(\d{1,18}(,\d{1,18})?)?$",
        description="As `offset=N,M`, wins over it",
    ),
]
LastSeq = Annotated[
    str,
    Header(alias="Last-Event-ID", pattern=r"^\d{0,18}$", description="As `since`, wins over it"),
]
Since = Annotated[
    int | None, Query(ge=0, le=2**63 - 1, description="`seq` of the last event that was seen")
]
