"""Rollouts: routes go over step by step by themselves, and back by themselves when a gate fails.

All there is to know of a rollout is in its row, and each transition is one transaction with the
moves it makes: killed at any moment, the next server goes on at the same step. Several processes
may drive one rollout; the row's revision lets one of them win. Holding is measured by the monotonic
clock and added up, so neither a clock that jumps nor a dead server lets a step pass.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from sqlalchemy import select

from compat.cutover import Cutover, Move
from compat.decisions import decided, ended, next_step
from compat.errors import (
    InvalidPlanError,
    MovedMeanwhileError,
    RolloutActiveError,
    RolloutNotFoundError,
    RolloutStateError,
)
from compat.gates import Baseline, Evidence, Finding, control_of, judge
from compat.measures import Measures, Totals
from compat.plan import parse, rank
from compat.progress import ACTIVE, Phase, Rollout, from_row, to_row
from compat.stages import Place, Stack, Stage
from compat.tables import audit, rollouts
from fastapi_app.errors import StorageUnavailableError
from fastapi_app.factory import Services
from fastapi_app.services.ids import new_id

log = logging.getLogger(__name__)

TICK = 0.5
"""Seconds between two turns of the driver, at most."""
IDLE = 5.0
"""Seconds between two looks whether another process has left a rollout behind."""
TRIES = 5


class _OutrunError(Exception):
    """Somebody else has changed the rollout in between."""


@dataclass(slots=True)
class _Clock:
    """What this process knows of a rollout's step: when it last turned and looked, and at what."""

    revision_step: int
    turned: float
    looked: float
    held: float = 0.0
    totals: Totals | None = None


