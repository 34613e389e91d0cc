"""Starting and ending the daemon, and what survives it."""

from __future__ import annotations

import os
import signal
import socket
import sqlite3
import subprocess
import sys
import threading
import time
from contextlib import closing
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest
import requests

from legacy_flask import pids
from legacy_flask.client import LegacyClient
from tests.contract.seeds import plant
from tests.servers import ROOT, environment, start_legacy

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.servers import Server

DEADLINE_SECONDS = 10.0


def eventually(condition: Callable[[], Any]) -> None:
    """Ask again until it is so."""
    deadline = time.monotonic() + DEADLINE_SECONDS
    while not condition():
        assert time.monotonic() < deadline, "it never came to be"
        threading.Event().wait(0.01)


def refuse(home: Path, *arguments: str) -> str:
    """Start a daemon that cannot start, and return the one line it says."""
    ended = subprocess.run(
        [sys.executable, "-m", "legacy_flask", "--home", str(home), *arguments],
        cwd=ROOT,
        env=environment(home),
        capture_output=True,
        text=True,
        timeout=20,
        check=False,
    )
    assert (ended.returncode, ended.stdout) == (1, "")
    assert ended.stderr.count("\n") == 1
    return ended.stderr


def test_a_taken_port_is_refused(home: Path) -> None:
    """One clear line, and nothing is written."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        said = refuse(home, "--port", str(port))
    assert said == f"legacy daemon: cannot listen on 127.0.0.1:{port}: Address already in use\n"
    assert not home.exists()


def test_an_impossible_home_is_refused(tmp_path: Path) -> None:
    """A file in the way."""
    (tmp_path / "file").touch()
    home = tmp_path / "file" / "home"
    said = refuse(home, "--port", "0")
    assert said == f"legacy daemon: cannot open the state in {home}: Not a directory\n"


def test_a_broken_database_is_refused(home: Path) -> None:
    """What is no SQLite file, and what is no URL."""
    home.mkdir()
    (home / "mcli.db").write_bytes(b"no database at all" * 100)
    assert "file is not a database" in refuse(home, "--port", "0")
    assert "cannot open the state" in refuse(home, "--port", "0", "--database-url", "nonsense")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_ends_cleanly(home: Path, number: signal.Signals) -> None:
    """Both signals end it with 0, and it prints its line only."""
    with start_legacy(home) as server:
        server.process.send_signal(number)
        assert server.process.wait(10) == 0
        assert server.printed == [f"legacy daemon  {server.legacy}\n".encode()]


def test_background_runs_go_on_and_foreground_runs_end(home: Path) -> None:
    """A workflow outlives the daemon and is found again; a command does not."""
    with start_legacy(home) as server, LegacyClient(server.legacy) as client:
        plant(home)
        workflow = client.start_workflow("sleeper")
        pid = client.status()["active_workflows"][0]["pid"]
        held = threading.Thread(target=_ignore_end, args=(server.legacy, "sleep 72"))
        held.start()
        eventually(lambda: client.status()["active_commands"] == 1)
        assert server.stop() == 0
        held.join(10)
    ticks = pids.start_ticks(pid)
    assert pids.is_alive(pid, ticks, pids.BOOT_ID)
    with start_legacy(home) as server, LegacyClient(server.legacy) as client:
        status = client.status()
        assert [row["id"] for row in status["active_workflows"]] == [workflow["id"]]
        assert (status["active_commands"], status["command_history_count"]) == (0, 1)
        assert client.stop_workflow(id=workflow["id"])["status"] == "stopped"
        assert not pids.is_alive(pid, ticks, pids.BOOT_ID)


def test_what_a_killed_daemon_left_is_settled(home: Path) -> None:
    """A run that ended unseen is lost; one that still runs is lost when it ends."""
    with start_legacy(home) as server, LegacyClient(server.legacy) as client:
        plant(home)
        client.start_workflow("sleeper")
        client.start_workflow("slow")
        running = client.status()["active_workflows"]
        server.kill()
    os.killpg(running[0]["pid"], signal.SIGKILL)
    eventually(lambda: not _exists(running[0]["pid"]))
    with start_legacy(home) as server, LegacyClient(server.legacy) as client:
        assert [row["name"] for row in client.status()["active_workflows"]] == ["slow"]
        assert client.stop_workflow(name="sleeper")["status"] == "failed"
        os.killpg(running[1]["pid"], signal.SIGKILL)
        eventually(lambda: not client.status()["active_workflows"])
        assert client.stop_workflow(name="slow")["status"] == "failed"


def test_two_daemons_share_their_state(home: Path) -> None:
    """What one starts, the other lists and stops; neither ends what the other watches."""
    with start_legacy(home) as one, start_legacy(home) as two:
        plant(home)
        with LegacyClient(one.legacy) as first, LegacyClient(two.legacy) as second:
            workflow = first.start_workflow("sleeper")
            assert second.status()["active_workflows"][0]["id"] == workflow["id"]
            assert second.stop_workflow(name="sleeper")["status"] == "stopped"
            assert not first.status()["active_workflows"]
            process = second.run_process("sleep 73")["id"]
            assert first.start_process(process) == {"status": "started"}
            assert first.processes()["total"] == 1
            first.kill_process(process)
            assert second.process(process)["exit_code"] == -9
            assert second.stop_daemon() == {"status": "stopped"}
            with pytest.raises(requests.HTTPError, match="503"):
                first.execute_shell("true")


def test_at_most_so_many_commands_run_at_once(home: Path) -> None:
    """The others wait for their turn, and all are answered."""
    with start_legacy(home, "--max-concurrent-commands", "2") as server:
        log = home / "turns"
        command = f"echo + >> {log}; sleep 0.1; echo - >> {log}"
        callers = [
            threading.Thread(target=_ignore_end, args=(server.legacy, command)) for _ in range(6)
        ]
        for caller in callers:
            caller.start()
        for caller in callers:
            caller.join(20)
        level = highest = 0
        for turn in log.read_text().split():
            level += 1 if turn == "+" else -1
            highest = max(highest, level)
        assert (level, highest) == (0, 2)


def test_many_starts_at_once_make_one_run(home: Path) -> None:
    """A process never runs twice."""
    with start_legacy(home) as server, LegacyClient(server.legacy) as client:
        process = client.create_process(f"echo x >> {home}/started; exec sleep 74")["id"]
        callers = [
            threading.Thread(target=LegacyClient(server.legacy).start_process, args=(process,))
            for _ in range(8)
        ]
        for caller in callers:
            caller.start()
        for caller in callers:
            caller.join(20)
        eventually((home / "started").exists)
        client.stop_process(process)
        assert (home / "started").read_text() == "x\n"


def _ignore_end(url: str, command: str) -> None:
    """Ask for a command whose daemon may end before it answers."""
    try:
        with LegacyClient(url) as client:
            client.execute_shell(command)
    except requests.ConnectionError:
        pass


def _exists(pid: int) -> bool:
    return pids.is_alive(pid, pids.start_ticks(pid), pids.BOOT_ID)


@pytest.mark.parametrize("language", ["typescript", "notebook", "toml", "yaml"])
def test_a_language_of_the_new_stack_alone_is_refused_by_name(
    daemon: Server, language: str
) -> None:
    name = f"in {language}"
    with closing(sqlite3.connect(daemon.home / "mcli.db", timeout=5)) as connection, connection:
        connection.execute(
            "INSERT INTO commands (id, name, description, code, language, created_at, updated_at)"
            " VALUES (?, ?, '', 'x', ?, 1, 1)",
            (str(uuid4()), name, language),
        )
    body = {"command_name": name}
    answer = requests.post(f"{daemon.legacy}/execute", json=body, timeout=10).json()
    assert (answer["success"], answer["returncode"]) == (False, 126)
    assert answer["error"] == f"{language}: not a language of this daemon"
