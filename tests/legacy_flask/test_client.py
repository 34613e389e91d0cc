"""The old client against a real daemon."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import requests

if TYPE_CHECKING:
    from legacy_flask.client import LegacyClient

ALPHA = "00000000-0000-4000-8000-000000000001"


def test_reads(client: LegacyClient) -> None:
    """Everything that only asks."""
    assert client.index()["version"] == "1.0.0"
    assert client.health()["status"] == "healthy"
    assert client.status()["config"]["command_timeout"] == 1
    assert client.list_commands()["total"] + 1 == client.list_commands(all_commands=True)["total"]
    assert client.command(ALPHA)["code"] == "echo alpha\n"


def test_execute(client: LegacyClient) -> None:
    """Shell texts and stored commands."""
    assert client.execute_shell("echo hi")["output"] == "hi\n"
    assert client.execute_shell("sleep 9", timeout=0.1)["returncode"] == -1
    assert client.execute("py-args", ["a"])["output"] == "['script.py', 'a']\n"
    assert client.execute(command_id=ALPHA)["success"] is True


def test_the_configured_time_out_is_shown_as_an_integer(client: LegacyClient) -> None:
    """Without a time-out in the request the setting counts."""
    assert client.execute_shell("sleep 9")["error"] == "Command timed out after 1 seconds"


def test_refusals_raise(client: LegacyClient) -> None:
    """4xx is an exception that carries the answer."""
    with pytest.raises(requests.HTTPError) as refused:
        client.execute("nobody")
    assert refused.value.response.status_code == 404
    assert refused.value.response.json() == {"error": "Command not found"}


def test_stopped_daemon_raises(client: LegacyClient) -> None:
    """5xx is an exception too."""
    assert client.stop_daemon() == {"status": "stopped"}
    try:
        with pytest.raises(requests.HTTPError, match="503"):
            client.execute_shell("true")
    finally:
        assert client.start_daemon() == {"status": "started"}


def test_workflows(client: LegacyClient) -> None:
    """Started, and stopped by id and by name."""
    first = client.start_workflow("sleeper", env={"A": "b"})
    second = client.start_workflow("sleeper", ["x"])
    assert client.stop_workflow(name="sleeper")["id"] == second["id"]
    assert client.stop_workflow(id=first["id"])["status"] == "stopped"


def test_processes(client: LegacyClient) -> None:
    """The whole life of a process."""
    process_id = client.create_process("sleep", args=["71"], name="nap")["id"]
    client.start_process(process_id)
    assert client.process(process_id)["memory_mb"] > 0
    assert [row["name"] for row in client.processes()["processes"]] == ["nap"]
    with pytest.raises(requests.HTTPError, match="409"):
        client.remove_process(process_id)
    client.stop_process(process_id)
    client.start_process(process_id)
    client.kill_process(process_id)
    assert client.process(process_id)["status"] == "killed"
    assert client.remove_process(process_id, force=True) == {"status": "removed"}
    assert client.processes(all_processes=True)["total"] == 0


def test_process_logs(client: LegacyClient) -> None:
    """The outcome of a run that was waited for, and its last lines."""
    outcome = client.run_process("seq 3; exit 2", detach=False)
    assert (outcome["status"], outcome["exit_code"]) == ("failed", 2)
    assert client.process_logs(outcome["id"], lines=1) == {"stdout": "3\n", "stderr": ""}
    client.remove_process(outcome["id"])
