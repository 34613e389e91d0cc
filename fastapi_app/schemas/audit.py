"""Bodies of `/api/v1/audit`."""

from __future__ import annotations

from typing import Self

from pydantic import BaseModel, Field

from fastapi_app.models import AuditEntry
from fastapi_app.schemas.fields import Timestamp


class AuditAnswer(BaseModel):
    """Somebody has done something that matters for security."""

    seq: int = Field(description="Grows with each entry")
    at: Timestamp
    action: str = Field(examples=["command.create"])
    subject: str = Field(description="What it was done to", examples=["deploy"])
    outcome: str = Field(description="done, denied or failed", examples=["done"])
    detail: str
    principal: str | None = Field(description="Who, for programs", examples=["user:ann"])
    name: str | None = Field(description="Who, for people", examples=["ann"])
    address: str | None = Field(description="From where", examples=["127.0.0.1"])
    request_id: str | None = Field(description="Of the request that asked for it")

    @classmethod
    def of(cls, entry: AuditEntry) -> Self:
        """The entry as clients see it."""
        return cls(
            seq=entry.seq,
            at=entry.at,
            action=entry.action,
            subject=entry.subject,
            outcome=entry.outcome,
            detail=entry.detail,
            principal=entry.principal or None,
            name=entry.name or None,
            address=entry.address or None,
            request_id=entry.request_id or None,
        )


class AuditList(BaseModel):
    """Some of the audit log, the newest first."""

    items: list[AuditAnswer]
    next_cursor: str | None
