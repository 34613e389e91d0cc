"""Parameters that several routes share: paging, and where to go on in a log."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Literal

from fastapi import Depends, Query

from fastapi_app.errors import InvalidRunError
from fastapi_app.models import Stream

Limit = Annotated[int, Query(ge=1, le=1000, description="At most so many items")]
Cursor = Annotated[str | None, Query(description="`next_cursor` of the page before")]


@dataclass(frozen=True, slots=True)
class LogPosition:
    """Which streams, and how many bytes of each to skip."""

    streams: Sequence[Stream]
    offsets: dict[Stream, int]


def log_position(
    stream: Annotated[Literal["all", "stdout", "stderr"], Query()] = "all",
    offset: Annotated[
        str,
        Query(
            pattern=r"^\d{1,18}(,\d{1,18})?$",
            description="Bytes to skip of the stream asked for (of stdout with `all`), or `N,M` "
            "for stdout and stderr",
        ),
    ] = "0",
) -> LogPosition:
    """Read `stream` and `offset` together."""
    first, _, second = offset.partition(",")
    if stream == "all":
        return LogPosition(
            tuple(Stream), {Stream.STDOUT: int(first), Stream.STDERR: int(second or 0)}
        )
    if second:
        raise InvalidRunError("offset=N,M gives both streams; ask for stream=all, or give one N.")
    return LogPosition((Stream(stream),), {Stream(stream): int(first)})


Position = Annotated[LogPosition, Depends(log_position)]
