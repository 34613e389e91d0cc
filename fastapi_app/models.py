"""What the application talks about: runs, commands, processes. Frozen, and free of any I/O."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Generic, TypeVar

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
FAILURES = frozenset({RunStatus.FAILED, RunStatus.TIMED_OUT, RunStatus.LOST})


class RunKind(StrEnum):
    """What asked for the run."""

    EXECUTE = "execute"
    WORKFLOW = "workflow"
    STEP = "step"
    PROCESS = "process"


class Language(StrEnum):
    """What a stored command may be written in.

    TOML and YAML are documents of steps; the old daemon knows only the first four.
    """

    SHELL = "shell"
    PYTHON = "python"
    NODE = "node"
    LUA = "lua"
    TYPESCRIPT = "typescript"
    NOTEBOOK = "notebook"
    TOML = "toml"
    YAML = "yaml"

    @property
    def has_steps(self) -> bool:
        return self in {Language.TOML, Language.YAML}


class FoundBy(StrEnum):
    """How a search has come upon a command."""

    TEXT = "text"
    NAME = "name"


class When(StrEnum):
    """Which ends of the runs it waits for let a run start."""

    SUCCESS = "success"
    FAILURE = "failure"
    ANY = "any"


class Stream(StrEnum):
    """The two streams of output a run has."""

    STDOUT = "stdout"
    STDERR = "stderr"


@dataclass(frozen=True, slots=True)
class Retry:
    """How often, and after how many seconds, a run that failed is tried again.

    Attempt `n` waits `delay * factor ** (n - 1)` seconds, at most `longest`, give or take half of
    that at random.
    """

    times: int = 0
    delay: float = 1.0
    factor: float = 2.0
    longest: float = 300.0


@dataclass(frozen=True, slots=True)
class Limits:
    """What a run may use, set by the operating system; `None` is no limit.

    `nice` is 0 to 19; `memory` is bytes of address space of each process, `cpu` seconds of
    processor time of each process, `processes` how many its user may have (not held for root).
    """

    nice: int = 0
    memory: int | None = None
    cpu: int | None = None
    processes: int | None = None


@dataclass(frozen=True, slots=True)
class RunOptions:
    """How a run is to be run, fixed when it is accepted.

    Higher priorities start first. `after` are ids of runs it waits for. `secrets` names the
    variables of its environment whose values nobody may see. `stdin` keeps its standard input
    open. `steps` is the number of steps of a run that is a whole document of them; it has no
    process of its own. `retry_of` is the ended run this one repeats.
    """

    priority: int = 0
    after: tuple[str, ...] = ()
    when: When = When.SUCCESS
    retry: Retry = field(default_factory=Retry)
    limits: Limits = field(default_factory=Limits)
    secrets: tuple[str, ...] = ()
    stdin: bool = False
    steps: int = 0
    retry_of: str | None = None


DEFAULT_GROUP = "default"
DEFAULT_OPTIONS = RunOptions()


@dataclass(frozen=True)
class Run:
    """One execution of a command. Times are Unix seconds, UTC; `timeout` is seconds.

    `pid` leads its own session and process group; with `pid_started` (clock ticks since boot) and
    `boot_id` it names one process for ever. `owner` names the server that watches the run.
    `returncode` is negative when a signal ended the run. `not_before` is when the next attempt is
    due; `parent_id` is the run whose step this is.
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
    group: str = DEFAULT_GROUP
    parent_id: str | None = None
    not_before: float | None = None
    options: RunOptions = DEFAULT_OPTIONS

    def but(self, **changes: Any) -> Run:  # noqa: ANN401 - a value for each field named
        """The same with some fields changed; for the many fields here far cheaper than `replace`.

        Raises:
            TypeError: there is no such field.
        """
        if unknown := changes.keys() - self.__dict__.keys():
            raise TypeError(f"a run has no {', '.join(unknown)}")
        other = object.__new__(Run)
        other.__dict__.update(self.__dict__, **changes)
        return other


@dataclass(frozen=True, slots=True)
class RunRequest:
    """How a caller wants a run. `secrets` are variables like those of `env`, but never shown.

    `timeout` is seconds. `params` are values of a stored command's parameters. A `bare` run of one
    gets neither its parameters nor its defaults: that is how the old contract has it. `run_id` is
    for who must know the run before it is accepted.
    """

    env: Mapping[str, str] = field(default_factory=dict)
    secrets: Mapping[str, str] = field(default_factory=dict)
    cwd: str | None = None
    timeout: float | None = None
    group: str | None = None
    options: RunOptions = DEFAULT_OPTIONS
    params: Mapping[str, Any] = field(default_factory=dict)
    bare: bool = False
    run_id: str | None = None


