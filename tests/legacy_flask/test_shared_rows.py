"""Runs that another server began, as rows and children the old daemon did not make."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import time
import uuid
from contextlib import closing
from typing import TYPE_CHECKING

from legacy_flask import pids

if TYPE_CHECKING:
    from pathlib import Path

    from legacy_flask.client import LegacyClient
    from tests.servers import Server

OWN_MARK = f"{os.getpid()}:{pids.start_ticks(os.getpid())}"
DEAD_MARK = f"{os.getpid()}:1"


def insert(home: Path, status: str, owner: str | None, pid: int | None = None) -> str:
    """Insert a workflow's run as the new stack would."""
    run_id = str(uuid.uuid4())
    ticks = None if pid is None else pids.start_ticks(pid)
    with closing(sqlite3.connect(home / "mcli.db", timeout=5)) as connection, connection:
        connection.execute(
            "INSERT INTO runs (id, kind, name, command, status, owner, pid, pid_started, boot_id,"
            " created_at) VALUES (?, 'workflow', 'theirs', 'theirs', ?, ?, ?, ?, ?, ?)",
            (run_id, status, owner, pid, ticks, pids.BOOT_ID, time.time()),
        )
    return run_id


def column(home: Path, run_id: str, name: str) -> object:
    """Read one column of a run."""
    with closing(sqlite3.connect(home / "mcli.db", timeout=5)) as connection:
        row = connection.execute("SELECT * FROM runs WHERE id = ?", (run_id,))
        names = [entry[0] for entry in row.description]
        return dict(zip(names, row.fetchone(), strict=True))[name]


def test_a_queued_run_is_cancelled(daemon: Server, client: LegacyClient) -> None:
    """It has no child yet: the row is all there is to end."""
    run_id = insert(daemon.home, "queued", OWN_MARK)
    assert client.stop_workflow(id=run_id)["status"] == "stopped"
    assert column(daemon.home, run_id, "status") == "cancelled"
    assert column(daemon.home, run_id, "stop_requested") == 1


def test_a_run_nobody_watches_is_ended(daemon: Server, client: LegacyClient) -> None:
    """The child of a server that is gone is ended, and so is its row, at once."""
    with subprocess.Popen(["sleep", "75"], start_new_session=True) as child:
        run_id = insert(daemon.home, "running", DEAD_MARK, child.pid)
        assert client.stop_workflow(id=run_id)["status"] == "stopped"
        assert child.wait(5) == -15


def test_a_reused_pid_is_left_alone(daemon: Server, client: LegacyClient) -> None:
    """A process with the pid of the run, but another start time, is somebody else's."""
    with subprocess.Popen(["sleep", "76"], start_new_session=True) as other:
        run_id = insert(daemon.home, "running", DEAD_MARK, other.pid)
        with closing(sqlite3.connect(daemon.home / "mcli.db", timeout=5)) as connection, connection:
            connection.execute("UPDATE runs SET pid_started = 1 WHERE id = ?", (run_id,))
        assert client.stop_workflow(id=run_id)["status"] == "stopped"
        assert other.poll() is None
        other.kill()


def test_the_watcher_of_a_run_ends_its_row(daemon: Server, client: LegacyClient) -> None:
    """Who watches a run knows its exit code; the daemon only ends what nobody ended in time."""
    with subprocess.Popen(["sleep", "77"], start_new_session=True) as child:
        run_id = insert(daemon.home, "running", OWN_MARK, child.pid)
        started = time.monotonic()
        assert client.stop_workflow(id=run_id)["status"] == "stopped"
        assert 5 <= time.monotonic() - started < 8
        assert column(daemon.home, run_id, "returncode") is None
