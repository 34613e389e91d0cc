"""Every route of both apps says what it needs, and lets in nobody without it."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from fastapi.routing import iter_route_contexts
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

from compat.api_live import router as cutover_live
from fastapi_app.app import PUBLIC
from fastapi_app.identity import SCOPES
from fastapi_app.routers.live import router as live
from tests.servers import Server, start_dual

if TYPE_CHECKING:
    from collections.abc import Iterator

EVERYBODYS = {"/livez", "/readyz", "/api/v1/auth/login", "/api/v1/auth/refresh"}
SOCKETS = {
    "/ws/processes": "processes:read",
    "/ws/workflows": "workflows:read",
    "/ws/workflows/x": "workflows:read",
    "/ws/workflows/x/logs": "workflows:read",
    "/ws/cutover": "cutover:read",
}
ASKED_WITH_A_BODY = {"/api/v1/scheduler/preview"}
"""Changes nothing, though it is a POST."""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with start_dual(tmp_path_factory.mktemp("home")) as running:
        yield running


@pytest.fixture(scope="module")
def operations(server: Server) -> list[tuple[str, str, list[str] | None]]:
    """Method, path and scopes of every operation; `None`: nothing is declared."""
    document = httpx.get(f"{server.new}/openapi.json").json()
    found = []
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            declared: list[dict[str, list[str]]] = operation.get("security", [])
            scopes = declared[0]["Login"] if declared else None
            found.append((method.upper(), re.sub(r"\{\w+\}", "x", path), scopes))
    return found


@pytest.fixture(scope="module")
def without(server: Server) -> dict[str, str]:
    """For each scope a key that has all others."""
    keys = {}
    with server.client() as client:
        for scope in SCOPES:
            body = {"name": f"not {scope}", "scopes": sorted(SCOPES.keys() - {scope})}
            keys[scope] = client.post("/api/v1/auth/keys", json=body).json()["key"]
    return keys


def asked(server: Server, method: str, path: str, token: str | None) -> tuple[int, Any]:
    headers = {} if token is None else {"Authorization": f"Bearer {token}"}
    answer = httpx.request(method, f"{server.new}{path}", headers=headers)
    return answer.status_code, answer.json()


def test_every_operation_declares_what_it_needs(
    operations: list[tuple[str, str, list[str] | None]],
) -> None:
    assert len(operations) > 50
    assert {path for _, path, scopes in operations if scopes is None} == EVERYBODYS
    assert set(PUBLIC) >= EVERYBODYS
    for method, path, scopes in operations:
        if scopes and not path.startswith("/api/v1/auth"):
            reads = method == "GET" or path in ASKED_WITH_A_BODY
            assert all(s.endswith(":read") == reads for s in scopes), (method, path)


def test_no_operation_lets_in_who_has_no_token(
    server: Server, operations: list[tuple[str, str, list[str] | None]]
) -> None:
    for method, path, scopes in operations:
        if scopes is not None:
            for token, code in ((None, "unauthenticated"), ("x", "invalid-token")):
                status, problem = asked(server, method, path, token)
                assert (status, problem["code"]) == (401, code), (method, path)


def test_no_operation_lets_in_who_lacks_its_scope(
    server: Server,
    operations: list[tuple[str, str, list[str] | None]],
    without: dict[str, str],
) -> None:
    for method, path, scopes in operations:
        for scope in scopes or ():
            status, problem = asked(server, method, path, without[scope])
            assert (status, problem["code"]) == (403, "forbidden"), (method, path)


def test_what_is_not_there_is_told_only_to_who_is_known(server: Server) -> None:
    assert asked(server, "GET", "/api/v1/nothing", None)[0] == 401
    assert asked(server, "GET", "/api/v1/nothing", server.token)[0] == 404
    assert httpx.get(f"{server.new}/migration").status_code == 200
    assert httpx.get(f"{server.new}/docs").status_code == 200


def test_no_socket_opens_for_who_is_not_known_or_lacks_its_scope(
    server: Server, without: dict[str, str]
) -> None:
    paths = {context.path for router in (live, cutover_live) for context in contexts(router)}
    assert paths == {re.sub("/x", "/{run_id}", path) for path in SOCKETS}
    for path, scope in SOCKETS.items():
        for token, status in (("x", 401), (without[scope], 403)):
            headers = {"Authorization": f"Bearer {token}"}
            url = f"ws{server.new[4:]}{path}"
            with (
                pytest.raises(InvalidStatus) as refused,
                connect(url, additional_headers=headers, proxy=None),
            ):
                pass
            assert refused.value.response.status_code == status, path


def contexts(router: Any) -> Any:  # noqa: ANN401
    return iter_route_contexts(router.routes)
