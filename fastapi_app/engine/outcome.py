"""What became of a run, as pure functions from what was seen to the run's next state."""

from __future__ import annotations

import random
import signal
import time

from fastapi_app.engine.identity import boot_id, own_identity
from fastapi_app.engine.limits import explain
from fastapi_app.engine.process import Spawned
from fastapi_app.engine.traces import Trace
from fastapi_app.errors import SpawnFailedError
from fastapi_app.models import Retry, Run, RunStatus

TICK = 0.02
"""Seconds by which a run may be ended early: its age is known to a tick of the kernel's clock."""
LARGEST_POWER = 64
"""Beyond it the back-off is at its longest anyway, and numbers must not overflow."""


def started(run: Run, spawned: Spawned) -> Run:
    """The run with the identity of its process."""
    return run.but(
        status=RunStatus.RUNNING,
        pid=spawned.pid,
        pid_started=spawned.start_ticks,
        boot_id=boot_id(),
        owner=own_identity(),
        started_at=time.time() - (time.monotonic() - spawned.asked_at),
        reason=None,
        not_before=None,
    )


def came_to_run(trace: Trace | None) -> bool:
    """Whether a child was started, by what its helper wrote down."""
    if trace is None:
        return False
    return trace.pid is not None or (trace.exit_code is not None and not trace.refused)


def found_started(run: Run, trace: Trace) -> Run:
    """The run as its trace shows it was started, when the database never heard of that."""
    return run.but(
        status=RunStatus.RUNNING,
        pid=trace.pid,
        pid_started=trace.start_ticks,
        boot_id=boot_id(),
        started_at=trace.began,
        reason=None,
        not_before=None,
    )


def refused(run: Run, error: SpawnFailedError) -> Run:
    """The operating system did not start it."""
    now = time.time()
    return run.but(
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
    status = RunStatus.FAILED if code else RunStatus.COMPLETED
    reason = explain(code, run.options.limits)
    if timed_out:
        status, reason = RunStatus.TIMED_OUT, f"timed out after {run.timeout:g} seconds"
    elif code is None:
        status, reason = RunStatus.LOST, "the spawn helper ended before the run did"
    return run.but(status=status, reason=reason, returncode=code, finished_at=finished_at)


def from_trace(run: Run, trace: Trace) -> Run:
    """How a run ended by what its helper wrote down."""
    if trace.exit_code is None:
        reason = "the server that watched it ended, and nothing tells how the run ended"
        finished_at = max(time.time(), run.started_at or 0.0)
        return run.but(status=RunStatus.LOST, reason=reason, finished_at=finished_at)
    if trace.refused:
        return run.but(
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
        and finished_at - began >= run.timeout - TICK
    )
    return ended(run, trace.exit_code, finished_at - began, timed_out=timed_out)


def next_attempt(run: Run, ended: Run) -> Run | None:
    """The run as it waits for its next attempt; `None` when the end it came to is the last."""
    retry = run.options.retry
    if run.attempt > retry.times or ended.status not in {RunStatus.FAILED, RunStatus.TIMED_OUT}:
        return None
    # Runs that failed together must not all come back together.
    spread = random.uniform(0.5, 1.5)  # noqa: S311 - spreads load, guards nothing
    delay = spread * _back_off(retry, run.attempt)
    why = ended.reason or f"failed with exit code {ended.returncode}"
    return ended.but(
        status=RunStatus.QUEUED,
        attempt=run.attempt + 1,
        not_before=time.time() + delay,
        reason=f"attempt {run.attempt} {why}; the next one in {delay:.1f} seconds",
        pid=None,
        pid_started=None,
        boot_id=None,
        finished_at=None,
    )


def due_in(run: Run) -> float:
    """Seconds until the next attempt; bounded, as the wall clock may have jumped meanwhile."""
    if run.not_before is None:
        return 0.0
    return min(run.not_before - time.time(), 1.5 * _back_off(run.options.retry, run.attempt - 1))


def _back_off(retry: Retry, attempt: int) -> float:
    """Seconds to wait after that attempt, before they are spread."""
    return min(retry.longest, retry.delay * retry.factor ** min(attempt - 1, LARGEST_POWER))
