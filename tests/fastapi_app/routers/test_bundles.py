"""/api/v1/commands/import and export: all or none, and out and in again is the same."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

import httpx
import pytest

from tests.fastapi_app.routers.wire import COMMANDS, created, problem


def loaded(client: httpx.Client, items: list[Any], **params: bool) -> list[dict[str, Any]]:
    """What becomes of the items of an import."""
    answer = client.post(f"{COMMANDS}/import", json={"items": items}, params=params)
    assert answer.status_code == 200, answer.text
    found: list[dict[str, Any]] = answer.json()["items"]
    return found


def outcomes(items: list[dict[str, Any]]) -> list[str]:
    """In one word each."""
    return [item["outcome"] for item in items]


@pytest.fixture
def group() -> str:
    """A group no other test uses."""
    return f"g-{uuid4().hex}"


def test_out_and_in_again_is_the_same(client: httpx.Client, group: str) -> None:
    created(client, f"plain-{group}", "echo 'ä'\r\n", group=group)
    created(
        client,
        f"full-{group}",
        "[steps.a]\nrun = 'true'",
        language="toml",
        description="d",
        group=group,
        tags=["x", "ö"],
        is_active=False,
        defaults={"timeout": 2.5, "env": {"A": "1"}, "cwd": "/", "group": "slots"},
        parameters={"type": "object", "properties": {"n": {"type": "integer"}}},
    )
    params: dict[str, str | int] = {"group": group, "all": True, "limit": 1000}
    bundle = client.get(f"{COMMANDS}/export", params=params).json()
    assert (bundle["format"], bundle["version"], len(bundle["items"])) == ("mcli-commands", 1, 2)
    assert outcomes(loaded(client, bundle["items"])) == ["unchanged", "unchanged"]
    for item in bundle["items"]:
        client.delete(f"{COMMANDS}/{item['name']}")
    answer = client.post(f"{COMMANDS}/import", json=bundle)
    assert outcomes(answer.json()["items"]) == ["created", "created"]
    assert client.get(f"{COMMANDS}/export", params=params).json() == bundle
    (version,) = client.get(f"{COMMANDS}/full-{group}/versions").json()["items"]
    assert (version["author"], version["note"]) == ("owner", "imported")


def test_exports_come_in_pages(client: httpx.Client, group: str) -> None:
    names = [created(client, f"{n}-{group}", group=group) for n in "abc"]
    params: dict[str, str | int] = {"group": group, "limit": 2}
    page = client.get(f"{COMMANDS}/export", params=params).json()
    params["cursor"] = page["next_cursor"]
    rest = client.get(f"{COMMANDS}/export", params=params).json()
    assert [item["name"] for item in page["items"] + rest["items"]] == names
    assert rest["next_cursor"] is None


def test_what_says_something_else_is_a_conflict_and_nothing_is_stored(
    client: httpx.Client, group: str
) -> None:
    name, new = created(client, f"there-{group}", tags=["t"]), f"new-{group}"
    items = [{"name": new, "code": "true"}, {"name": name, "code": "other"}]
    answer = client.post(f"{COMMANDS}/import", json={"items": items})
    found = problem(answer, 409, "import-conflict")
    assert found["errors"] == [{"pointer": "/items/1", "detail": f"{name!r} has another code"}]
    assert "update=true" in found["detail"]
    problem(client.get(f"{COMMANDS}/{new}"), 404, "command-not-found")
    assert client.get(f"{COMMANDS}/{name}").json()["version"] == 1
    told = loaded(client, items, dry_run=True)
    assert outcomes(told) == ["created", "conflict"]
    assert told[1]["changed"] == ["code"]
    assert outcomes(loaded(client, items, dry_run=True, update=True)) == ["created", "updated"]
    problem(client.get(f"{COMMANDS}/{new}"), 404, "command-not-found")


def test_an_update_is_a_version_and_leaves_alone_what_is_not_given(
    client: httpx.Client, group: str
) -> None:
    name = created(client, f"there-{group}", tags=["t"], description="d")
    item = {"name": name, "code": "other"}
    assert outcomes(loaded(client, [item], update=True)) == ["updated"]
    after = client.get(f"{COMMANDS}/{name}").json()
    assert (after["code"], after["tags"], after["description"]) == ("other", ["t"], "d")
    assert after["version"] == 2
    assert outcomes(loaded(client, [item])) == ["unchanged"]


def test_what_can_never_be_stored_is_told_by_its_place(client: httpx.Client, group: str) -> None:
    items = [
        {"name": f"a-{group}", "code": "true"},
        {"name": f"b-{group}", "code": "no = 1", "language": "toml"},
        {"name": f"a-{group}", "code": "true"},
        {"name": f"c-{group}", "code": "# mcli:param x"},
    ]
    answer = client.post(f"{COMMANDS}/import", json={"items": items}, params={"dry_run": True})
    errors = problem(answer, 422, "invalid-import")["errors"]
    assert [error["pointer"] for error in errors] == [
        "/items/1/code",
        "/items/2/name",
        "/items/3/code",
    ]
    problem(client.get(f"{COMMANDS}/a-{group}"), 404, "command-not-found")


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({}, "/items"),
        ({"items": [{"name": "x"}]}, "/items/0/code"),
        ({"items": [{"name": "x", "code": "y", "id": "z"}]}, "/items/0/id"),
        ({"items": [{"name": "x", "code": "y"}] * 1001}, "/items"),
        ({"items": [], "version": 2}, "/version"),
        ({"items": [], "format": "other"}, "/format"),
    ],
)
def test_a_body_that_is_no_bundle_is_refused(
    client: httpx.Client, body: dict[str, Any], pointer: str
) -> None:
    found = problem(client.post(f"{COMMANDS}/import", json=body), 422, "invalid")
    assert found["errors"][0]["pointer"] == pointer


def test_nothing_is_imported_of_nothing(client: httpx.Client) -> None:
    assert loaded(client, []) == []
