"""/api/v1/commands/search and similar: by text, by names spelled nearly right, by likeness."""

from __future__ import annotations

import os
import signal
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import httpx
import psutil
import pytest

from tests.fastapi_app.routers.wire import COMMANDS, created, problem
from tests.fastapi_app.starting import until

if TYPE_CHECKING:
    from tests.servers import Server


@pytest.fixture(scope="module")
def key(client: httpx.Client) -> str:
    """A word that all commands of this file have in their group, and no others."""
    key = f"k{uuid4().hex}"
    for name, code in (
        ("deploy-site", "rsync --archive public/ web:/srv/www && systemctl reload nginx"),
        ("deploy-api", "rsync --archive dist/ api:/srv/api && systemctl restart api"),
        ("backup-database", "pg_dump --format custom production > /backups/latest"),
    ):
        created(client, f"{name}-{key}", code, group=key, description="Nightly")
    created(client, f"off-{key}", "rsync nothing", group=key, is_active=False)
    return key


def found(client: httpx.Client, query: str, **params: str | int) -> list[dict[str, Any]]:
    """What a search finds."""
    answer = client.get(f"{COMMANDS}/search", params={"q": query, **params})
    assert answer.status_code == 200, answer.text
    items: list[dict[str, Any]] = answer.json()["items"]
    return items


def names(items: list[dict[str, Any]]) -> list[str]:
    """Names of the commands."""
    return [item["command"]["name"] for item in items]


def test_words_are_found_wherever_they_stand(client: httpx.Client, key: str) -> None:
    assert names(found(client, f"deploy {key}")) == [f"deploy-api-{key}", f"deploy-site-{key}"]
    assert names(found(client, f"pg_dump {key}")) == [f"backup-database-{key}"]
    (one,) = found(client, f"backup-database-{key}")
    assert (one["by"], "code" in one["command"]) == ("text", False)
    assert one["score"] > 0
    assert len(found(client, key, all=True)) == 4
    assert len(found(client, key, limit=2)) == 2


def test_names_spelled_nearly_right_are_found(client: httpx.Client, key: str) -> None:
    (first, *_) = found(client, f"bakcup-databse-{key}", group=key)
    assert (first["command"]["name"], first["by"]) == (f"backup-database-{key}", "name")
    assert 0.65 <= first["score"] < 1
    assert found(client, f"bakcup-databse-{key}", mode="text") == []
    assert names(found(client, "databsae", mode="fuzzy", group=key)) == [f"backup-database-{key}"]
    assert found(client, "zzzzzzzzzz", group=key) == []
    assert found(client, "off", mode="fuzzy", group=key) == []


def test_a_new_name_is_found_at_once(client: httpx.Client) -> None:
    name = created(client, f"zebra{uuid4().hex}")
    typo = name.replace("zebra", "zerba")
    assert names(found(client, typo)) == [name]
    client.delete(f"{COMMANDS}/{name}")
    assert found(client, typo) == []


def test_operators_are_plain_text(client: httpx.Client, key: str) -> None:
    created(client, f"odd-{key}", f'echo "%_*" {key}')
    assert f"odd-{key}" in names(found(client, '"%_*'))
    for query in ('"', "*", "a OR", "NEAR(", "name:", "-", "' --", "&|!", "(", "\\", "^", "🎉"):
        found(client, query)
        found(client, query, mode="fuzzy")


@pytest.mark.parametrize(
    "params",
    [{}, {"q": ""}, {"q": "  "}, {"q": "x" * 201}, {"q": "x", "mode": "y"}, {"q": "x", "limit": 0}],
)
def test_a_wrong_search_is_refused(client: httpx.Client, params: dict[str, str]) -> None:
    problem(client.get(f"{COMMANDS}/search", params=params), 422, "invalid")


def similar(client: httpx.Client, name: str, **params: int) -> list[tuple[str, float]]:
    """Names and likeness of the commands most like one."""
    answer = client.get(f"{COMMANDS}/{name}/similar", params=params)
    assert answer.status_code == 200, answer.text
    return [(item["command"]["name"], item["score"]) for item in answer.json()["items"]]


def child_of(server: Server) -> psutil.Process | None:
    """The process that compares commands."""
    for child in psutil.Process(server.pid).children():
        if "similarity_child" in " ".join(child.cmdline()):
            return child
    return None


def test_commands_that_say_much_the_same_are_similar(client: httpx.Client, key: str) -> None:
    near = similar(client, f"deploy-site-{key}")
    assert near[0][0] == f"deploy-api-{key}"
    assert 1 > near[0][1] > dict(near)[f"backup-database-{key}"] > 0
    assert f"deploy-site-{key}" not in dict(near)
    assert len(similar(client, f"deploy-site-{key}", limit=1)) == 1


def test_what_has_changed_is_compared_as_it_is(client: httpx.Client, key: str) -> None:
    body = {"code": "pg_dump --format custom production > /backups/latest"}
    client.put(f"{COMMANDS}/deploy-api-{key}", json=body)
    assert similar(client, f"backup-database-{key}")[0][0] == f"deploy-api-{key}"
    twin = created(client, f"backup-twin-{key}", body["code"], group=key, description="Nightly")
    assert similar(client, f"backup-database-{key}")[0][0] == twin
    client.delete(f"{COMMANDS}/{twin}")
    assert twin not in dict(similar(client, f"backup-database-{key}"))


def test_a_child_that_has_ended_is_started_again(
    client: httpx.Client, server: Server, key: str
) -> None:
    before = similar(client, f"backup-database-{key}")
    child = child_of(server)
    assert child is not None
    os.kill(child.pid, signal.SIGKILL)
    assert similar(client, f"backup-database-{key}") == before
    again = child_of(server)
    assert again is not None
    assert again.pid != child.pid
    until(lambda: not child.is_running())
