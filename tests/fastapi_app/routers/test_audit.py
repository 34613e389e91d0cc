"""`/api/v1/audit` of a real server."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import httpx
import pytest

from tests.fastapi_app.routers.wire import COMMANDS, created, problem
from tests.fastapi_app.starting import start_app

if TYPE_CHECKING:
    from pathlib import Path

AUDIT = "/api/v1/audit"
NAME = "audited"


def entries(client: httpx.Client, **query: object) -> list[dict[str, Any]]:
    answer = client.get(AUDIT, params={**query})  # type: ignore[dict-item]
    assert answer.status_code == 200, answer.text
    found: list[dict[str, Any]] = answer.json()["items"]
    return found


def test_what_is_done_to_commands_is_written_down(client: httpx.Client) -> None:
    headers = {"X-Request-Id": "made-it"}
    body = {"name": NAME, "code": "echo hi"}
    assert client.post(f"{COMMANDS}/create", json=body, headers=headers).status_code == 201
    assert client.put(f"{COMMANDS}/{NAME}", json={"description": "x"}).status_code == 200
    assert client.delete(f"{COMMANDS}/{NAME}").status_code == 204
    deleted, changed, made = entries(client, subject=NAME)
    actions = ["command.delete", "command.change", "command.create"]
    assert [entry["action"] for entry in (deleted, changed, made)] == actions
    assert changed["detail"] == "description"
    assert made.pop("seq") < changed["seq"] < deleted["seq"]
    assert made.pop("at").endswith("Z")
    assert made == {
        "action": "command.create",
        "subject": NAME,
        "outcome": "done",
        "detail": "",
        "principal": "token:home",
        "name": "owner",
        "address": "127.0.0.1",
        "request_id": "made-it",
    }


def test_what_was_refused_changed_nothing(client: httpx.Client) -> None:
    assert client.delete(f"{COMMANDS}/never-was").status_code == 404
    assert entries(client, subject="never-was") == []


def test_pages_follow_each_other(client: httpx.Client) -> None:
    for number in range(3):
        created(client, f"paged-{number}")
    first = client.get(AUDIT, params={"limit": 2, "action": "command.create"}).json()
    query = {"limit": 1, "action": "command.create", "cursor": first["next_cursor"]}
    second = client.get(AUDIT, params=query).json()
    found = [entry["subject"] for entry in (*first["items"], *second["items"])]
    assert found == ["paged-2", "paged-1", "paged-0"]


@pytest.mark.parametrize("query", [{"cursor": "x"}, {"cursor": "WyJhIl0"}, {"cursor": "Wy0xXQ"}])
def test_a_cursor_nobody_made_is_refused(client: httpx.Client, query: dict[str, str]) -> None:
    problem(client.get(AUDIT, params=query), 422, "invalid-cursor")


@pytest.mark.parametrize("query", [{"limit": 0}, {"outcome": "x"}])
def test_a_wrong_parameter_is_refused(client: httpx.Client, query: dict[str, object]) -> None:
    problem(client.get(AUDIT, params={**query}), 422, "invalid")  # type: ignore[dict-item]


def test_what_no_database_can_hold_is_not_there(client: httpx.Client) -> None:
    assert entries(client, subject="\0") == []


def test_starts_and_stops_are_written_down(home: Path) -> None:
    for _ in range(2):
        with start_app(home) as server:
            assert server.stop() == 0
    with start_app(home) as server, server.client() as client:
        found = [entry["action"] for entry in reversed(entries(client))]
    assert found == [*["server.start", "server.stop"] * 2, "server.start"]
