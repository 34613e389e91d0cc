"""Parameters that several routes share: paging, and where to go on in a log."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Literal

from fastapi import Depends, Header, Query

from fastapi_app.errors import InvalidRunError
from fastapi_app.models import (
    AuditFilter,
    CommandFilter,
    Language,
    RunFilter,
    RunKind,
    RunStatus,
    Stream,
)

Limit = Annotated[int, Query(ge=1, le=1000, description="At most so many items")]
_MOMENT = "Unix seconds or ISO 8601"
Cursor = Annotated[str | None, Query(description="`next_cursor` of the page before")]


@dataclass(frozen=True, slots=True)
class LogPosition:
    """Which streams, and how many bytes of each to skip."""

    streams: Sequence[Stream]
    offsets: dict[Stream, int]


def offsets_of(text: str) -> dict[Stream, int]:
    """Read `N,M`: bytes of stdout and stderr; what is left out is 0."""
    out, _, err = text.partition(",")
    return {Stream.STDOUT: int(out or 0), Stream.STDERR: int(err or 0)}


async def log_position(
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
    if stream == "all":
        return LogPosition(tuple(Stream), offsets_of(offset))
    if "," in offset:
        raise InvalidRunError("offset=N,M gives both streams; ask for stream=all, or give one N.")
    return LogPosition((Stream(stream),), {Stream(stream): int(offset)})


LIFE = r"^([^,]{1,36}(,\d{1,18}){0,2})?$"


@dataclass(frozen=True, slots=True)
class Life:
    """One of the runs of a process, and how many bytes of each stream to skip."""

    run_id: str
    offsets: dict[Stream, int]


async def life(
    since: Annotated[
        str,
        Query(
            pattern=LIFE,
            description="`RUN,N,M`: from the run with that id on, N bytes of its stdout and M of "
            "its stderr skipped; whatever `lines` is",
        ),
    ] = "",
    last_event_id: Annotated[
        str, Header(alias="Last-Event-ID", pattern=LIFE, description="As `since`, wins over it")
    ] = "",
) -> Life | None:
    """Read from which run of a process on, and behind what of it."""
    run_id, _, offsets = (last_event_id or since).partition(",")
    return Life(run_id, offsets_of(offsets)) if run_id else None


Statuses = Annotated[list[RunStatus], Query(description="May be repeated")]
Kinds = Annotated[list[RunKind], Query(description="Neither steps nor processes without it")]
DEFAULT_KINDS = (RunKind.EXECUTE, RunKind.WORKFLOW)


async def run_filter(
    status: Annotated[list[RunStatus], Query(description="May be repeated")] = [],  # noqa: B006
    kind: Annotated[
        list[RunKind], Query(description="Neither steps nor processes without it")
    ] = [],  # noqa: B006
    name: Annotated[str | None, Query(description="Of the stored command")] = None,
    group: Annotated[str | None, Query()] = None,
    parent: Annotated[str | None, Query(description="Only the steps of this run")] = None,
    since: Annotated[
        str | None, Query(description=f"{_MOMENT}; runs accepted then or later")
    ] = None,
    until: Annotated[str | None, Query(description=f"{_MOMENT}; runs accepted before")] = None,
) -> RunFilter:
    """Read which runs are wanted."""
    return RunFilter(
        kinds=kind or ([RunKind.STEP] if parent else DEFAULT_KINDS),
        statuses=status,
        name=name,
        group=group,
        parent_id=parent,
        since=_moment("since", since),
        until=_moment("until", until),
    )


async def audit_filter(
    action: Annotated[str | None, Query(examples=["command.create"])] = None,
    principal: Annotated[str | None, Query(examples=["user:ann"])] = None,
    subject: Annotated[str | None, Query(description="What it was done to")] = None,
    outcome: Annotated[Literal["done", "denied", "failed"] | None, Query()] = None,
    since: Annotated[str | None, Query(description=f"{_MOMENT}; then or later")] = None,
    until: Annotated[str | None, Query(description=f"{_MOMENT}; before")] = None,
) -> AuditFilter:
    """Read which entries of the audit log are wanted."""
    return AuditFilter(
        action=action,
        principal=principal,
        subject=subject,
        outcome=outcome,
        since=_moment("since", since),
        until=_moment("until", until),
    )


async def command_filter(
    include_inactive: Annotated[bool, Query(alias="all", description="Inactive ones too")] = False,
    active: Annotated[
        bool | None, Query(description="Only those, or with `false` only the others; wins over all")
    ] = None,
    language: Annotated[Language | None, Query()] = None,
    group: Annotated[str | None, Query()] = None,
    tag: Annotated[list[str], Query(description="May be repeated: all of them")] = [],  # noqa: B006
) -> CommandFilter:
    """Read which commands are wanted."""
    if active is None and not include_inactive:
        active = True
    return CommandFilter(active=active, language=language, group=group, tags=tag)


async def since_moment(
    since: Annotated[
        str | None, Query(description=f"{_MOMENT}; runs accepted then or later")
    ] = None,
) -> float | None:
    """Read from when on."""
    return _moment("since", since)


def _moment(name: str, text: str | None) -> float | None:
    if text is None:
        return None
    try:
        moment = float(text)
    except ValueError:
        try:
            # In a query a plus sign that was not escaped arrives as a space.
            zoned = text.replace(" ", "+") if "T" in text else text
            moment = datetime.fromisoformat(zoned).timestamp()
        except (ValueError, OverflowError):
            moment = math.nan
    if not math.isfinite(moment):
        raise InvalidRunError(
            f"{name} is no moment: {text!r}; use Unix seconds or ISO 8601, 2026-11-22T12:00:00Z"
        )
    return moment


Wanted = Annotated[RunFilter, Depends(run_filter)]
WantedEntries = Annotated[AuditFilter, Depends(audit_filter)]
Position = Annotated[LogPosition, Depends(log_position)]
SinceLife = Annotated[Life | None, Depends(life)]
WantedCommands = Annotated[CommandFilter, Depends(command_filter)]
Since = Annotated[float | None, Depends(since_moment)]
