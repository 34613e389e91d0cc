"""Fires the slots of scheduled jobs: each once, however many servers plan on the same database.

A slot is claimed in the transaction that moves its job on, and its run gets its id. Whoever finds a
claim that nobody followed up looks for that run, and accepts it only when there is none.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import replace

from fastapi_app.engine.identity import boot_id, own_identity, owner_is_alive
from fastapi_app.errors import (
    AppError,
    DaemonStoppedError,
    InvalidJobError,
    QueueFullError,
    StorageUnavailableError,
)
from fastapi_app.metrics import Family, Histogram, Kind
from fastapi_app.models import FAILURES, RunStatus
from fastapi_app.schedules import Job, Occupied, Plan, Slot, SlotState, TaskKind
from fastapi_app.services import webhooks
from fastapi_app.services.ids import new_id
from fastapi_app.services.job_tasks import JobTasks
from fastapi_app.services.slots import plan
from fastapi_app.services.timetable import jitter_of, timetable_of
from fastapi_app.storage.jobs import JobStore
from fastapi_app.storage.slots import Ended, Move, SlotStore, Untold

log = logging.getLogger(__name__)

POLL = 1.0
"""Seconds after which the database is looked at, whoever may have changed it."""
SHORTEST_PAUSE = 0.05
"""Seconds between two looks when jobs are due that find no room."""
LOOK_ANYHOW = 5.0
"""Seconds after which is looked though nobody has committed anything."""
BATCH = 500
"""Jobs that are decided about in one transaction."""
LEFT_AFTER = 2.0
"""Seconds from which a claim of a server that has died is followed up."""
LEASE = 60.0
"""Seconds from which any claim is: its server may be on another machine."""
KEPT = 90 * 86_400.0
"""Seconds for which settled slots are kept."""


def _unknown() -> bytes | None:
    """Nobody can tell whether anything was committed."""
    return None


class Planner:
    """Looks at jobs when they are due. `room` says how many more runs may wait.

    `version` changes whenever anybody has committed; without one (`None`) nobody can tell.
    """

    def __init__(
        self,
        *,
        jobs: JobStore,
        slots: SlotStore,
        tasks: JobTasks,
        room: Callable[[], int],
        version: Callable[[], bytes | None] = _unknown,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._jobs = jobs
        self._slots = slots
        self._tasks = tasks
        self._room = room
        self._version = version
        self._clock = clock
        self._seen: bytes | None = None
        self._due: float | None = None
        self._look_by = 0.0
        self._owner = f"{boot_id()}:{own_identity()}"
        self._woken = asyncio.Event()
        self._firing: set[str] = set()
        self._cleaning: set[asyncio.Task[None]] = set()
        self._moved = dict.fromkeys(SlotState, 0)
        self._told = {"delivered": 0, "failed": 0, "given_up": 0}
        self._lag = Histogram()
        self._swept = 0.0

    def wake(self) -> None:
        """Look now: jobs have changed."""
        self._woken.set()

    async def run(self) -> None:
        """Go on for ever; what fails is tried again."""
        try:
            while True:
                self._woken.clear()
                try:
                    pause = await self._look_if_needed()
                except StorageUnavailableError as error:
                    log.warning("nothing is planned for now: %s", error)
                    pause = POLL
                except Exception:
                    log.exception("planning failed")
                    pause = POLL
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(pause):
                        await self._woken.wait()
        finally:
            for task in self._cleaning:
                task.cancel()
            await asyncio.gather(*self._cleaning, return_exceptions=True)

    async def _look_if_needed(self) -> float:
        """Look, unless nothing can have changed; seconds until the next time."""
        version, now = self._version(), self._clock()
        due = self._due is not None and self._due <= now
        if version is None or version != self._seen or due or now >= self._look_by:
            self._seen, self._look_by = version, now + LOOK_ANYHOW
            await self.look()
            self._due = await self._jobs.next_due()
        if self._due is None:
            return POLL
        return max(SHORTEST_PAUSE, min(POLL, self._due - self._clock()))

    async def look(self) -> None:
        """Do all that is to be done now."""
        while await self._settle():
            pass
        await self._follow_up()
        await self._succeed()
        while await self._plan():
            pass
        await self._let_waiting_go()
        await self._tell()
        await self._sweep()

    async def fire(self, job: Job, slot: Slot) -> Slot:
        """Start the task of a slot that this server has claimed; where that has led.

        Raises:
            AppError: it could not be started.
        """
        self._firing.add(slot.id)
        try:
            if job.kind is TaskKind.CLEANUP:
                await self.move([Move(slot, SlotState.RUNNING)])
                running = replace(slot, state=SlotState.RUNNING)
                task = asyncio.create_task(self._clean_up(job, running))
                self._cleaning.add(task)
                task.add_done_callback(self._cleaning.discard)
                return running
            await self._tasks.fire(job, slot)
            await self.move([Move(slot, SlotState.FIRED)])
            return replace(slot, state=SlotState.FIRED)
        finally:
            self._firing.discard(slot.id)

    async def move(self, moves: Sequence[Move]) -> None:
        """Commit where slots have come to stand, and count them."""
        for move in await self._slots.move(moves):
            self._moved[move.state] += 1

    def claim_of(self, job: Job) -> Slot:
        """A slot of this very moment, claimed by this server."""
        now = self._clock()
        return Slot(
            id=new_id(),
            job_id=job.id,
            at=now,
            state=SlotState.CLAIMED,
            decided_at=now,
            manual=True,
            owner=self._owner,
        )

    def metrics(self) -> Sequence[Family]:
        """What has become of slots, how late they were looked at, and who was told."""
        moved = [((str(state),), count) for state, count in self._moved.items()]
        told = [((outcome,), count) for outcome, count in self._told.items()]
        return (
            Family(
                Kind.COUNTER,
                "mcli_scheduler_slots",
                "Slots that this server has moved, by where to",
                ("state",),
                moved,
            ),
            Family(
                Kind.COUNTER,
                "mcli_scheduler_notifications",
                "Attempts to tell a webhook of a failure; given_up: the last of them failed, too",
                ("outcome",),
                told,
            ),
            Family(
                Kind.HISTOGRAM,
                "mcli_scheduler_lag_seconds",
                "From when a slot was due to when its run was accepted",
                (),
                [((), self._lag)],
            ),
        )

    async def _plan(self) -> bool:
        """Decide about a batch of jobs that are due; whether there may be more."""
        limit = min(BATCH, self._room())
        if limit <= 0:
            return False
        now = self._clock()
        claimed = await self._jobs.claim(now, limit, self._owner, self._decide, new_id)
        await self._start(claimed)
        for job, slot in claimed:
            due = slot.at + jitter_of(job.id, slot.at, job.policy.jitter)
            self._lag.note(max(0.0, self._clock() - due))
        return len(claimed) >= limit

    def _decide(self, job: Job, occupied: Occupied) -> Plan:
        try:
            table = timetable_of(job)
        except InvalidJobError as error:  # e.g. the zone is not known on this machine
            log.warning("the job %s is not planned any more: %s", job.name, error)
            return Plan((), None, None, job.fired)
        found = plan(job, table, self._clock(), occupied)
        for decided in found.slots:
            self._moved[decided.state] += 1
        return found

    async def _start(self, claimed: Sequence[tuple[Job, Slot]]) -> None:
        """Start them all together: their commits share transactions."""
        plain = [(job, slot) for job, slot in claimed if job.kind is not TaskKind.CLEANUP]
        self._firing |= {slot.id for _, slot in plain}
        try:
            moves = await asyncio.gather(*(self._started(job, slot) for job, slot in plain))
            await self.move([move for move in moves if move is not None])
        finally:
            self._firing -= {slot.id for _, slot in plain}
        for job, slot in claimed:
            if job.kind is TaskKind.CLEANUP:
                await self.fire(job, slot)

    async def _started(self, job: Job, slot: Slot) -> Move | None:
        now = self._clock()
        try:
            await self._tasks.fire(job, slot)
        except (StorageUnavailableError, QueueFullError) as error:
            log.warning("the job %s starts later: %s", job.name, error)
            return None  # the claim stands, and is followed up
        except DaemonStoppedError:
            return Move(slot, SlotState.SKIPPED, "the daemon is stopped", now)
        except AppError as error:
            return _failed(job, slot, error.detail, now)
        return Move(slot, SlotState.FIRED)

    async def _clean_up(self, job: Job, slot: Slot) -> None:
        try:
            reason = await self._tasks.clean_up(job, self._clock())
            move = Move(slot, SlotState.COMPLETED, reason, self._clock())
        except AppError as error:
            move = _failed(job, slot, error.detail, self._clock())
        with contextlib.suppress(StorageUnavailableError):  # done again when it is followed up
            await self.move([move])

    async def _settle(self) -> bool:
        """Note how runs have ended; whether there may be more."""
        ended = await self._slots.ended(BATCH)
        jobs = await self._jobs.by_id(list({one.slot.job_id for one in ended}))
        await self.move([_settled(one, jobs, self._clock()) for one in ended])
        return len(ended) >= BATCH

    async def _follow_up(self) -> None:
        """Take up claims that nobody has followed up."""
        now = self._clock()
        for slot in await self._slots.left_behind(now - LEFT_AFTER):
            if slot.id in self._firing or not self._is_left(slot, now):
                continue
            if slot.owner == self._owner and slot.state is SlotState.RUNNING:
                continue  # a clean-up of ours that goes on
            if (taken := await self._claimed(slot, now)) is not None:
                await self._take_up(taken)

    async def _succeed(self) -> None:
        """Start what a server on this machine had accepted that has ended before it began it."""
        for slot, server in await self._slots.not_begun():
            boot = (slot.owner or "").partition(":")[0]
            if boot != boot_id() or owner_is_alive(server):
                continue
            try:
                if await self._tasks.take_over(slot):
                    log.info("the run %s is taken over from a server that has ended", slot.id)
            except StorageUnavailableError:
                raise
            except AppError as error:
                log.warning("the run %s cannot be taken over: %s", slot.id, error.detail)

    async def _take_up(self, slot: Slot) -> None:
        job = (await self._jobs.by_id([slot.job_id])).get(slot.job_id)
        if job is None:
            return
        if await self._tasks.exists(slot):
            await self.move([Move(slot, SlotState.FIRED)])
        else:
            await self._start([(job, slot)])

    async def _claimed(self, slot: Slot, now: float) -> Slot | None:
        """A slot that is there already, as this server's; `None` when another was faster."""
        if not await self._slots.take(slot, self._owner, now):
            return None
        return replace(slot, state=SlotState.CLAIMED, owner=self._owner, decided_at=now)

    def _is_left(self, slot: Slot, now: float) -> bool:
        if slot.owner == self._owner:
            return True
        boot, _, identity = (slot.owner or "").partition(":")
        gone = boot == boot_id() and not owner_is_alive(identity)
        return gone or now - slot.decided_at > LEASE

    async def _let_waiting_go(self) -> None:
        """Claim the first slot that waits of each job that is free."""
        while self._room() > 0:
            waiting = await self._slots.first_waiting(min(BATCH, self._room()))
            jobs = await self._jobs.by_id([slot.job_id for slot in waiting])
            now = self._clock()
            claimed = []
            for slot in waiting:
                taken = await self._claimed(slot, now)
                if taken is not None and slot.job_id in jobs:
                    claimed.append((jobs[slot.job_id], taken))
            await self._start(claimed)
            if len(waiting) < BATCH:
                return

    async def _tell(self) -> None:
        """Tell failures to webhooks."""
        now = self._clock()
        untold = await self._slots.untold(now, BATCH)
        if not untold:
            return
        jobs = await self._jobs.by_id(list({one.slot.job_id for one in untold}))
        await asyncio.gather(*(self._tell_one(one, jobs, now) for one in untold))

    async def _tell_one(self, untold: Untold, jobs: dict[str, Job], now: float) -> None:
        job = jobs.get(untold.slot.job_id)
        if job is None or job.webhook is None:
            await self._slots.told(untold.slot)
            return
        tries = untold.tries
        next_at = now + webhooks.BACK_OFF[tries] if tries < len(webhooks.BACK_OFF) else None
        if not await self._slots.telling(untold, next_at, now):
            return
        message = webhooks.failure(job, untold.slot)
        if await webhooks.tell(job.webhook, untold.slot.id, message):
            self._told["delivered"] += 1
            await self._slots.told(untold.slot)
        elif next_at is None:
            self._told["given_up"] += 1
            log.warning("nobody was told that the job %s failed", job.name)
        else:
            self._told["failed"] += 1

    async def _sweep(self) -> None:
        now = self._clock()
        if now - self._swept > 3600:
            self._swept = now
            await self._slots.remove_before(now - KEPT)


def _failed(job: Job, slot: Slot, reason: str, now: float) -> Move:
    return Move(slot, SlotState.FAILED, reason, now, tell_at=now if job.webhook else None)


def _settled(ended: Ended, jobs: dict[str, Job], now: float) -> Move:
    slot, at = ended.slot, ended.finished_at or now
    if ended.status is None:
        return Move(slot, SlotState.COMPLETED, "its run was removed", at)
    if ended.status is RunStatus.COMPLETED:
        return Move(slot, SlotState.COMPLETED, None, at)
    job = jobs.get(slot.job_id)
    tell_at = now if ended.status in FAILURES and job is not None and job.webhook else None
    reason = str(ended.status) if ended.reason is None else f"{ended.status}: {ended.reason}"
    return Move(slot, SlotState.FAILED, reason, at, tell_at)
