"""The scenarios, very small, and readers and checks that must notice when something is wrong."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from sqlalchemy import create_engine, insert

from fastapi_app.storage.tables import metadata, runs, transitions
from loadtests.api import Api
from loadtests.chaos import Told, compare
from loadtests.followers import Text, follow
from loadtests.memory import Growth
from loadtests.scenarios import SCENARIOS
from loadtests.servers import RESIDENT, Server, dual
from loadtests.staging import QUICK, Scenario

if TYPE_CHECKING:
    from pathlib import Path

SMALL = replace(
    QUICK,
    rounds=1,
    start_seconds=0.3,
    sleeps=20,
    sleep_seconds=0.1,
    followers=5,
    lines=300,
    idle=2,
    log_bytes=2_000_000,
    calls=20,
)
# What the tests of the app itself go through is left out.
PLAYED = [scenario for scenario in SCENARIOS.values() if scenario.key != "kills"]


@pytest.mark.parametrize("scenario", PLAYED, ids=lambda scenario: scenario.key)
def test_scenarios(scenario: Scenario) -> None:
    found = scenario.run(SMALL)
    assert found
    assert [figure for figure in found if figure.wrong] == []
    assert all(figure.value > 0 for figure in found if figure.unit in {"s", "x"})


@pytest.mark.parametrize(
    ("printed", "expected", "problem"),
    [
        ("one\ntwo\n", "one\ntwo\n", None),
        ("one\ntwo\n", "one\ntoo\n", "not what was printed"),
        ("one\n", "one\ntwo\n", "4 characters instead of 8"),
        ("one\none\n", "one\n", "8 characters instead of 4"),
    ],
)
async def test_followers_check_what_they_read(
    both: Server, printed: str, expected: str, problem: str | None
) -> None:
    url = both.urls["new API"]
    with Api(url) as api:
        run_id = api.background(f"printf '{printed}'")
    (follower,) = await follow(url, run_id, Text(expected, len(expected)), 1)
    if problem is None:
        assert await follower.over > 0
    else:
        with pytest.raises(ValueError, match=problem):
            await follower.over


async def test_follower_of_nothing(both: Server) -> None:
    (follower,) = await follow(both.urls["new API"], "none", Text("x", 1), 1)
    with pytest.raises(ValueError, match="closed with 4404"):
        await follower.over


def test_resident_server_holds_its_memory(tmp_path: Path) -> None:
    with dual("new", RESIDENT).start(tmp_path) as server:
        assert Growth(server.process.pid).resident > 500


def row(run_id: str, status: str, attempt: int = 1) -> dict[str, object]:
    return {"id": run_id, "kind": "execute", "command": "x", "created_at": 1.0} | {
        "status": status,
        "attempt": attempt,
    }


def test_chaos_finds_every_kind_of_violation(tmp_path: Path) -> None:
    engine = create_engine(f"sqlite:///{tmp_path}/mcli.db")
    metadata.create_all(engine)
    rows = [
        *(row("good", "completed", attempt=2), row("twice", "failed"), row("never", "completed")),
        *(row("lost", "lost"), row("open", "running"), row("two ends", "cancelled")),
    ]
    ends = ["good", "twice", "never", "lost", "two ends", "two ends"]
    with engine.begin() as connection:
        connection.execute(insert(runs), rows)
        status = {str(row["id"]): row["status"] for row in rows}
        history = [
            {"run_id": run_id, "attempt": 1, "status": status[run_id], "at": 1.0} for run_id in ends
        ]
        connection.execute(insert(transitions), history)
    engine.dispose()
    told = Told(tmp_path / "ledger")
    for run_id in ("good", "lost", "gone"):
        told.expect(run_id, "completed")
    started = Counter({"good": 2, "twice": 2, "lost": 1, "unknown": 2, "once": 1})
    found = [line.partition(", kind")[0] for line in compare(told, tmp_path / "mcli.db", started)]
    assert found == [
        "a run that must end completed: id lost",
        "run gone was acknowledged and is gone",
        "executed 2 times: id twice",
        "completed, but executed 0 times: id never",
        "not over: id open",
        "2 final states: id two ends",
        "run unknown, which is unknown, was executed 2 times",
    ]
