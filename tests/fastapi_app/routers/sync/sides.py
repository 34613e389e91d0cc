"""The two sides: a folder of scripts, and the store behind the API."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tests.fastapi_app.routers.wire import COMMANDS

if TYPE_CHECKING:
    from pathlib import Path

    import httpx

SYNC = "/api/v1/sync"
LOCK = "workflows.lock.json"


def put(folder: Path, path: str, code: str | bytes = "echo hi\n") -> Path:
    file = folder / path
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(code if isinstance(code, bytes) else code.encode())
    return file


def store(client: httpx.Client, name: str, code: str = "echo hi\n", **fields: object) -> None:
    body = {"name": name, "code": code, **fields}
    assert client.post(f"{COMMANDS}/create", json=body).status_code == 201


def change(client: httpx.Client, name: str, **fields: object) -> None:
    assert client.put(f"{COMMANDS}/{name}", json=fields).status_code == 200


def stored(client: httpx.Client, name: str) -> dict[str, Any]:
    answer = client.get(f"{COMMANDS}/{name}")
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


def status(client: httpx.Client) -> dict[str, Any]:
    answer = client.get(f"{SYNC}/status")
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


def sync(client: httpx.Client, verb: str, **body: object) -> dict[str, Any]:
    answer = client.post(f"{SYNC}/{verb}", json=body)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


def lines(found: list[dict[str, str]]) -> list[str]:
    return [f"{line['change']} {line['name']}" for line in found]


def told(found: dict[str, Any]) -> dict[str, str]:
    return {note["about"]: note["detail"] for note in found["problems"]}


def clean(client: httpx.Client) -> bool:
    found = status(client)
    return not (found["push"] or found["pull"] or found["conflicts"] or found["problems"])
