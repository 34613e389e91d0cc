"""Old JSON from new models: pure functions, byte for byte what the old stack writes."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from compat.legacy_json import Reply, dumps, reply, reply_in_pieces
from fastapi_app.models import Command, ProcessUsage, Run, RunStatus, Snapshot, Stream
from fastapi_app.services.processes import KILLED
from fastapi_app.services.runs import RunService
from fastapi_app.supervision import ManagedProcess
from legacy_flask.views import moment

VERSION = "1.0.0"
SERVICE = "MCLI Daemon"
TIMED_OUT = -1
INLINE = 1024 * 1024
"""Bytes of each stream up to which an answer is built in memory; longer ones go out in pieces."""
WORKFLOW_STATUS = {
    RunStatus.QUEUED: "running",
    RunStatus.RUNNING: "running",
    RunStatus.COMPLETED: "completed",
    RunStatus.CANCELLED: "stopped",
}
PROCESS_STATUS = {
    RunStatus.QUEUED: "running",
    RunStatus.RUNNING: "running",
    RunStatus.COMPLETED: "exited",
    RunStatus.CANCELLED: "stopped",
}


past = lru_cache(16_384)(moment)
"""The same for what is asked for again and again; writing it costs as much as the rest of a row."""


class StatusText:
    """`GET /status`, the most frequent call: all but its last field is written once a state.

    `config` is the object of that name in the answer.
    """

    def __init__(self, config: Mapping[str, object]) -> None:
        self._config = config
        self._state: Snapshot | None = None
        self._head = b""

    def reply(self, now: Snapshot, uptime: float) -> Reply:
        """The answer; `uptime` is seconds."""
        if now is not self._state:
            self._state, self._head = now, self._written(now)
        return Reply(200, b"%b%b}\n" % (self._head, _thousandths(uptime)))

    def _written(self, now: Snapshot) -> bytes:
        fields = {
            "running": now.daemon_running,
            "active_commands": now.active_executes,
            "active_workflows": [
                {"id": w.id, "name": w.name, "status": workflow_status(w.status), "pid": w.pid}
                for w in now.active_workflows
            ],
            "command_history_count": now.total_executes,
            "config": self._config,
        }
        # In the order of the keys this one is the last.
        return dumps(fields)[:-2] + b',"uptime_seconds":'


def _thousandths(seconds: float) -> bytes:
    """What JSON makes of it rounded to three places, at a quarter of the cost."""
    text = b"%d.%03d" % divmod(round(seconds * 1000), 1000)
    return text if text[-1:] != b"0" else text.rstrip(b"0").ljust(text.index(b".") + 2, b"0")


def outcome(run: Run, timeout: float, runs: RunService) -> Reply:
    """`POST /execute`: how the command ended, and what it printed."""
    fields = outcome_fields(run, timeout)
    return with_output(fields, run, runs, stdout="output", stderr="error")


def outcome_fields(run: Run, timeout: float) -> dict[str, object]:
    """The same without what it printed. `timeout` as the request or the settings gave it."""
    success = run.status is RunStatus.COMPLETED
    fields: dict[str, object] = {
        "success": success,
        "returncode": TIMED_OUT if run.status is RunStatus.TIMED_OUT else run.returncode,
        "execution_time_ms": round(((run.finished_at or 0) - (run.started_at or 0)) * 1000),
        "status": "completed" if success else "failed",
    }
    if run.status is RunStatus.TIMED_OUT:
        fields["error"] = f"Command timed out after {timeout} seconds"
    elif run.pid is None:
        fields["error"] = run.reason
    return fields


def with_output(
    fields: dict[str, object], run: Run, runs: RunService, *, stdout: str, stderr: str
) -> Reply:
    """An object with what a run printed, under these keys unless they are set already."""
    if max(run.stdout_bytes, run.stderr_bytes) <= INLINE:
        output = runs.output(run, INLINE)
        texts = {
            stdout: output.stdout,
            stderr: output.stderr,
        }
        return reply(**{**texts, **fields})
    streams = {stdout: Stream.STDOUT, stderr: Stream.STDERR}
    return reply_in_pieces(
        fields,
        {
            key: runs.output_pieces(run, stream)
            for key, stream in streams.items()
            if key not in fields
        },
    )


def command(stored: Command) -> dict[str, Any]:
    """A stored command without its code."""
    return {
        "id": stored.id,
        "name": stored.name,
        "description": stored.description,
        "language": str(stored.language),
        "group": stored.group or None,
        "tags": list(stored.tags),
        "created_at": past(stored.created_at),
        "updated_at": past(stored.updated_at),
        "execution_count": stored.execution_count,
        "last_executed": past(stored.last_executed),
        "is_active": stored.is_active,
    }


def workflow_status(status: RunStatus) -> str:
    """The contract's word for where a workflow stands."""
    return WORKFLOW_STATUS.get(status, "failed")


def process_status(managed: ManagedProcess) -> str:
    """The contract's word for a process, derived from its latest run."""
    run = managed.run
    if run is None:
        return "created"
    if run.status is RunStatus.CANCELLED and run.reason == KILLED:
        return "killed"
    return PROCESS_STATUS.get(run.status, "failed")


def process(managed: ManagedProcess) -> dict[str, Any]:
    """A managed process as lists show it."""
    described, run = managed.process, managed.run
    state = process_status(managed)
    return {
        "id": described.id,
        "name": described.name,
        "command": described.command,
        "args": list(described.args),
        "status": state,
        "pid": run.pid if run is not None and state == "running" else None,
        "exit_code": run.returncode if run is not None else None,
        "created_at": moment(described.created_at),
        "started_at": moment(run.started_at) if run is not None else None,
        "finished_at": moment(run.finished_at) if run is not None else None,
    }


def process_in_full(managed: ManagedProcess, usage: ProcessUsage | None) -> dict[str, Any]:
    """A managed process with its surroundings and what it uses."""
    return {
        **process(managed),
        "working_dir": managed.process.working_dir,
        "environment": dict(managed.process.environment),
        "cpu_percent": round(usage.cpu_percent, 1) if usage else None,
        "memory_mb": round(usage.memory_mb, 2) if usage else None,
    }
