"""What becomes of slots: catch-up, windows, overlap, ends and jitter, with the time given."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from fastapi_app.schedules import (
    CatchUp,
    Job,
    Occupied,
    Overlap,
    Plan,
    Policy,
    Schedule,
    ScheduleKind,
    SlotState,
    TaskKind,
)
from fastapi_app.services.slots import AT_ONCE, KEPT, WAITING, first_slot, plan
from fastapi_app.services.timetable import jitter_of, timetable_of

MINUTE = 60.0
NONE, LATEST, ALL = CatchUp
SKIP, QUEUE, ALLOW = Overlap
FREE, BUSY = Occupied(), Occupied(busy=1)
C, W, S, M = SlotState.CLAIMED, SlotState.WAITING, SlotState.SKIPPED, SlotState.MISSED


def job(next_slot: float | None = 600.0, every: str = "10m", fired: int = 0, **policy: Any) -> Job:  # noqa: ANN401
    """A job that is due at 0, 600, 1200… and whose next slot is this one."""
    return Job(
        id="job",
        name="job",
        schedule=Schedule(ScheduleKind.EVERY, every),
        kind=TaskKind.SHELL,
        task={},
        created_at=0.0,
        updated_at=0.0,
        policy=Policy(**policy),
        next_slot=next_slot,
        due_at=next_slot,
        fired=fired,
    )


def planned(given: Job, now: float, occupied: Occupied = FREE) -> Plan:
    return plan(given, timetable_of(given), now, occupied)


def told(found: Plan) -> list[tuple[float, SlotState]]:
    return [(slot.at, slot.state) for slot in found.slots]


# catch-up, overlap, what the job is at, now, what becomes of the slots from 600 on
CASES = [
    (LATEST, SKIP, FREE, 599.9, []),
    (LATEST, SKIP, FREE, 600.0, [(600, C)]),
    (NONE, SKIP, FREE, 659.0, [(600, C)]),
    (NONE, SKIP, FREE, 661.0, [(600, M)]),
    (NONE, SKIP, FREE, 1230.0, [(600, M), (1200, C)]),
    (NONE, ALLOW, FREE, 2000.0, [(600, M), (1200, M), (1800, M)]),
    (LATEST, SKIP, FREE, 661.0, [(600, C)]),
    (LATEST, SKIP, FREE, 1230.0, [(600, M), (1200, C)]),
    (LATEST, SKIP, FREE, 2000.0, [(600, M), (1200, M), (1800, C)]),
    (LATEST, ALLOW, BUSY, 2000.0, [(600, M), (1200, M), (1800, C)]),
    (LATEST, QUEUE, BUSY, 2000.0, [(600, M), (1200, M), (1800, W)]),
    (LATEST, SKIP, BUSY, 2000.0, [(600, M), (1200, M), (1800, S)]),
    (ALL, ALLOW, FREE, 2000.0, [(600, C), (1200, C), (1800, C)]),
    (ALL, ALLOW, BUSY, 2000.0, [(600, C), (1200, C), (1800, C)]),
    (ALL, QUEUE, FREE, 2000.0, [(600, C), (1200, W), (1800, W)]),
    (ALL, QUEUE, BUSY, 2000.0, [(600, W), (1200, W), (1800, W)]),
    (ALL, SKIP, FREE, 2000.0, [(600, C), (1200, S), (1800, S)]),
    (ALL, SKIP, BUSY, 2000.0, [(600, S), (1200, S), (1800, S)]),
    (NONE, QUEUE, BUSY, 600.0, [(600, W)]),
    (NONE, QUEUE, Occupied(0, 1), 600.0, [(600, W)]),
    (NONE, SKIP, BUSY, 600.0, [(600, S)]),
    (NONE, ALLOW, BUSY, 600.0, [(600, C)]),
    (NONE, QUEUE, Occupied(1, WAITING), 600.0, [(600, S)]),
]


@pytest.mark.parametrize(("catch_up", "overlap", "occupied", "now", "expected"), CASES)
def test_catch_up_and_overlap(
    catch_up: CatchUp,
    overlap: Overlap,
    occupied: Occupied,
    now: float,
    expected: list[tuple[float, SlotState]],
) -> None:
    found = planned(job(catch_up=catch_up, overlap=overlap), now, occupied)
    assert told(found) == expected
    assert found.next_slot == 600.0 * (now // 600 + 1) if expected else found.next_slot == 600
    assert found.fired == sum(state in {C, W} for _, state in expected)


@pytest.mark.parametrize(
    ("catch_up", "expected"),
    [
        (LATEST, [(600, M), (1200, M), (1800, C)]),
        (ALL, [(600, M), (1200, C), (1800, C)]),
    ],
)
def test_what_is_older_than_the_window_is_missed(
    catch_up: CatchUp, expected: list[tuple[float, SlotState]]
) -> None:
    given = job(catch_up=catch_up, overlap=ALLOW, window=1000.0)
    assert told(planned(given, 2000.0)) == expected


def test_nothing_is_made_up_for_when_even_the_latest_is_too_old() -> None:
    found = planned(job(window=100.0), 2000.0)
    assert told(found) == [(600, M), (1200, M), (1800, M)]
    assert found.slots[0].reason == "nobody planned at that time"


def test_a_job_ends_after_so_many_runs() -> None:
    found = planned(job(catch_up=ALL, overlap=ALLOW, max_runs=5, fired=3), 3000.0)
    assert told(found) == [(600, C), (1200, C)]
    assert (found.next_slot, found.due_at, found.fired) == (None, None, 5)


def test_skipped_slots_are_no_runs() -> None:
    found = planned(job(max_runs=1, overlap=SKIP), 600.0, BUSY)
    assert told(found) == [(600, S)]
    assert found.next_slot == 1200


def test_a_job_ends_at_its_end() -> None:
    found = planned(job(end=1200.0), 600.0)
    assert (told(found), found.next_slot) == ([(600, C)], 1200)
    assert planned(job(1200.0, end=1200.0), 1200.0).next_slot is None


def test_a_job_begins_at_its_start() -> None:
    given = job(None, start=5000.0)
    assert first_slot(given, timetable_of(given), 100.0) == (5000.0, 5000.0)
    assert first_slot(given, timetable_of(given), 5000.0) == (5600.0, 5600.0)


def test_a_slot_is_put_off_by_its_jitter_and_keeps_its_moment() -> None:
    given = job(jitter=300.0)
    later = jitter_of("job", 600.0, 300.0)
    assert 0 < later < 300
    assert told(planned(given, 600.0 + later - 0.01)) == []
    found = planned(given, 600.0 + later)
    assert told(found) == [(600, C)]
    assert found.due_at == 1200 + jitter_of("job", 1200.0, 300.0)


def test_a_long_absence_is_told_in_few_rows() -> None:
    found = planned(job(1.0, every="1s", catch_up=NONE), 900.0)
    missed = [slot for slot in found.slots if slot.state is M]
    assert len(missed) == KEPT
    assert (
        missed[0].reason
        == f"nobody planned at that time, nor at {900 - 60 - 1 - KEPT} slots before"
    )
    assert found.next_slot == 901


def test_a_very_long_absence_costs_no_more() -> None:
    found = planned(job(1.0, every="1s", catch_up=NONE), 100_000_000.0)
    assert "slots before and many behind" in str(found.slots[0].reason)
    assert found.next_slot == 100_000_001


def test_many_slots_are_made_up_for_in_turns() -> None:
    given = job(1.0, every="1s", catch_up=ALL, overlap=ALLOW)
    found = planned(given, 2000.0)
    assert len(found.slots) == AT_ONCE
    assert (found.next_slot, found.due_at) == (AT_ONCE + 1, AT_ONCE + 1)


class Counted:
    """A timetable that counts how often it is asked."""

    def __init__(self, given: Job) -> None:
        self._table = timetable_of(given)
        self.asked = 0

    def after(self, moment: float) -> float | None:
        self.asked += 1
        return self._table.after(moment)


@pytest.mark.parametrize("catch_up", CatchUp)
@pytest.mark.parametrize("away", [3600.0, 86_400.0, 365 * 86_400.0])
def test_no_absence_makes_everybody_wait(catch_up: CatchUp, away: float) -> None:
    given = job(1.0, every="1s", catch_up=catch_up, overlap=ALLOW)
    table = Counted(given)
    plan(given, table, away, FREE)
    assert table.asked < 2000


@pytest.mark.parametrize("days", [1, 30, 365])
def test_the_latest_of_very_many_slots_is_made_up_for(days: int) -> None:
    now = days * 86_400.0 + 1800
    given = job(600.0, every="10s", catch_up=LATEST, overlap=ALLOW, end=days * 86_400.0)
    found = planned(given, now)
    assert [slot.at for slot in found.slots if slot.state is C] == [days * 86_400.0]
    assert found.next_slot is None


def test_of_very_many_slots_those_in_the_window_are_all_made_up_for() -> None:
    now = 30 * 86_400.0
    given = job(1.0, every="1s", catch_up=ALL, overlap=ALLOW, window=3600.0)
    fired: list[float] = []
    while given.due_at is not None and given.due_at <= now:
        found = planned(given, now)
        fired += [slot.at for slot in found.slots if slot.state is C]
        given = replace(given, next_slot=found.next_slot, due_at=found.due_at)
    assert fired == [now - 3600 + n for n in range(3601)]
    assert given.next_slot == now + 1