@dataclass(frozen=True, slots=True)
class RunDefaults:
    """What a run of a stored command gets unless its start says otherwise. `timeout` is seconds."""

    timeout: float | None = None
    env: Mapping[str, str] = field(default_factory=dict)
    cwd: str | None = None
    group: str | None = None


NO_DEFAULTS = RunDefaults()


@dataclass(frozen=True, slots=True)
class Transition:
    """A run has come to stand at `status`. `seq` grows with every transition of any run."""

    seq: int
    run_id: str
    attempt: int
    status: RunStatus
    at: float
    reason: str | None
    kind: RunKind
    name: str
    group: str
    returncode: int | None


@dataclass(frozen=True, slots=True)
class RunFilter:
    """Which runs: every field that is given must match. Times are Unix seconds.

    `since` and `until` are of when a run was accepted, `finished_before` of its end.
    """

    kinds: Collection[RunKind] = ()
    statuses: Collection[RunStatus] = ()
    name: str | None = None
    group: str | None = None
    parent_id: str | None = None
    since: float | None = None
    until: float | None = None
    finished_before: float | None = None


@dataclass(frozen=True, slots=True)
class Group:
    """Runs that share `slots` (`None`: no limit of their own). A paused group starts nothing."""

    name: str
    slots: int | None = None
    paused: bool = False


@dataclass(frozen=True, slots=True)
class Command:
    """A stored script. `group` is "" when it has none; `defaults.group` is another: of slots.

    `parameters` is a JSON schema of what a start may give it; `None` leaves that to the header.
    """

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
    defaults: RunDefaults = NO_DEFAULTS
    parameters: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class CommandVersion:
    """What a command was at one time. `version` counts from 1; `at` is Unix seconds.

    `author` and `note` are "" for what the old stack or another program has written.
    """

    version: int
    at: float
    author: str
    note: str
    name: str
    code: str
    language: Language
    description: str
    group: str
    tags: tuple[str, ...]
    defaults: RunDefaults
    parameters: Mapping[str, Any] | None


@dataclass(frozen=True, slots=True)
class CommandFilter:
    """Which commands: every field that is given must match, and all of the tags."""

    active: bool | None = None
    language: Language | None = None
    group: str | None = None
    tags: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class Found:
    """A command that a search has found, by its text or by a name like the one asked for.

    The higher the score the better, among those of one answer that were found alike.
    """

    command: Command
    score: float
    by: FoundBy


@dataclass(frozen=True, slots=True)
class CommandStats:
    """How the runs of a command went that are still known. Times are seconds.

    Durations are of runs that ended by themselves; percentiles are those of a run (nearest rank).
    """

    runs: int
    statuses: Mapping[RunStatus, int]
    mean: float | None
    p50: float | None
    p95: float | None
    last_failure: Run | None

    @property
    def success_rate(self) -> float | None:
        """Completed ones among those that completed or failed; cancelled ones say nothing."""
        completed = self.statuses.get(RunStatus.COMPLETED, 0)
        ended = completed + sum(self.statuses.get(status, 0) for status in FAILURES)
        return completed / ended if ended else None


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
class AuditEntry:
    """Somebody did something that matters for security. `at` is Unix seconds.

    `action` is `noun.verb`, `outcome` done, denied or failed. `principal` is who, for ever, and
    `name` the same for people: both are "" when nobody is known, as `address` and `request_id` are
    for what no request asked for.
    """

    seq: int
    at: float
    action: str
    subject: str
    outcome: str
    detail: str
    principal: str
    name: str
    address: str
    request_id: str


@dataclass(frozen=True, slots=True)
class AuditFilter:
    """Which entries: every field that is given must match. Times are Unix seconds."""

    action: str | None = None
    principal: str | None = None
    subject: str | None = None
    outcome: str | None = None
    since: float | None = None
    until: float | None = None


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
    statuses: Mapping[RunStatus, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class LogPiece:
    """A decoded piece of one stream; `offset` is the byte position behind it in its file."""

    stream: Stream
    text: str
    offset: int
