"""/api/v1/commands: create, list, look up, change, delete."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING, Any
from urllib.parse import quote
from uuid import uuid4

import httpx
import pytest

from tests.fastapi_app.routers.test_execute import TIME, UUID
from tests.fastapi_app.routers.wire import COMMANDS, JSON, created, problem

if TYPE_CHECKING:
    from tests.servers import Server


@pytest.fixture
def group() -> str:
    """A group no other test uses."""
    return f"g-{uuid4().hex}"


def test_a_command_is_created_and_shown(client: httpx.Client) -> None:
    body = {
        "name": f"full-{uuid4().hex}",
        "code": "echo 'ä'\r\n",
        "language": "python",
        "description": "d",
        "group": "g",
        "tags": ["a", "ö"],
        "is_active": False,
        "defaults": {"timeout": 2.5, "env": {"A": "ü"}, "cwd": "/", "group": "slots"},
        "parameters": {"type": "object", "properties": {"n": {"type": "integer"}}},
    }
    answer = client.post(f"{COMMANDS}/create", json=body)
    assert answer.status_code == 201
    command = answer.json()
    assert answer.headers["Location"] == f"{COMMANDS}/{body['name']}"
    assert client.get(answer.headers["Location"]).json() == command
    assert UUID.fullmatch(command.pop("id"))
    assert TIME.fullmatch(command.pop("created_at"))
    assert TIME.fullmatch(command.pop("updated_at"))
    assert command == {
        **body,
        "execution_count": 0,
        "last_executed": None,
        "declared": body["parameters"],
        "version": 1,
        "namesake": None,
    }


@pytest.mark.parametrize("name", ["with space", "ünïcode ✓ 🎉", "50%?#&+", "x" * 200, "'\"<b>"])
def test_any_name_can_be_created_and_found_where_the_answer_says(
    client: httpx.Client, name: str
) -> None:
    answer = client.post(f"{COMMANDS}/create", json={"name": name, "code": "echo"})
    assert answer.status_code == 201, answer.text
    location = answer.headers["Location"]
    assert location == f"{COMMANDS}/{quote(name)}"
    assert client.get(location).json()["name"] == name
    assert client.put(location, json={"description": "x"}).status_code == 200
    assert client.delete(location).status_code == 204
    problem(client.get(location), 404, "command-not-found")


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("name", ""),
        ("name", "x" * 201),
        ("name", "a/b"),
        ("name", "a\nb"),
        ("name", "a\0b"),
        ("name", 5),
        ("name", None),
        ("code", ""),
        ("code", "a\0b"),
        ("code", ["echo"]),
        ("language", "perl"),
        ("description", "x" * 10_001),
        ("group", "x" * 201),
        ("group", "\0"),
        ("tags", "a"),
        ("tags", [1]),
        ("tags", [""]),
        ("tags", ["t"] * 101),
        ("tags", ["t" * 10_240]),
        ("defaults", {"timeout": 0}),
        ("defaults", {"nosuch": 1}),
        ("defaults", {"env": {"A=B": "x"}}),
        ("defaults", {"group": "a/b"}),
        ("parameters", []),
        ("parameters", {"x": "y" * 70_000}),
        ("is_active", "maybe"),
        ("unknown", 1),
    ],
)
def test_a_wrong_field_is_named(client: httpx.Client, field: str, value: object) -> None:
    good = {"name": f"n-{uuid4().hex}", "code": "echo"}
    found = problem(client.post(f"{COMMANDS}/create", json=good | {field: value}), 422, "invalid")
    assert all(error["pointer"].startswith(f"/{field}") for error in found["errors"])
    assert field in found["detail"]
    assert client.get(f"{COMMANDS}/{good['name']}").status_code == 404, "nothing was stored"


@pytest.mark.parametrize("field", ["name", "code", "description", "group", "tags", "unknown"])
def test_lone_surrogates_are_refused(client: httpx.Client, field: str) -> None:
    lone = rb'["\ud800"]' if field == "tags" else rb'"\ud800"'
    body = b'{"name": "s", "code": "x", "' + field.encode() + b'": ' + lone + b"}"
    problem(client.post(f"{COMMANDS}/create", content=body, headers=JSON), 422, "invalid")


def test_a_name_is_given_once(client: httpx.Client) -> None:
    name, other = created(client, f"a-{uuid4().hex}"), created(client, f"b-{uuid4().hex}")
    again = {"name": name, "code": "other"}
    problem(client.post(f"{COMMANDS}/create", json=again), 409, "command-exists")
    problem(client.put(f"{COMMANDS}/{other}", json={"name": name}), 409, "command-exists")
    assert client.get(f"{COMMANDS}/{name}").json()["code"] == "echo hi"


def test_a_change_touches_what_it_names(client: httpx.Client) -> None:
    name = created(client, f"c-{uuid4().hex}", tags=["old"], description="old")
    before = client.get(f"{COMMANDS}/{name}").json()
    answer = client.put(f"{COMMANDS}/{name}", json={"tags": [], "language": "lua", "code": None})
    after = answer.json()
    assert after["updated_at"] > before["updated_at"]
    assert after == {
        **before,
        "tags": [],
        "language": "lua",
        "version": 2,
        "updated_at": after["updated_at"],
    }
    assert client.get(f"{COMMANDS}/{name}").json() == after


def test_a_change_of_name_moves_it(client: httpx.Client) -> None:
    name, new = created(client, f"old-{uuid4().hex}"), f"new-{uuid4().hex}"
    assert client.put(f"{COMMANDS}/{name}", json={"name": new}).json()["name"] == new
    problem(client.get(f"{COMMANDS}/{name}"), 404, "command-not-found")


def test_a_wrong_change_changes_nothing(client: httpx.Client) -> None:
    name = created(client, f"w-{uuid4().hex}")
    before = client.get(f"{COMMANDS}/{name}").json()
    wrong: list[Any] = [{"code": "", "description": "x"}, {"nosuch": 1}, {"tags": "x"}, [], "x"]
    for body in wrong:
        problem(client.put(f"{COMMANDS}/{name}", json=body), 422, "invalid")
    assert client.get(f"{COMMANDS}/{name}").json() == before


@pytest.mark.parametrize("name", ["nosuch", "%00", "%ff", "x" * 3000])
def test_the_unknown_is_a_problem_everywhere(client: httpx.Client, name: str) -> None:
    url = f"{COMMANDS}/{name}"
    for answer in (client.get(url), client.put(url, json={}), client.delete(url)):
        problem(answer, 404, "command-not-found")


def test_lists_page_by_name_in_code_point_order(client: httpx.Client, group: str) -> None:
    names = [f"{start}-{group}" for start in ("b", "B", "a", "ä", "_", "Z", "9")]
    for name in names:
        created(client, name, group=group)
    seen: list[str] = []
    params: dict[str, Any] = {"group": group, "limit": 3}
    while True:
        page = client.get(f"{COMMANDS}/list", params=params).json()
        assert all("code" not in item for item in page["items"])
        seen += [item["name"] for item in page["items"]]
        if page["next_cursor"] is None:
            break
        params["cursor"] = page["next_cursor"]
    assert seen == sorted(names)


def test_lists_filter(client: httpx.Client, group: str) -> None:
    off = created(client, f"off-{group}", group=group, is_active=False)
    lua = created(client, f"lua-{group}", group=group, language="lua")

    def names(**params: Any) -> list[str]:  # noqa: ANN401
        page = client.get(f"{COMMANDS}/list", params={"group": group, **params}).json()
        return [item["name"] for item in page["items"]]

    assert names() == [lua]
    assert names(all=True) == [lua, off]
    assert names(all=True, language="shell") == [off]
    assert names(group="\0") == []


@pytest.mark.parametrize(
    ("params", "code"),
    [
        ({"cursor": "x"}, "invalid-cursor"),
        ({"cursor": "WyJcdWQ4MDAiXQ"}, "invalid-cursor"),  # ["\ud800"]
        ({"cursor": "WyJcdTAwMDAiXQ"}, "invalid-cursor"),  # ["\u0000"]
        ({"cursor": "W1tb" * 9000}, "invalid-cursor"),  # [[[[…
        ({"limit": "0"}, "invalid"),
        ({"language": "perl"}, "invalid"),
        ({"all": "maybe"}, "invalid"),
    ],
)
def test_lists_refuse(client: httpx.Client, params: dict[str, str], code: str) -> None:
    problem(client.get(f"{COMMANDS}/list", params=params), 422, code)


def test_what_is_deleted_leaves_its_runs(client: httpx.Client) -> None:
    name = created(client, f"d-{uuid4().hex}")
    run_id = client.post("/api/v1/workflows/start", json={"name": name}).json()["job_id"]
    answer = client.delete(f"{COMMANDS}/{name}")
    assert (answer.status_code, answer.content) == (204, b"")
    assert client.get(f"/api/v1/workflows/{run_id}/logs?follow=true").text == "hi\n"


def test_lists_filter_by_tags_and_by_being_active(client: httpx.Client, group: str) -> None:
    both = created(client, f"both-{group}", group=group, tags=["a", "b c"])
    one = created(client, f"one-{group}", group=group, tags=["a"])
    off = created(client, f"off-{group}", group=group, tags=["a"], is_active=False)

    def names(**params: Any) -> list[str]:  # noqa: ANN401
        page = client.get(f"{COMMANDS}/list", params={"group": group, **params}).json()
        return [item["name"] for item in page["items"]]

    assert names(tag="a") == [both, one]
    assert names(tag=["a", "b c"]) == [both]
    assert names(tag="b") == []
    assert names(active=False) == [off]
    assert names(active=True, all=True) == [both, one]
    tags = {
        each["tag"]: each["commands"] for each in client.get(f"{COMMANDS}/tags").json()["items"]
    }
    assert tags["a"] >= 3
    assert tags["b c"] >= 1


@pytest.mark.parametrize("word", ["create", "export", "import", "list", "search", "tags"])
def test_the_words_of_routes_are_no_names(client: httpx.Client, word: str) -> None:
    answer = client.post(f"{COMMANDS}/create", json={"name": word, "code": "true"})
    assert "routes have these names" in problem(answer, 422, "invalid")["detail"]
    name = created(client, f"w-{uuid4().hex}")
    problem(client.put(f"{COMMANDS}/{name}", json={"name": word}), 422, "invalid")
    bundle = {"items": [{"name": word, "code": "true"}]}
    problem(client.post(f"{COMMANDS}/import", json=bundle), 422, "invalid")


def test_a_command_that_has_such_a_name_all_the_same_is_reached(
    client: httpx.Client, server: Server
) -> None:
    """It may be from before the word was taken, or from the old stack."""
    key = str(uuid4())
    with closing(sqlite3.connect(server.home / "mcli.db", timeout=5)) as connection, connection:
        connection.execute(
            "INSERT INTO commands (id, name, code, language, created_at, updated_at)"
            " VALUES (?, 'search', 'echo found', 'shell', 1, 1)",
            (key,),
        )
    try:
        listed = client.get(f"{COMMANDS}/list", params={"limit": 1000}).json()["items"]
        assert [each["id"] for each in listed if each["name"] == "search"] == [key]
        shown = client.get(f"{COMMANDS}/{key}").json()
        assert (shown["name"], shown["code"]) == ("search", "echo found")
        assert client.put(f"{COMMANDS}/{key}", json={"code": "echo new"}).json()["version"] == 2
        started = client.post("/api/v1/workflows/start", json={"name": "search"})
        assert started.status_code == 202
    finally:
        assert client.delete(f"{COMMANDS}/{key}").status_code == 204


def test_names_that_differ_in_case_are_both_kept_and_told(client: httpx.Client) -> None:
    key = uuid4().hex
    created(client, f"Case-{key}")
    second = {"name": f"case-{key}", "code": "true"}
    answer = client.post(f"{COMMANDS}/create", json=second).json()
    assert answer["namesake"] == f"Case-{key}"
    assert client.get(f"{COMMANDS}/Case-{key}").json()["code"] == "echo hi"
    assert client.get(f"{COMMANDS}/Case-{key}").json()["namesake"] == f"case-{key}"
