"""`/api/v1/audit`: who did what that matters for security."""

from __future__ import annotations

from fastapi_app.dependencies.parameters import Cursor, Limit, WantedEntries
from fastapi_app.dependencies.services import Audit
from fastapi_app.routing import Router
from fastapi_app.schemas.audit import AuditAnswer, AuditList
from fastapi_app.schemas.problems import documented
from fastapi_app.security import requires

router = Router(prefix="/api/v1/audit", tags=["audit"])


@router.get(
    "",
    dependencies=[requires("audit:read")],
    response_model=AuditList,
    responses=documented(422, 503),
)
async def list_entries(
    audit: Audit, wanted: WantedEntries, limit: Limit = 50, cursor: Cursor = None
) -> AuditList:
    """The newest entries that agree with every parameter given."""
    page = await audit.page(wanted, cursor, limit)
    return AuditList(
        items=[AuditAnswer.of(entry) for entry in page.items], next_cursor=page.next_cursor
    )
