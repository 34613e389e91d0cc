"""What is scheduled: jobs, the slots of their schedules, and what becomes of them."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from fastapi_app.models import RunStatus

HTTP_CALL = "MCLI_HTTP_CALL"
"""The variable in which the child that makes an HTTP call finds what to ask."""
SERIALIZED = "whsec_"
"""What a secret begins with that is a key in base64."""


class ScheduleKind(StrEnum):
    """How the times of a schedule are given."""

    CRON = "cron"
    EVERY = "every"
    AT = "at"


class TaskKind(StrEnum):
    """What a job does."""

    SHELL = "shell"
    COMMAND = "command"
    WORKFLOW = "workflow"
    HTTP = "http"
    CLEANUP = "cleanup"


class CatchUp(StrEnum):
    """Which of the slots that passed while nobody planned are made up for."""

    NONE = "none"
    LATEST = "latest"
    ALL = "all"


class Overlap(StrEnum):
    """What becomes of a slot whose job still runs."""

    SKIP = "skip"
    QUEUE = "queue"
    ALLOW = "allow"


class SlotState(StrEnum):
    """Where a slot stands. The first four go on; of `fired` the run tells more."""

    WAITING = "waiting"
    CLAIMED = "claimed"
    FIRED = "fired"
    RUNNING = "running"
    COMPLETED = "completed"
    FAILED = "failed"
    SKIPPED = "skipped"
    MISSED = "missed"

    @property
    def settled(self) -> bool:
        """Whether nothing more becomes of it."""
        return self not in UNSETTLED


UNSETTLED = frozenset({SlotState.WAITING, SlotState.CLAIMED, SlotState.FIRED, SlotState.RUNNING})


@dataclass(frozen=True, slots=True)
class Schedule:
    """When a job is due. `text` is a cron expression, a period, or a moment; `zone` is IANA's."""

    kind: ScheduleKind
    text: str
    zone: str = "UTC"


@dataclass(frozen=True, slots=True)
class Policy:
    """How slots are treated. Seconds throughout.

    A slot that is older than `window` is not made up for. `jitter` is the most by which a slot is
    put off, always the same for the same slot. `start` and `end` are Unix seconds: no slot lies
    before the one or behind the other. After `max_runs` slots that were fired there are no more.
    """

    catch_up: CatchUp = CatchUp.LATEST
    window: float = 86_400.0
    overlap: Overlap = Overlap.SKIP
    jitter: float = 0.0
    start: float | None = None
    end: float | None = None
    max_runs: int | None = None


@dataclass(frozen=True, slots=True)
class Webhook:
    """Where failures are told, signed with `secret` when there is one."""

    url: str
    secret: str | None = None


def signing_key(secret: str) -> bytes:
    """The key that a secret stands for (standardwebhooks.com): base64 behind `whsec_`, else itself.

    Raises:
        ValueError: what is behind `whsec_` is no base64, or not of 24 to 64 bytes.
    """
    if not secret.startswith(SERIALIZED):
        return secret.encode()
    try:
        key = base64.b64decode(secret.removeprefix(SERIALIZED), validate=True)
    except ValueError:
        key = b""
    if not 24 <= len(key) <= 64:
        raise ValueError(f"behind {SERIALIZED} there must be base64 of 24 to 64 bytes")
    return key


@dataclass(frozen=True, slots=True)
class Job:
    """Something that is done again and again, or once. Times are Unix seconds.

    `task` is what is to be done, as its kind needs it. `next_slot` is the next moment of the
    schedule and `due_at` the same with its jitter; both are `None` when there is none, or while
    the job is paused. `revision` grows with every change of the schedule or the policy.
    """

    id: str
    name: str
    schedule: Schedule
    kind: TaskKind
    task: Mapping[str, Any]
    created_at: float
    updated_at: float
    description: str = ""
    policy: Policy = field(default_factory=Policy)
    webhook: Webhook | None = None
    paused: bool = False
    next_slot: float | None = None
    due_at: float | None = None
    fired: int = 0
    revision: int = 1


@dataclass(frozen=True, slots=True)
class Slot:
    """One moment of a job, and what became of it. The id is also that of its run, if it has one.

    `at` is the moment of the schedule, `decided_at` when it was looked at. `manual` slots were
    asked for. `owner` is the server that claimed it.
    """

    id: str
    job_id: str
    at: float
    state: SlotState
    decided_at: float
    reason: str | None = None
    manual: bool = False
    owner: str | None = None
    finished_at: float | None = None


@dataclass(frozen=True, slots=True)
class Decided:
    """A slot as it was decided."""

    at: float
    state: SlotState
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class Plan:
    """What is to be done about a job now, and when to look at it again."""

    slots: Sequence[Decided]
    next_slot: float | None
    due_at: float | None
    fired: int


@dataclass(frozen=True, slots=True)
class Occupied:
    """What a job is at: slots at work, and slots that wait for these."""

    busy: int = 0
    waiting: int = 0


@dataclass(frozen=True, slots=True)
class JobRequest:
    """A job as somebody wants it."""

    name: str
    schedule: Schedule
    kind: TaskKind
    task: Mapping[str, Any]
    policy: Policy
    description: str = ""
    webhook: Webhook | None = None


@dataclass(frozen=True, slots=True)
class ShownSlot:
    """A slot, with how its run stands."""

    slot: Slot
    status: RunStatus | None
    returncode: int | None
