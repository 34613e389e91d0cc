"""Managed processes and servers that come and go: each is taken up again, and restarted once."""

from __future__ import annotations

import os
import signal
import sqlite3
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from fastapi_app.engine.traces import read_trace
from tests.fastapi_app.starting import start_app, until
from tests.fastapi_app.watching import AT_ONCE, LATE, act, look, make, watching

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.servers import Server

SLEEP = "exec sleep 600"
ALWAYS: dict[str, Any] = {"restart": "always", "backoff": AT_ONCE}


@pytest.fixture
def first(home: Path) -> Iterator[Server]:
    with start_app(home, stop_grace="0.3") as running:
        yield running


def runs(home: Path, process_id: str) -> int:
    """How often a process was started, or is about to be."""
    with closing(sqlite3.connect(home / "mcli.db", timeout=5)) as connection:
        query = "SELECT count(*) FROM runs WHERE process_id = ?"
        return int(connection.execute(query, (process_id,)).fetchone()[0])


def has_ended(state: str) -> bool:
    trace = read_trace(state)
    return trace is not None and trace.ended


def test_after_kill_9_of_the_server_each_goes_on_as_it_is_to(first: Server, home: Path) -> None:
    with first.client() as client:
        kept = make(client, SLEEP, **ALWAYS)
        died = make(client, SLEEP, **ALWAYS)
        died_for_good = make(client, SLEEP, restart="no")
        stopped = make(client, SLEEP, autostart=True, **ALWAYS)
        act(client, stopped, "stop")
        waits = make(client, "exit 1", restart="always", backoff=LATE)
        with watching(first, waits) as watch:
            watch.until_state("backoff")
        unstarted = make(client, SLEEP, path="", autostart=True)
        over = make(client, "true", autostart=True, detach=False)
    first.kill()
    for process in (died, died_for_good):
        os.kill(process["pid"], signal.SIGKILL)
        until(partial(has_ended, f"{home}/logs/{process['run_id']}.state"))
    with start_app(home, stop_grace="0.3") as second, second.client() as client:
        with watching(second, died) as watch:
            again = watch.until(lambda p: p["state"] == "running" and p["pid"] != died["pid"])
        assert again["restarts"] == 1
        with watching(second, unstarted) as watch:
            watch.until_state("running")
        until(lambda: runs(home, over["id"]) == 2)
        now = {p["id"]: look(client, p) for p in (kept, died_for_good, stopped, waits)}
        same = now[kept["id"]]
        assert (same["state"], same["pid"], same["restarts"]) == ("running", kept["pid"], 0)
        assert now[died_for_good["id"]]["state"] == "failed"
        assert now[stopped["id"]]["state"] == "stopped"
        assert now[waits["id"]]["state"] == "backoff"
        counts = [runs(home, p["id"]) for p in (kept, died, died_for_good, stopped, waits)]
        assert counts == [1, 2, 1, 1, 2]
        # It is looked after as before: killed, it comes back; stopped, it does not.
        os.kill(kept["pid"], signal.SIGKILL)
        with watching(second, kept) as watch:
            watch.until(lambda p: p["state"] == "running" and p["pid"] != kept["pid"])
        assert act(client, waits, "stop")["state"] == "stopped"
        for process in (kept, died, unstarted):
            act(client, process, "kill")


def test_a_back_off_goes_on_over_a_crash_whatever_the_clock_says(first: Server, home: Path) -> None:
    with first.client() as client:
        made = make(client, "exit 1", restart="always", backoff={"delay": 2, "longest": 2})
        with watching(first, made) as watch:
            waiting = watch.until_state("backoff")
    first.kill()
    # As if the clock had been set back by a day since.
    with closing(sqlite3.connect(home / "mcli.db", timeout=5)) as connection, connection:
        connection.execute(
            "UPDATE runs SET not_before = not_before + 86400 WHERE id = ?", (waiting["run_id"],)
        )
    with start_app(home) as second, second.client() as client:
        with watching(second, made) as watch:
            watch.until(lambda p: p["restarts"] == 2)
        assert act(client, made, "stop")["state"] == "stopped"


def test_a_restart_that_was_cut_short_is_finished(first: Server, home: Path) -> None:
    with first.client() as client:
        made = make(client, "trap '' TERM; echo $$; while :; do sleep 0.02; done")
    first.kill()
    # What the server writes down before it sends the first signal.
    with closing(sqlite3.connect(home / "mcli.db", timeout=5)) as connection, connection:
        connection.execute(
            "UPDATE supervision SET ending_run = ?, ending = 'restart' WHERE process_id = ?",
            (made["run_id"], made["id"]),
        )
    with start_app(home, stop_grace="0.2") as second, second.client() as client:
        with watching(second, made) as watch:
            watch.until(lambda p: p["state"] == "running" and p["pid"] != made["pid"])
        assert not Path(f"/proc/{made['pid']}").exists()
        act(client, made, "kill")


@pytest.mark.postgres
def test_one_server_of_two_looks_after_it(home: Path, postgres_url: str) -> None:
    other_home = home.with_name("other")
    with (
        start_app(home, database_url=postgres_url) as one,
        start_app(other_home, database_url=postgres_url) as other,
        one.client() as client,
        other.client() as elsewhere,
    ):
        made = make(client, SLEEP, **ALWAYS)
        with watching(other, made) as watch:
            os.kill(made["pid"], signal.SIGKILL)
            now = watch.until(lambda p: p["state"] == "running" and p["pid"] != made["pid"])
            assert now["restarts"] == 1
            assert act(elsewhere, made, "stop")["state"] == "stopped"
            watch.until_state("stopped")
            # Who starts it looks after it from then on.
            moved = act(elsewhere, made, "start")
            one.kill()
            os.kill(moved["pid"], signal.SIGKILL)
            now = watch.until(lambda p: p["state"] == "running" and p["pid"] != moved["pid"])
            assert now["restarts"] == 2
        act(elsewhere, made, "kill")
