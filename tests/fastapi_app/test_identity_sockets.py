"""Who may follow over a WebSocket, how a browser says who it is, and when it is over."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import connect

from tests.fastapi_app.accounts import AUTH, bearer, key, login, user
from tests.fastapi_app.routers.wire import RUNS, execute

if TYPE_CHECKING:
    import httpx
    from websockets.sync.client import ClientConnection

    from tests.servers import Server


def ws(server: Server) -> str:
    return f"ws{server.new[4:]}/ws/workflows"


def close_code(socket: ClientConnection) -> int | None:
    """What the server closes it with; what it tells before does not matter."""
    try:
        while True:
            socket.recv(10)
    except ConnectionClosed as closed:
        return closed.rcvd.code if closed.rcvd else None


def test_a_browser_offers_its_token_as_a_subprotocol(server: Server) -> None:
    offered: Any = ["mcli", f"mcli.bearer.{server.token}"]
    with connect(ws(server), subprotocols=offered, proxy=None) as socket, server.client() as client:
        assert socket.subprotocol == "mcli"
        execute(client, "true")
        assert json.loads(socket.recv(10))["type"] == "status"


def test_a_token_may_be_the_first_message(server: Server) -> None:
    with connect(ws(server), proxy=None) as socket, server.client() as client:
        socket.send(json.dumps({"token": server.token}))
        execute(client, "true")
        # What happens before the token was read is not told.
        while True:
            try:
                assert json.loads(socket.recv(0.2))["type"] == "status"
                break
            except TimeoutError:
                execute(client, "true")


@pytest.mark.parametrize(
    "sent", ['{"token": "x"}', "[]", "{", '{"token": 5}', '{"token": "\\ud800"}', "x" * 9000, None]
)
def test_a_socket_without_a_token_is_closed(server: Server, sent: str | None) -> None:
    with connect(ws(server), proxy=None) as socket:
        if sent is not None:
            socket.send(sent)
        assert close_code(socket) == 4401


def test_a_token_in_the_address_of_a_socket_is_refused(server: Server) -> None:
    for query in (f"token={server.token}", "access_token=x"):
        with pytest.raises(InvalidStatus) as refused, connect(f"{ws(server)}?{query}", proxy=None):
            pass
        assert refused.value.response.status_code == 401


def test_a_socket_needs_the_scope(server: Server, client: httpx.Client) -> None:
    _, text = key(client, "commands:read")
    with (
        pytest.raises(InvalidStatus) as refused,
        connect(ws(server), additional_headers=bearer(text), proxy=None),
    ):
        pass
    assert refused.value.response.status_code == 403
    with connect(ws(server), proxy=None) as socket:
        socket.send(json.dumps({"token": text}))
        assert close_code(socket) == 4403


def test_open_sockets_close_when_their_token_is_revoked(
    server: Server, client: httpx.Client
) -> None:
    key_id, text = key(client, "workflows:read")
    token = login(client, user(client, "finn"))["access_token"]
    with (
        connect(ws(server), additional_headers=bearer(text), proxy=None) as by_key,
        connect(ws(server), additional_headers=bearer(token), proxy=None) as by_login,
        connect(ws(server), additional_headers=server.auth, proxy=None) as owners,
    ):
        client.delete(f"{AUTH}/keys/{key_id}")
        client.patch(f"{AUTH}/users/finn", json={"is_active": False})
        for socket in (by_key, by_login):
            assert close_code(socket) == 4401
        execute(client, "true")
        assert json.loads(owners.recv(10))["type"] == "status"


@pytest.mark.parametrize("accept", ["application/x-ndjson", "text/event-stream"])
def test_open_streams_end_when_their_token_is_revoked(client: httpx.Client, accept: str) -> None:
    key_id, text = key(client, "workflows:read")
    headers = {**bearer(text), "Accept": accept}
    with client.stream("GET", f"{RUNS}/events?since=0", headers=headers, timeout=30) as stream:
        execute(client, "true")
        lines = stream.iter_lines()
        assert next(lines)
        client.delete(f"{AUTH}/keys/{key_id}")
        assert all(line is not None for line in lines)  # to their end
