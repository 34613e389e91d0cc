"""What becomes of the slots of a job: pure, from the job and the time to what is to be done."""

from __future__ import annotations

from collections.abc import Iterator

from fastapi_app.schedules import CatchUp, Decided, Job, Occupied, Overlap, Plan, SlotState
from fastapi_app.services.timetable import Timetable, jitter_of

ON_TIME = 60.0
"""Seconds: a slot that is looked at no later was not missed, the server was only busy."""
KEPT = 100
"""Slots that were missed and have a row of their own; the last of these tells of the rest."""
AT_ONCE = 500
"""Slots of one job that are made up for in one go; the rest follows in the next."""
WAITING = 1000
"""Slots of one job that may wait for the run before."""
LOOKED_AT = 1000
"""Slots that are looked at one by one. Of more only those count that may be made up for: everybody
waits meanwhile, and a job of each second has 86,400 of them a day."""


def first_slot(job: Job, table: Timetable, now: float) -> tuple[float | None, float | None]:
    """The next slot from now on, and when it is due."""
    start = job.policy.start
    behind = now if start is None or start <= now else start - 1e-6
    at = _within(job, table.after(behind))
    return at, None if at is None else at + _jitter(job, at)


def plan(job: Job, table: Timetable, now: float, occupied: Occupied) -> Plan:
    """Decide about every slot that is due by now."""
    due, following, uncounted = _due(job, table, now)
    made_up, missed = _caught_up(job, due, now)
    left = None if job.policy.max_runs is None else max(0, job.policy.max_runs - job.fired)
    later = made_up[AT_ONCE:]
    slots = [*_told(missed, uncounted)]
    busy, waiting, fired = occupied.busy, occupied.waiting, 0
    for at in made_up[:AT_ONCE]:
        if left is not None and fired >= left:
            break
        decided = _overlapping(job, at, busy, waiting)
        slots.append(decided)
        if decided.state is SlotState.CLAIMED:
            busy += 1
        waiting += decided.state is SlotState.WAITING
        fired += decided.state is not SlotState.SKIPPED
    if left is not None and fired >= left:
        return Plan(slots, None, None, job.fired + fired)
    if later:
        return Plan(slots, later[0], later[0] + _jitter(job, later[0]), job.fired + fired)
    due_at = None if following is None else following + _jitter(job, following)
    return Plan(slots, following, due_at, job.fired + fired)


def _due(job: Job, table: Timetable, now: float) -> tuple[list[float], float | None, bool]:
    """The slots that are due, the one behind them, and whether there were too many to look at."""
    found: list[float] = []
    for at in _from_slot(job, table, job.next_slot):
        if at + _jitter(job, at) > now:
            return found, at, False
        if len(found) >= LOOKED_AT:
            kept, following = _worth_looking_at(job, table, now)
            old = [at for at in found if not kept or at < kept[0]]
            return old + kept, following, True
        found.append(at)
    return found, None, False


def _worth_looking_at(job: Job, table: Timetable, now: float) -> tuple[list[float], float | None]:
    """Those of many due slots that may be made up for, and the one behind them.

    Of all that are, the earliest, and one more than are made up for in one go; otherwise the last.
    """
    first = (job.next_slot or now) - 1e-6
    longest = max(job.policy.window, ON_TIME) + job.policy.jitter
    everything = job.policy.catch_up is CatchUp.ALL
    # Backwards, twice as far each time: what is found has at most half of the span to lie in.
    span = longest if everything else min(longest, ON_TIME + job.policy.jitter)
    while True:
        behind = max(first, now - span - 1e-6)
        found: list[float] = []
        following = None
        for at in _from_slot(job, table, _within(job, table.after(behind))):
            if at + _jitter(job, at) > now or (everything and len(found) > AT_ONCE):
                following = at
                break
            if now - at - _jitter(job, at) <= longest:
                found.append(at)
        if found or span >= longest or behind == first:
            return found, following
        span = min(2 * span, longest)


def _from_slot(job: Job, table: Timetable, at: float | None) -> Iterator[float]:
    """This slot and those behind it."""
    while at is not None:
        yield at
        at = _within(job, table.after(at))


def _caught_up(job: Job, due: list[float], now: float) -> tuple[list[float], list[float]]:
    """Which of them are to be done, and which were missed; each in order."""
    policy = job.policy
    recent = [at for at in due if now - at - _jitter(job, at) <= ON_TIME]
    late = due[: len(due) - len(recent)]
    if policy.catch_up is CatchUp.NONE:
        return recent, late
    if policy.catch_up is CatchUp.LATEST:
        # Of what came while nobody planned, one stands for all; what is on time is none of it.
        if late and not recent and now - late[-1] <= policy.window:
            return late[-1:], late[:-1]
        return recent, late
    inside = [at for at in late if now - at <= policy.window]
    return [*inside, *recent], late[: len(late) - len(inside)]


def _overlapping(job: Job, at: float, busy: int, waiting: int) -> Decided:
    overlap = job.policy.overlap
    if overlap is Overlap.ALLOW or not (busy or waiting):
        return Decided(at, SlotState.CLAIMED)
    if overlap is Overlap.SKIP:
        return Decided(at, SlotState.SKIPPED, "the run before has not ended")
    if waiting >= WAITING:
        return Decided(at, SlotState.SKIPPED, f"{WAITING} slots wait already")
    return Decided(at, SlotState.WAITING)


def _told(missed: list[float], uncounted: bool) -> Iterator[Decided]:
    rest = len(missed) - KEPT
    for number, at in enumerate(missed[-KEPT:]):
        reason = "nobody planned at that time"
        if number == 0 and uncounted:
            reason = f"{reason}, nor at {max(rest, 0)} slots before and many behind"
        elif number == 0 and rest > 0:
            reason = f"{reason}, nor at {rest} slots before"
        yield Decided(at, SlotState.MISSED, reason)


def _within(job: Job, at: float | None) -> float | None:
    end = job.policy.end
    return None if at is None or (end is not None and at > end) else at


def _jitter(job: Job, at: float) -> float:
    return jitter_of(job.id, at, job.policy.jitter)
