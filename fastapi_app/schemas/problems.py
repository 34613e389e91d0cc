"""Errors as clients see them: RFC 9457 problem details."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, Field

MEDIA_TYPE = "application/problem+json"


class FieldProblem(BaseModel):
    """What is wrong with one field."""

    pointer: str = Field(description="JSON pointer (RFC 6901)", examples=["/timeout"])
    detail: str = Field(examples=["Input should be greater than 0"])


class Problem(BaseModel):
    """RFC 9457 problem details."""

    type: str = Field(examples=["urn:mcli:problem:run-not-found"])
    title: str = Field(examples=["No such run"])
    status: int = Field(examples=[404])
    detail: str = Field(examples=["There is no run 'x'."])
    code: str = Field(description="Stable name of the failure", examples=["run-not-found"])
    instance: str | None = Field(None, examples=["/api/v1/workflows/x"])
    request_id: str | None = Field(
        None, description="As `X-Request-Id`, for whoever reads the log", examples=["019ac0de"]
    )
    errors: list[FieldProblem] | None = None


def documented(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """OpenAPI `responses` for failures with these status codes."""
    texts = {
        400: "The body cannot be read: not UTF-8, or nested too deep",
        401: "Wrong name or password, or a token that is not good any more",
        403: "The token does not allow it",
        404: "There is nothing of that name or id",
        406: "Nothing the client accepts can be offered",
        409: "It conflicts with what is there",
        410: "It was there, and has been removed",
        413: "The body is too large",
        415: "The body is compressed",
        422: "The request is understood, but something in it is wrong",
        429: "Too many requests; `Retry-After` says when to go on",
        503: "Not now; `Retry-After` says when, if known",
    }
    return {
        status: {
            "description": texts[status],
            "content": {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}},
        }
        for status in statuses
    }
