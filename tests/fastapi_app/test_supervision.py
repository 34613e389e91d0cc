"""What a supervisor decides when a run is over, as a table."""

from __future__ import annotations

from typing import Any

import pytest

from fastapi_app.models import Run, RunKind, RunStatus
from fastapi_app.supervision import (
    Again,
    Backoff,
    Ending,
    Plan,
    ProcessState,
    Restart,
    Stay,
    Supervision,
    Wanted,
    decide,
    state_of,
)

COMPLETED, FAILED, CANCELLED = RunStatus.COMPLETED, RunStatus.FAILED, RunStatus.CANCELLED
LOST, QUEUED, RUNNING = RunStatus.LOST, RunStatus.QUEUED, RunStatus.RUNNING
BACKOFF = Backoff(delay=1, longest=5, reset_after=10, give_up_after=3)


def a_run(status: RunStatus, up: float | None = 1.0, **fields: Any) -> Run:  # noqa: ANN401
    """A run that was up for so many seconds; `None`: the system refused it."""
    times = {} if up is None else {"pid": 1, "started_at": 100.0, "finished_at": 100.0 + up}
    return Run("r", RunKind.PROCESS, "x", 99.0, status=status, **(times | fields))


def known(restart: Restart, **fields: Any) -> Supervision:  # noqa: ANN401 - fields of Supervision
    return Supervision("p", Plan(restart, BACKOFF), Wanted.RUNNING, **fields)


NO, ON_FAILURE, ALWAYS = Restart.NO, Restart.ON_FAILURE, Restart.ALWAYS
FIRST = Again(1, 1)


@pytest.mark.parametrize(
    ("restart", "run", "expected"),
    [
        (NO, a_run(COMPLETED), Stay()),
        (NO, a_run(FAILED), Stay()),
        (NO, a_run(LOST), Stay()),
        (ON_FAILURE, a_run(COMPLETED), Stay()),
        (ON_FAILURE, a_run(FAILED), FIRST),
        (ON_FAILURE, a_run(LOST), FIRST),
        (ON_FAILURE, a_run(RunStatus.TIMED_OUT), FIRST),
        (ON_FAILURE, a_run(FAILED, None), FIRST),
        (ALWAYS, a_run(COMPLETED), FIRST),
        (ALWAYS, a_run(FAILED), FIRST),
        (ALWAYS, a_run(LOST), FIRST),
        *((policy, a_run(CANCELLED), Stay(stopped=True)) for policy in Restart),
    ],
)
def test_the_policy_says_which_ends_are_followed(
    restart: Restart, run: Run, expected: Stay | Again
) -> None:
    assert decide(known(restart), run) == expected


@pytest.mark.parametrize(
    ("failures", "up", "expected"),
    [
        (0, 0.0, Again(1, 1)),
        (1, 1.0, Again(2, 2)),
        (2, 9.9, Again(4, 3)),
        (3, 9.9, Stay(gave_up=True)),
        (3, 10.0, Again(1, 1)),
        (2, -1000.0, Again(4, 3)),  # the clock was set back while it ran
        (2, None, Again(4, 3)),
    ],
)
def test_restarts_come_slower_until_it_was_up_for_long_enough(
    failures: int, up: float | None, expected: Stay | Again
) -> None:
    assert decide(known(ALWAYS, failures=failures), a_run(FAILED, up)) == expected


def test_the_wait_is_bounded_and_so_are_the_numbers() -> None:
    assert [BACKOFF.before(n) for n in (1, 2, 3, 4, 5, 10_000)] == [1, 2, 4, 5, 5, 5]
    forever = Supervision("p", Plan(ALWAYS, Backoff(give_up_after=None)), failures=10**9)
    assert decide(forever, a_run(FAILED)) == Again(60, 10**9 + 1)


def test_what_never_was_up_is_never_forgiven() -> None:
    plan = Plan(ALWAYS, Backoff(reset_after=0, give_up_after=2))
    assert decide(Supervision("p", plan, failures=2), a_run(FAILED, None)) == Stay(gave_up=True)
    assert decide(Supervision("p", plan, failures=2), a_run(FAILED, 0.0)) == Again(1, 1)


@pytest.mark.parametrize("restart", Restart)
@pytest.mark.parametrize("status", [COMPLETED, FAILED, CANCELLED])
@pytest.mark.parametrize("ending", [None, *Ending])
def test_an_asked_for_stop_wins(restart: Restart, status: RunStatus, ending: Ending | None) -> None:
    stopped = Supervision(
        "p", Plan(restart), Wanted.STOPPED, ending_run="r" if ending else None, ending=ending
    )
    assert decide(stopped, a_run(status)) == Stay(stopped=True)


@pytest.mark.parametrize("restart", Restart)
def test_a_restart_that_was_asked_for_comes_at_once_under_every_policy(restart: Restart) -> None:
    asked = known(restart, ending_run="r", ending=Ending.RESTART, failures=3)
    assert decide(asked, a_run(CANCELLED)) == Again(0, 0)
    assert decide(asked, a_run(COMPLETED)) == Again(0, 0)


def test_what_was_ended_for_its_health_counts_as_failed() -> None:
    unhealthy = known(ON_FAILURE, ending_run="r", ending=Ending.UNHEALTHY, failures=1)
    assert decide(unhealthy, a_run(CANCELLED)) == Again(2, 2)
    another = known(ON_FAILURE, ending_run="another", ending=Ending.UNHEALTHY)
    assert decide(another, a_run(CANCELLED)) == Stay(stopped=True)


@pytest.mark.parametrize(
    ("run", "gave_up", "expected"),
    [
        (None, False, ProcessState.CREATED),
        (a_run(QUEUED, None), False, ProcessState.STARTING),
        (a_run(QUEUED, None, not_before=5.0), False, ProcessState.BACKOFF),
        (a_run(RUNNING), False, ProcessState.RUNNING),
        (a_run(COMPLETED), False, ProcessState.EXITED),
        (a_run(CANCELLED), False, ProcessState.STOPPED),
        (a_run(FAILED), False, ProcessState.FAILED),
        (a_run(LOST), False, ProcessState.FAILED),
        (a_run(FAILED), True, ProcessState.GAVE_UP),
        (a_run(RUNNING), True, ProcessState.RUNNING),
    ],
)
def test_the_state_is_that_of_the_latest_run(
    run: Run | None, gave_up: bool, expected: ProcessState
) -> None:
    assert state_of(run, known(ALWAYS, gave_up=gave_up)) is expected
    if not gave_up:
        assert state_of(run, None) is expected