class Rollouts:
    """Starts rollouts, drives them, and lets operators step in.

    `is_rehearsed` tells whether a route is rehearsed in the shadow instead of executed.
    """

    def __init__(
        self,
        services: Services,
        cutover: Cutover,
        measures: Measures,
        routes: Sequence[str],
        is_rehearsed: Callable[[str], bool],
    ) -> None:
        self._database = services.database
        self._cutover = cutover
        self._measures = measures
        self._routes = routes
        self._is_rehearsed = is_rehearsed
        self._clocks: dict[str, _Clock] = {}
        self._begun = asyncio.Event()

    async def start(self, text: str, by: str) -> Rollout:
        """Begin a rollout of a plan; its first step is in force when this returns.

        Raises:
            InvalidPlanError: the plan cannot work.
            RolloutActiveError: another rollout moves one of the routes.
            RolloutStateError: a route is beyond the first step already.
        """
        plan = parse(text, self._routes)
        await self._cutover.refresh()
        origin = {route: self._cutover.place(route) for route in plan.routes}
        for route, place in origin.items():
            if place.rollout is not None:
                raise RolloutActiveError(route, place.rollout)
            if place.stage is Stage.NEW or rank(place) > plan.steps[0].rank:
                raise RolloutStateError(
                    f"{route} is at {place}, and the first step at {plan.steps[0].place}: leave out"
                    " the steps behind it, or move it back first."
                )
        rollout = Rollout(
            id=new_id(),
            plan=plan,
            phase=Phase.RUNNING,
            step=0,
            held=0.0,
            origin=origin,
            started_by=by,
            started_at=time.time(),
            reason="begun",
        )
        totals = await self._measures.totals()
        async with self._database.write() as connection:
            await connection.execute(rollouts.insert(), to_row(rollout))
            moves = _moves(rollout, by, f"rollout {plan.name}, step 1")
            await self._cutover.write(connection, moves, totals, rollout=rollout.id, keeps=True)
            await connection.execute(audit.insert(), _entry(None, rollout, by))
        await self._cutover.refresh()
        self._begun.set()
        return rollout

    async def all(self, limit: int = 100) -> list[Rollout]:
        """Rollouts, the newest first."""
        query = select(rollouts).order_by(rollouts.c.started_at.desc()).limit(limit)
        async with self._database.read() as connection:
            rows = (await connection.execute(query)).all()
        return [self._current(from_row(row, self._routes)) for row in rows]

    async def get(self, rollout_id: str) -> Rollout:
        """One rollout.

        Raises:
            RolloutNotFoundError: there is none with that id.
        """
        query = select(rollouts).where(rollouts.c.id == rollout_id)
        async with self._database.read() as connection:
            row = (await connection.execute(query)).first()
        if row is None:
            raise RolloutNotFoundError(rollout_id)
        return self._current(from_row(row, self._routes))

    def place(self, route: str) -> Place:
        """Where a route stands now."""
        return self._cutover.place(route)

    async def pause(self, rollout_id: str, by: str, reason: str = "") -> Rollout:
        """Stay where it is until it is resumed; no gate is looked at."""

        def paused(rollout: Rollout) -> Rollout:
            if rollout.phase is Phase.PAUSED:
                raise RolloutStateError("The rollout is paused already.")
            return replace(rollout, phase=Phase.PAUSED, reason=reason or f"paused by {by}")

        return await self._change(rollout_id, by, paused)

    async def resume(self, rollout_id: str, by: str, reason: str = "") -> Rollout:
        """Go on after a pause."""

        def resumed(rollout: Rollout) -> Rollout:
            if rollout.phase is not Phase.PAUSED:
                raise RolloutStateError(f"The rollout is {rollout.phase}, not paused.")
            return replace(rollout, phase=Phase.RUNNING, reason=reason or f"resumed by {by}")

        changed = await self._change(rollout_id, by, resumed)
        self._begun.set()
        return changed

    async def promote(
        self, rollout_id: str, by: str, reason: str = "", step: int | None = None
    ) -> Rollout:
        """Go to the next step now, whatever the gates say; `step` is the one the operator saw.

        Raises:
            RolloutStateError: it is at another step, or over.
        """

        def promoted(rollout: Rollout) -> Rollout:
            if step is not None and step != rollout.step:
                raise RolloutStateError(
                    f"The rollout is at step {rollout.step + 1} now, not at {step + 1}; look again."
                )
            return next_step(rollout, reason or f"promoted by {by}")

        changed = await self._change(rollout_id, by, promoted)
        self._begun.set()
        return changed

    async def abort(self, rollout_id: str, by: str, reason: str = "") -> Rollout:
        """Take every route back to where it was at the start."""

        def aborted(rollout: Rollout) -> Rollout:
            return ended(rollout, Phase.ABORTED, reason or f"aborted by {by}")

        return await self._change(rollout_id, by, aborted)

    async def run(self) -> None:
        """Drive what is to be driven, until cancelled."""
        deaf = False
        while True:
            try:
                active = [one for one in await self.all() if one.phase in ACTIVE]
                # What is paused, or over, holds no longer.
                driven = {rollout.id for rollout in active}
                self._clocks = {key: self._clocks[key] for key in driven & self._clocks.keys()}
                for rollout in active:
                    await self._turn(rollout)
                deaf = False
            except StorageUnavailableError as error:
                active = []
                if not deaf:
                    log.warning("rollouts stay where they are for now: %s", error)
                deaf = True
            if active:
                await asyncio.sleep(min([TICK, *(one.plan.interval for one in active)]))
                continue
            self._begun.clear()
            try:
                async with asyncio.timeout(TICK if deaf else IDLE):
                    await self._begun.wait()
            except TimeoutError:
                pass

    def _current(self, rollout: Rollout) -> Rollout:
        """With the time held since it was last written down."""
        clock = self._clocks.get(rollout.id)
        if clock is None or clock.revision_step != rollout.step or rollout.phase not in ACTIVE:
            return rollout
        return replace(rollout, held=rollout.held + clock.held)

    async def _turn(self, rollout: Rollout) -> None:
        now = time.monotonic()
        clock = self._clocks.get(rollout.id)
        if clock is None or clock.revision_step != rollout.step:
            clock = self._clocks[rollout.id] = _Clock(rollout.step, now, now)
        clock.held += now - clock.turned
        clock.turned = now
        if now - clock.looked < rollout.plan.interval:
            return
        clock.looked = now
        try:
            await self._look(await self.get(rollout.id), clock)
        except (_OutrunError, MovedMeanwhileError, RolloutActiveError):
            log.info("rollout %s: another process was faster", rollout.id)
        except (RolloutNotFoundError, InvalidPlanError) as error:
            log.warning("rollout %s cannot be driven: %s", rollout.id, error)

    async def _look(self, rollout: Rollout, clock: _Clock) -> None:
        """Hold the gates against what was counted, and act on it."""
        if rollout.phase not in ACTIVE or rollout.step != clock.revision_step:
            return
        totals, bases = await self._measures.totals(), await self._cutover.bases()
        findings, baselines = self._judged(rollout, totals, bases, clock.totals or bases)
        looked = replace(rollout, findings=findings, baselines=baselines)
        changed = decided(looked)
        by = f"rollout {rollout.plan.name}"
        await self._write(rollout, changed, by, totals)
        clock.totals, clock.held = totals, 0.0

    def _judged(
        self, rollout: Rollout, totals: Totals, bases: Totals, before: Totals
    ) -> tuple[Mapping[str, Sequence[Finding]], Mapping[str, Baseline]]:
        step, findings = rollout.plan.steps[rollout.step], {}
        baselines = dict(rollout.baselines)
        for route in rollout.plan.routes:
            whole, lately = _since(route, totals, bases), _since(route, totals, before)
            if (control := control_of(whole)) is not None:
                baselines[route] = control
            findings[route] = judge(
                step.gate,
                step.stage,
                whole,
                lately,
                rollout.baselines.get(route),
                rehearsed=self._is_rehearsed(route),
            )
        return findings, baselines

    async def _change(
        self, rollout_id: str, by: str, change: Callable[[Rollout], Rollout]
    ) -> Rollout:
        """Do what an operator wants, whoever else changes the rollout meanwhile."""
        for _ in range(TRIES):
            rollout = await self.get(rollout_id)
            if rollout.phase.final:
                raise RolloutStateError(f"The rollout is over: {rollout.phase}.")
            try:
                totals = await self._measures.totals()
                changed = await self._write(rollout, change(rollout), by, totals)
            except (_OutrunError, MovedMeanwhileError):
                await self._cutover.refresh()
            else:
                self._clocks.pop(rollout_id, None)
                return changed
        raise RolloutStateError("The rollout changes all the time; try again.")

    async def _write(self, before: Rollout, after: Rollout, by: str, totals: Totals) -> Rollout:
        """Commit a transition and the moves that belong to it, all or nothing."""
        after = replace(after, revision=before.revision + 1)
        here = (rollouts.c.id == before.id) & (rollouts.c.revision == before.revision)
        moved = after.step != before.step or after.phase.goes_back
        async with self._database.write() as connection:
            changed = await connection.execute(rollouts.update().where(here).values(to_row(after)))
            if not changed.rowcount:
                raise _OutrunError
            if moved:
                moves = _moves(after, by, after.reason)
                await self._cutover.write(
                    connection, moves, totals, rollout=before.id, keeps=not after.phase.final
                )
            elif after.phase.final:
                await self._cutover.release(connection, before.id)
            if moved or after.phase is not before.phase:
                await connection.execute(audit.insert(), _entry(before, after, by))
        await self._cutover.refresh()
        return after


def _since(route: str, totals: Totals, before: Totals) -> Evidence:
    return Evidence({stack: totals[route, stack].minus(before[route, stack]) for stack in Stack})


def _moves(rollout: Rollout, by: str, reason: str) -> list[Move]:
    """The moves that bring its routes to where it says."""
    step = rollout.plan.steps[rollout.step]
    there = {
        route: rollout.origin[route] if rollout.phase.goes_back else step.place
        for route in rollout.plan.routes
    }
    return [
        Move(route=route, stage=place.stage, percent=place.percent, by=by, reason=reason)
        for route, place in there.items()
    ]


def _entry(before: Rollout | None, after: Rollout, by: str) -> dict[str, object]:
    return {
        "at": time.time(),
        "by": by,
        "what": "rollout",
        "subject": after.plan.name,
        "revision": after.revision,
        "before": "" if before is None else str(before),
        "after": str(after),
        "reason": after.reason,
        "rollout": after.id,
    }
