"""Stopping runs: one signal after another, to all that belongs to the run, until it is over."""

from __future__ import annotations

import asyncio
import signal
import time
from dataclasses import dataclass

from fastapi_app.engine.active import Active
from fastapi_app.engine.cookies import sweep
from fastapi_app.engine.process import Spawner, signal_group, until_group_gone
from fastapi_app.models import Run


@dataclass(frozen=True, slots=True)
class StopOrder:
    """How to stop: the signals in turn, the last of them SIGKILL, `grace` seconds apart."""

    signals: tuple[signal.Signals, ...]
    grace: float

    @classmethod
    def of(cls, grace: float, *, interrupt: bool = False, kill: bool = False) -> StopOrder:
        """SIGTERM, then SIGKILL; before them SIGINT with `interrupt`; SIGKILL alone with `kill`."""
        before = [signal.SIGINT] if interrupt else []
        softly = [] if kill else [*before, signal.SIGTERM]
        return cls((*softly, signal.SIGKILL), grace)

    @property
    def kill_after(self) -> float:
        """Seconds until SIGKILL."""
        return self.grace * (len(self.signals) - 1)


async def terminate(active: Active, order: StopOrder, spawner: Spawner) -> None:
    """Send the signals until the run is over."""
    active.kill_at = time.monotonic() + order.kill_after
    for number in order.signals:
        send(active, number, spawner)
        if number is signal.SIGKILL:
            return
        try:
            async with asyncio.timeout(order.grace):
                await active.over.wait()
                return
        except TimeoutError:
            continue


def send(active: Active, number: signal.Signals, spawner: Spawner) -> None:
    """Signal the whole group of a run, unless its leader is over."""
    run = active.run
    if active.spawned is not None and not active.spawned.exited.done():
        spawner.signal(run.id, number)
    elif not signal_group(run.pid, run.pid_started, run.boot_id, number):
        return
    active.signalled = number


async def until_all_gone(run: Run, kill_at: float) -> None:
    """Wait for what a stopped run left behind, in its group or out of it; kill it at `kill_at`."""
    await until_group_gone(run.pid or 0, kill_at)
    await sweep(run.id, kill_at=kill_at)
