"""What became of a run, as pure functions from what was seen to the run's next state."""

from __future__ import annotations

import signal
import time
from dataclasses import replace

from fastapi_app.engine.identity import boot_id, own_identity
from fastapi_app.engine.process import Spawned
from fastapi_app.engine.traces import Trace
from fastapi_app.errors import SpawnFailedError
from fastapi_app.models import Run, RunStatus


def started(run: Run, spawned: Spawned) -> Run:
    """The run with the identity of its process."""
    return replace(
        run,
        status=RunStatus.RUNNING,
        pid=spawned.pid,
        pid_started=spawned.start_ticks,
        boot_id=boot_id(),
        owner=own_identity(),
        started_at=time.time() - (time.monotonic() - spawned.asked_at),
    )


def found_started(run: Run, trace: Trace) -> Run:
    """The run as its trace shows it was started, when the database never heard of that."""
    return replace(
        run,
        status=RunStatus.RUNNING,
        pid=trace.pid,
        pid_started=trace.start_ticks,
        boot_id=boot_id(),
        started_at=trace.began,
    )


def refused(run: Run, error: SpawnFailedError) -> Run:
    """The operating system did not start it."""
    now = time.time()
    return replace(
        run,
        status=RunStatus.FAILED,
        reason=error.detail,
        returncode=error.returncode,
        started_at=run.started_at or now,
        finished_at=now,
    )


def ended(run: Run, code: int | None, seconds: float, *, timed_out: bool) -> Run:
    """The run after `seconds` on the monotonic clock; no code means nobody saw its end."""
    # The wall clock may jump; how long a run took must not.
    finished_at = (run.started_at or time.time()) + seconds
    status, reason = RunStatus.FAILED if code else RunStatus.COMPLETED, None
    if timed_out:
        status, reason = RunStatus.TIMED_OUT, f"timed out after {run.timeout:g} seconds"
    elif code is None:
        status, reason = RunStatus.LOST, "the spawn helper ended before the run did"
    return replace(run, status=status, reason=reason, returncode=code, finished_at=finished_at)


def from_trace(run: Run, trace: Trace) -> Run:
    """How a run ended by what its helper wrote down."""
    if trace.exit_code is None:
        reason = "the server that watched it ended, and nothing tells how the run ended"
        return replace(run, status=RunStatus.LOST, reason=reason, finished_at=time.time())
    if trace.refused:
        return replace(
            run,
            status=RunStatus.FAILED,
            reason="the operating system refused to start it",
            returncode=trace.exit_code,
            finished_at=trace.finished_at,
        )
    began = run.started_at or trace.began or time.time()
    finished_at = trace.finished_at or time.time()
    timed_out = (
        run.timeout is not None
        and trace.exit_code == -signal.SIGKILL
        and finished_at - began >= run.timeout
    )
    return ended(run, trace.exit_code, finished_at - began, timed_out=timed_out)
