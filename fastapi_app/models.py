"""What the application talks about: runs, commands, processes. Frozen, and free of any I/O."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Generic, TypeVar

T = TypeVar("T")


class RunStatus(StrEnum):
    """Where a run stands. The last five are final."""

    QUEUED = "queued"
    RUNNING = "running"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"
    TIMED_OUT = "timed_out"
    LOST = "lost"

    @property
    def final(self) -> bool:
        return self not in ACTIVE


ACTIVE = frozenset({RunStatus.QUEUED, RunStatus.RUNNING})


class RunKind(StrEnum):
    """What asked for the run."""

    EXECUTE = "execute"
    WORKFLOW = "workflow"
    PROCESS = "process"


class Language(StrEnum):
    """What a stored command may be written in."""

    SHELL = "shell"
    PYTHON = "python"
    NODE = "node"
    LUA = "lua"


class Stream(StrEnum):
    """The two streams of output a run has."""

    STDOUT = "stdout"
    STDERR = "stderr"


@dataclass(frozen=True, slots=True)
class Run:
    """One execution of a command. Times are Unix seconds, UTC; `timeout` is seconds.

    `pid` leads its own session and process group; with `pid_started` (clock ticks since boot) and
    `boot_id` it names one process for ever. `owner` names the server that watches the run.
    `returncode` is negative when a signal ended the run.
    """

    id: str
    kind: RunKind
    command: str
    created_at: float
    name: str = ""
    command_id: str | None = None
    process_id: str | None = None
    args: tuple[str, ...] = ()
    env: Mapping[str, str] = field(default_factory=dict)
    cwd: str | None = None
    timeout: float | None = None
    status: RunStatus = RunStatus.QUEUED
    reason: str | None = None
    attempt: int = 1
    stop_requested: bool = False
    returncode: int | None = None
    pid: int | None = None
    pid_started: int | None = None
    boot_id: str | None = None
    owner: str | None = None
    started_at: float | None = None
    finished_at: float | None = None
    stdout_bytes: int = 0
    stderr_bytes: int = 0
    truncated: bool = False


@dataclass(frozen=True, slots=True)
class Command:
    """A stored script. `group` is "" when it has none."""

    id: str
    name: str
    code: str
    language: Language
    created_at: float
    updated_at: float
    description: str = ""
    group: str = ""
    tags: tuple[str, ...] = ()
    execution_count: int = 0
    last_executed: float | None = None
    is_active: bool = True


@dataclass(frozen=True, slots=True)
class Process:
    """A managed process: what to run, and the run it was last started as."""

    id: str
    name: str
    command: str
    created_at: float
    args: tuple[str, ...] = ()
    working_dir: str | None = None
    environment: Mapping[str, str] = field(default_factory=dict)
    run_id: str | None = None


@dataclass(frozen=True, slots=True)
class ProcessUsage:
    """What a running process costs: percent of one core since its start, resident MiB now."""

    cpu_percent: float
    memory_mb: float


@dataclass(frozen=True, slots=True)
class Page(Generic[T]):
    """Some of a list, and where to go on (`None` at the end)."""

    items: Sequence[T]
    next_cursor: str | None


@dataclass(frozen=True, slots=True)
class ActiveWorkflow:
    """A workflow that is queued or running."""

    id: str
    name: str
    status: RunStatus
    pid: int | None


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The state of the whole service at one moment, as the database has it."""

    daemon_running: bool
    active_executes: int
    total_executes: int
    active_workflows: tuple[ActiveWorkflow, ...]
    running: int
    running_processes: int
    queued: int
    total: int


@dataclass(frozen=True, slots=True)
class LogPiece:
    """A decoded piece of one stream; `offset` is the byte position behind it in its file."""

    stream: Stream
    text: str
    offset: int
