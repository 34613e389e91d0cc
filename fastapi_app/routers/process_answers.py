"""Managed processes as clients see them, in answers and in messages."""

from __future__ import annotations

import time
from dataclasses import asdict

from fastapi_app.models import Run, RunStatus
from fastapi_app.schemas.processes import ProcessAnswer, ProcessEvent, ProcessOutcome
from fastapi_app.services.process_feed import News, Removed, Snapshot
from fastapi_app.services.processes import MIB
from fastapi_app.services.runs import Output
from fastapi_app.supervision import ManagedProcess, ProcessState, Supervision, Usage


def process_answer(managed: ManagedProcess, cost: Usage | None = None) -> ProcessAnswer:
    """A process; with what it costs, if that was looked at."""
    return ProcessAnswer.model_validate(_values(managed, cost))


def process_outcome(managed: ManagedProcess, output: Output | None) -> ProcessOutcome:
    """A process that was just started, with what it has printed once it is over."""
    printed: dict[str, object] = {"output": None, "error": None, "truncated": None}
    if output is not None:
        printed = {
            "output": output.stdout,
            "error": output.stderr,
            "truncated": output.truncated,
        }
    return ProcessOutcome.model_validate(_values(managed, None) | printed)


def _values(managed: ManagedProcess, cost: Usage | None) -> dict[str, object]:
    process, run = managed.process, managed.run
    known = managed.known or Supervision(process.id)
    plan, state = known.plan, managed.state
    up = _uptime(run)
    return {
        "id": process.id,
        "name": process.name,
        "command": process.command,
        "args": list(process.args),
        "cwd": process.working_dir,
        "env": dict(process.environment),
        "restart": plan.restart,
        "backoff": asdict(plan.backoff),
        "health_check": asdict(plan.health) if plan.health else None,
        "autostart": plan.autostart,
        "state": state,
        "health": known.health if state is ProcessState.RUNNING else None,
        "reason": _reason(managed),
        "pid": run.pid if run and run.status is RunStatus.RUNNING else None,
        "returncode": run.returncode if run else None,
        "run_id": run.id if run else None,
        "restarts": known.restarts,
        "failures": known.failures,
        "next_start": run.not_before if run and state is ProcessState.BACKOFF else None,
        "uptime_seconds": up,
        "created_at": process.created_at,
        "started_at": run.started_at if run else None,
        "finished_at": run.finished_at if run else None,
        "cpu_percent": round(100 * cost.cpu_seconds / max(up or 0, 0.01), 1) if cost else None,
        "cpu_seconds": cost.cpu_seconds if cost else None,
        "memory_mb": round(cost.memory_bytes / MIB, 2) if cost else None,
        "processes": cost.processes if cost else None,
    }


def process_message(news: News) -> str:
    """A WebSocket message."""
    now = time.time()
    if isinstance(news, Snapshot):
        found = [process_answer(managed) for managed in news.processes]
        return ProcessEvent(type="snapshot", timestamp=now, processes=found).model_dump_json(
            exclude_unset=True
        )
    if isinstance(news, Removed):
        event = ProcessEvent(type="removed", timestamp=now, id=news.process_id)
    else:
        event = ProcessEvent(type="process", timestamp=now, process=process_answer(news))
    return event.model_dump_json(exclude_unset=True)


def _uptime(run: Run | None) -> float | None:
    if run is None or run.status is not RunStatus.RUNNING or run.started_at is None:
        return None
    # The clock may have been set back since.
    return max(0.0, round(time.time() - run.started_at, 3))


def _reason(managed: ManagedProcess) -> str | None:
    run, known = managed.run, managed.known
    if run is None:
        return None
    if run.status is RunStatus.RUNNING:
        return known.health_detail if known else None
    if managed.state is ProcessState.GAVE_UP and known:
        how = run.reason or f"exit code {run.returncode}"
        return f"gave up after {known.failures} restarts in a row; the last: {how}"
    return run.reason
