"""Field types that say what a child process can be given."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Any

from pydantic import AfterValidator, Field, PlainSerializer, WithJsonSchema

# Linux gives one argument, and one environment entry, at most 128 KiB with its closing NUL
# (MAX_ARG_STRLEN); together they must stay below a quarter of the stack limit.
MAX_ARGUMENT = 128 * 1024 - 1
MAX_TOTAL = 1_000_000
SHORTEST_SECRET = 4
LONGEST_TIMEOUT = 31_536_000


def _for_child(value: str) -> str:
    if "\0" in value:
        raise ValueError("must not contain NUL characters")
    try:
        size = len(value.encode())
    except UnicodeEncodeError as error:
        raise ValueError("is not valid Unicode") from error
    if size > MAX_ARGUMENT:
        raise ValueError(
            f"is too long: {size} bytes, at most {MAX_ARGUMENT}; store a long script as a command"
        )
    return value


def _bounded(values: list[str]) -> list[str]:
    if sum(len(value.encode()) + 1 for value in values) > MAX_TOTAL:
        raise ValueError(f"is too long: at most {MAX_TOTAL} bytes together")
    return values


def _environment(values: dict[str, str]) -> dict[str, str]:
    for name, value in values.items():
        if not name or "=" in name:
            raise ValueError("names must not be empty or contain '='")
        _for_child(f"{name}={value}")
    _bounded([f"{name}={value}" for name, value in values.items()])
    return values


def _long_enough(values: dict[str, str]) -> dict[str, str]:
    for name, value in values.items():
        if len(value) < SHORTEST_SECRET:
            raise ValueError(
                f"the value of {name} is too short to be hidden: at least {SHORTEST_SECRET}"
                " characters; use `env` for what is no secret"
            )
    return values


def _iso(value: float) -> str:
    text = datetime.fromtimestamp(value, UTC).isoformat(timespec="microseconds")
    return text.replace("+00:00", "Z")


Text = Annotated[str, AfterValidator(_for_child)]
ShellText = Annotated[
    str,
    Field(min_length=1, examples=["echo hi"], description="Run by `/bin/sh -c`"),
    AfterValidator(_for_child),
]
Arguments = Annotated[
    list[Text], Field(examples=[["--fast", "3"]], description="argv"), AfterValidator(_bounded)
]
Environment = Annotated[
    dict[str, Text],
    Field(examples=[{"STAGE": "test"}], description="Added to the server's environment"),
    AfterValidator(_environment),
]
Secrets = Annotated[
    dict[str, Text],
    Field(examples=[{"TOKEN": "s3cret"}], description="As `env`; the values are never shown"),
    AfterValidator(_environment),
    AfterValidator(_long_enough),
]
After = Annotated[
    list[Text], Field(max_length=1000, description="Ids of runs that are to be over before")
]
Parameters = Annotated[
    dict[str, Any],
    Field(
        max_length=64,
        examples=[{"count": 3}],
        description="Values of the parameters that the command declares",
    ),
]
Priority = Annotated[
    int, Field(strict=True, ge=-1000, le=1000, description="Higher ones start first")
]
Nice = Annotated[int, Field(strict=True, ge=0, le=19, description="19 gives way to all others")]
Grace = Annotated[float, Field(strict=True, ge=0, le=LONGEST_TIMEOUT, allow_inf_nan=False)]
Timeout = Annotated[
    float,
    Field(
        strict=True,
        gt=0,
        le=LONGEST_TIMEOUT,
        allow_inf_nan=False,
        examples=[60],
        description="Seconds",
    ),
]
Name = Annotated[
    str,
    Field(min_length=1, max_length=200, examples=["deploy"]),
    Field(pattern=r"^[^\x00-\x1f\x7f/]+$", description="No control characters and no slash"),
    AfterValidator(_for_child),
]
GroupName = Annotated[Name, Field(description="Shares the slots of this group")]
Flag = Annotated[bool, Field(strict=True)]
Timestamp = Annotated[
    float,
    PlainSerializer(_iso, return_type=str),
    WithJsonSchema(
        {"type": "string", "format": "date-time", "examples": ["2026-11-22T02:10:39.123456Z"]}
    ),
]


def iso_now() -> str:
    """This moment, as every answer writes times."""
    return _iso(datetime.now(UTC).timestamp())
