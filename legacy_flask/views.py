"""Rows as the contract shows them."""

from __future__ import annotations

import json
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import psutil

from legacy_flask import pids

if TYPE_CHECKING:
    from sqlalchemy import Row

    from legacy_flask.runner import Outcome

RUN_STATUS = {
    "queued": "running",
    "running": "running",
    "completed": "completed",
    "cancelled": "stopped",
}
PROCESS_STATUS = {
    None: "created",
    "queued": "running",
    "running": "running",
    "completed": "exited",
    "cancelled": "stopped",
}
MIB = 1024 * 1024


def moment(seconds: float | None) -> str | None:
    """Write Unix seconds as ISO 8601, UTC, with microseconds and offset."""
    if seconds is None:
        return None
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="microseconds")


def outcome(result: Outcome, timeout: float) -> dict[str, Any]:
    """Build the answer of `/execute`; `timeout` as the request or the settings gave it."""
    error = result.error
    if result.status == "timed_out":
        error = f"Command timed out after {timeout} seconds"
    success = result.status == "completed"
    return {
        "success": success,
        "output": result.output,
        "error": error,
        "returncode": result.returncode,
        "execution_time_ms": round(result.seconds * 1000),
        "status": "completed" if success else "failed",
    }


def command(row: Row[Any]) -> dict[str, Any]:
    """Show a stored command without its code."""
    return {
        "id": row.id,
        "name": row.name,
        "description": row.description,
        "language": row.language,
        "group": row.group_name or None,
        "tags": json.loads(row.tags),
        "created_at": moment(row.created_at),
        "updated_at": moment(row.updated_at),
        "execution_count": row.execution_count,
        "last_executed": moment(row.last_executed),
        "is_active": row.is_active,
    }


def run_status(run: Row[Any]) -> str:
    """Return the contract's word for the status of a workflow."""
    return RUN_STATUS.get(run.status, "failed")


def process_status(row: Row[Any]) -> str:
    """Return the contract's word for a process, derived from its latest run."""
    if row.run_status == "cancelled" and row.reason == "killed":
        return "killed"
    return PROCESS_STATUS.get(row.run_status, "failed")


def process(row: Row[Any]) -> dict[str, Any]:
    """Show a managed process as lists show it."""
    status = process_status(row)
    return {
        "id": row.id,
        "name": row.name,
        "command": row.command,
        "args": json.loads(row.args),
        "status": status,
        "pid": row.pid if status == "running" else None,
        "exit_code": row.returncode,
        "created_at": moment(row.created_at),
        "started_at": moment(row.started_at),
        "finished_at": moment(row.finished_at),
    }


def process_in_full(row: Row[Any]) -> dict[str, Any]:
    """Show a managed process with its surroundings and what it uses."""
    cpu_percent, memory_mb = _usage(row) if row.run_status == "running" else (None, None)
    return process(row) | {
        "working_dir": row.working_dir,
        "environment": json.loads(row.environment),
        "cpu_percent": cpu_percent,
        "memory_mb": memory_mb,
    }


def _usage(row: Row[Any]) -> tuple[float | None, float | None]:
    """Measure percent of one CPU on average since the start, and resident MiB."""
    if not pids.is_alive(row.pid, row.pid_started, row.boot_id):
        return None, None
    try:
        child = psutil.Process(row.pid)
        with child.oneshot():
            times = child.cpu_times()
            resident = child.memory_info().rss
    except psutil.Error:
        return None, None
    elapsed = max(time.time() - row.started_at, 0.001)
    return round(100 * (times.user + times.system) / elapsed, 1), round(resident / MIB, 2)
