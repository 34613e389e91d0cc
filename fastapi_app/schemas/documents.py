"""What a document of steps may say, key by key."""

from __future__ import annotations

import json
import math
import re
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field

from fastapi_app.models import When
from fastapi_app.schemas.fields import LONGEST_TIMEOUT, Environment, Name, ShellText, Timeout

MAX_STEPS = 1000
STEP_NAME = re.compile(r"[A-Za-z0-9_.-]{1,100}")
LARGEST_INTEGER = 2**63 - 1


def _step_name(value: str) -> str:
    if not STEP_NAME.fullmatch(value):
        raise ValueError("a step's name is 1 to 100 letters, digits, dots, dashes and underscores")
    return value


def _as_text(value: object) -> object:
    """Numbers and booleans as JSON writes them; `true` and 8080 need no quotes."""
    if isinstance(value, bool):
        return json.dumps(value)
    if isinstance(value, float) and math.isfinite(value):
        return json.dumps(value)
    if isinstance(value, int) and abs(value) <= LARGEST_INTEGER:
        return str(value)
    return value


def _texts(values: object) -> object:
    if isinstance(values, dict):
        return {name: _as_text(value) for name, value in values.items()}
    return values


def _retry(value: object) -> object:
    # A boolean is an integer to Python, but not to whoever wrote it.
    if type(value) is int:
        return {"times": value}
    if not isinstance(value, dict | RetryBody):
        raise ValueError("a number of times, or a table of times, delay, factor and longest")
    return value


Seconds = Annotated[float, Field(strict=True, ge=0, le=LONGEST_TIMEOUT, allow_inf_nan=False)]
Bytes = Annotated[int, Field(strict=True, ge=1, le=LARGEST_INTEGER)]
Count = Annotated[int, Field(strict=True, ge=1, le=2**31 - 1)]
Variables = Annotated[Environment, BeforeValidator(_texts)]
StepName = Annotated[str, AfterValidator(_step_name)]


Times = Annotated[int, Field(strict=True, ge=0, le=100)]


class RetryBody(BaseModel):
    """How often, and how soon, to try a step again."""

    model_config = ConfigDict(extra="forbid")

    times: Times = 0
    delay: Seconds = 1.0
    factor: float = Field(2.0, strict=True, ge=1, le=1000, allow_inf_nan=False)
    longest: Seconds = 300.0


Retries = Annotated[
    RetryBody,
    BeforeValidator(_retry, json_schema_input_type=RetryBody | Times),
]


class StepBody(BaseModel):
    """One step."""

    model_config = ConfigDict(extra="forbid")

    run: ShellText
    needs: list[str] = []
    env: Variables = {}
    retries: Retries = RetryBody()
    timeout: Timeout | None = None
    when: When = When.SUCCESS
    nice: int = Field(0, strict=True, ge=0, le=19)
    memory_limit: Bytes | None = None
    cpu_limit: Count | None = None
    process_limit: Count | None = None
    priority: int = Field(0, strict=True, ge=-1000, le=1000)
    group: Name | None = None


class DocumentBody(BaseModel):
    """A document as written; `steps` by name."""

    model_config = ConfigDict(extra="forbid")

    description: Annotated[str, Field(max_length=10_000)] = ""
    env: Variables = {}
    steps: dict[StepName, StepBody] = Field(min_length=1, max_length=MAX_STEPS)


def keys_at(location: tuple[Any, ...]) -> list[str]:
    """The keys allowed where a validation error says one is not."""
    owner: type[BaseModel] = DocumentBody
    if location[0] == "steps":
        owner = RetryBody if "retries" in location[2:-1] else StepBody
    return list(owner.model_fields)
