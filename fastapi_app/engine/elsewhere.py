"""Processes that are not our children: left by an earlier server, or watched by another."""

from __future__ import annotations

import asyncio
import logging
import math
import signal
import time
from collections.abc import Sequence

from fastapi_app.engine.cookies import sweep
from fastapi_app.engine.identity import age, boot_id
from fastapi_app.engine.logs import LogFiles
from fastapi_app.engine.process import signal_group, until_group_gone, wait_for_exit
from fastapi_app.engine.traces import Trace, read_trace
from fastapi_app.errors import AppError
from fastapi_app.models import Run
from fastapi_app.storage.runs import RunStore

log = logging.getLogger(__name__)

TRACE_WITHIN = 2.0
"""Seconds a helper that outlived its server gets to write down an exit it has just seen."""

WRITTEN_WITHIN = 2.0
"""Seconds another server gets to write down the end of a run that it watches."""


async def watch_adopted(run: Run) -> None:
    """Wait for the end of a run an earlier server started; its time-out still holds."""
    remaining = None
    if run.timeout is not None and run.pid_started is not None:
        remaining = max(0.0, run.timeout - age(run.pid_started))
    try:
        async with asyncio.timeout(remaining):
            await _exit_of(run)
    except TimeoutError:
        signal_group(run.pid, run.pid_started, run.boot_id, signal.SIGKILL)
        await _exit_of(run)


async def final_trace(logs: LogFiles, run: Run) -> Trace:
    """The run's trace once it tells the end; the helper writes it just after the end."""
    deadline = time.monotonic() + TRACE_WITHIN
    while True:
        trace = read_trace(logs.state(run.id, run.attempt)) or Trace()
        helper_may_write = run.pid is not None and run.boot_id == boot_id()
        if trace.ended or not helper_may_write or time.monotonic() > deadline:
            return trace
        await asyncio.sleep(0.02)


async def signal_elsewhere(
    run: Run, grace: float, signals: Sequence[signal.Signals] = (signal.SIGTERM, signal.SIGKILL)
) -> signal.Signals | None:
    """Send the signals, the last of them SIGKILL, `grace` seconds apart (with none, only that).

    They go to the group; once its leader is over, all that is left of the run is ended too.
    Returns what was sent last, `None` when the run was over already.
    """
    used: signal.Signals | None = None
    kill_at = time.monotonic() + grace * (len(signals) - 1)
    for number in signals if grace else signals[-1:]:
        if not signal_group(run.pid, run.pid_started, run.boot_id, number):
            break
        used = number
        try:
            async with asyncio.timeout(TRACE_WITHIN if number is signal.SIGKILL else grace):
                await _exit_of(run)
        except TimeoutError:
            continue
        await until_group_gone(run.pid or 0, kill_at)
        await sweep(run.id, kill_at=kill_at)
        break
    return used


async def written_down(runs: RunStore, run: Run, within: float = WRITTEN_WITHIN) -> Run | None:
    """The run once another server has committed its end, or `None` after `within` seconds."""
    deadline = time.monotonic() + within
    while time.monotonic() < deadline:
        stored = await runs.get(run.id)
        if stored is None or stored.status.final:
            return stored or run
        await asyncio.sleep(0.02)
    return None


async def set_when_over(runs: RunStore, run: Run, over: asyncio.Event) -> None:
    """Set `over` once another server has committed the end of a run (or cannot be asked)."""
    try:
        await _exit_of(run)
        await written_down(runs, run, within=math.inf)
    except AppError as error:
        log.warning("run %s: cannot tell whether it is over: %s", run.id, error.detail)
    finally:
        over.set()


async def _exit_of(run: Run) -> None:
    if run.pid is not None:
        await wait_for_exit(run.pid, run.pid_started, run.boot_id)
