"""Users, logins and keys as tests need them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import httpx

AUTH = "/api/v1/auth"
PASSWORD = "correct horse battery"


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


def user(client: httpx.Client, name: str, role: str = "operator") -> str:
    """Make a user and return the name."""
    body = {"name": name, "password": PASSWORD, "role": role}
    assert client.post(f"{AUTH}/users", json=body).status_code == 201
    return name


def login(client: httpx.Client, name: str) -> dict[str, Any]:
    """Log in; the tokens."""
    answer = client.post(f"{AUTH}/login", data={"username": name, "password": PASSWORD})
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


def key(client: httpx.Client, *scopes: str, **more: object) -> tuple[str, str]:
    """Make an API key; its id and its text."""
    body = {"name": "test", "scopes": scopes, **more}
    made = client.post(f"{AUTH}/keys", json=body).json()
    return made["details"]["id"], made["key"]
