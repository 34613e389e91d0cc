"""Old calls know neither defaults nor parameters of stored commands, in either stack."""

from __future__ import annotations

from typing import TYPE_CHECKING

import httpx
import pytest

from tests.servers import Server, start_dual

if TYPE_CHECKING:
    from collections.abc import Iterator

CODE = """# mcli:param count: integer -- Must be given
echo "$@" "A=$A" "C=$MCLI_PARAM_COUNT"; [ "$PWD" != / ] || echo in the root
"""
NAME = "declared"


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Server]]:
    """A server for each stage, with a command that declares and defaults all there is."""
    with (
        start_dual(tmp_path_factory.mktemp("new")) as new,
        start_dual(tmp_path_factory.mktemp("legacy"), MCLI_DEFAULT_STAGE="legacy") as legacy,
    ):
        for server in (new, legacy):
            with server.client() as client:
                body = {
                    "name": NAME,
                    "code": CODE,
                    "description": "searched",
                    "defaults": {"timeout": 0.001, "env": {"A": "1"}, "cwd": "/", "group": "no"},
                }
                client.post("/api/v1/commands/create", json=body).raise_for_status()
        yield {"new": new, "legacy": legacy}


@pytest.fixture(params=["new", "legacy"])
def old(request: pytest.FixtureRequest, servers: dict[str, Server]) -> Iterator[httpx.Client]:
    """A client of the old contract, which that stack answers."""
    with httpx.Client(base_url=servers[request.param].legacy, timeout=30) as client:
        assert client.get("/health").headers["X-Served-By"] == request.param
        yield client


def test_an_old_call_runs_the_script_and_nothing_else(old: httpx.Client) -> None:
    answer = old.post("/execute", json={"command_name": NAME, "args": ["x"]}).json()
    assert (answer["success"], answer["output"]) == (True, "x A= C=\n")
    started = old.post("/workflow/start", json={"name": NAME, "env": {"A": "2"}})
    assert started.status_code == 200
    stopped = old.post("/workflow/stop", json={"id": started.json()["id"]}).json()
    assert stopped["name"] == NAME


def test_old_lists_show_what_they_always_did(old: httpx.Client) -> None:
    (command,) = old.get("/commands").json()["commands"]
    assert command.keys() == {
        "id", "name", "description", "language", "group", "tags", "created_at", "updated_at",
        "execution_count", "last_executed", "is_active",
    }  # fmt: skip
    shown = old.get(f"/commands/{command['id']}").json()
    assert shown.keys() == command.keys() | {"code"}
    assert old.get("/commands/search").status_code == 404
    assert old.post("/execute", json={"command_name": command["id"]}).status_code == 404


def test_what_the_old_stack_counts_is_no_version(servers: dict[str, Server]) -> None:
    server = servers["legacy"]
    httpx.post(f"{server.legacy}/execute", json={"command_name": NAME}, timeout=30)
    with server.client() as client:
        command = client.get(f"/api/v1/commands/{NAME}").json()
        assert command["execution_count"] >= 1
        assert command["version"] == 1
        stats = client.get(f"/api/v1/commands/{NAME}/stats").json()
        assert stats["runs"] >= 1, "those of the old stack count, too"
        found = client.get("/api/v1/commands/search", params={"q": "searched"}).json()["items"]
        assert [each["command"]["name"] for each in found] == [NAME]
