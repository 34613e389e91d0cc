"""How often one principal may call one route, with the counts in memory."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import httpx
import pytest
from fastapi import FastAPI
from starlette.types import ASGIApp, Receive, Scope, Send
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

from fastapi_app.identity import SCOPES
from fastapi_app.limiter import Limiter
from fastapi_app.middleware.rate_limit import RateLimit
from fastapi_app.windows import Policy
from tests.compat.serving import served
from tests.fastapi_app.routers.wire import COMMANDS, PROBLEM, RUNS, problem
from tests.fastapi_app.starting import start_app
from tests.servers import StartError

if TYPE_CHECKING:
    from pathlib import Path

LIST = f"{COMMANDS}/list"
LOGIN = "/api/v1/auth/login"
REFRESH = "/api/v1/auth/refresh"
POLICY = '"default";q=3;w=3600'


@pytest.fixture(scope="module")
def limited(tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    """A client of a server that answers three requests an hour to each route."""
    home = tmp_path_factory.mktemp("limited") / "home"
    with start_app(home, rate_limit="3/hour") as server:
        with server.client(timeout=30) as owner:
            body = {"name": "limited", "scopes": sorted(SCOPES)}
            key = owner.post("/api/v1/auth/keys", json=body).json()["key"]
        headers = {"Authorization": f"Bearer {key}"}
        with httpx.Client(base_url=server.new, headers=headers, timeout=30) as client:
            yield client
        assert server.stop() == 0
        assert b"Traceback" not in b"".join(server.printed)
        assert b"ERROR" not in b"".join(server.printed)


def test_each_answer_says_what_is_left_and_one_too_many_is_429(limited: httpx.Client) -> None:
    for left in (2, 1, 0):
        answer = limited.get(LIST)
        assert answer.status_code == 200
        assert answer.headers["RateLimit-Policy"] == POLICY
        state, t = answer.headers["RateLimit"].rsplit("=", 1)
        assert state == f'"default";r={left};t'
        assert 3590 < int(t) <= 3600
    refused = limited.get(LIST)
    found = problem(refused, 429, "rate-limited")
    assert "3 requests in 3600 s" in found["detail"]
    assert found["instance"] == LIST
    assert refused.headers["RateLimit-Policy"] == POLICY
    assert refused.headers["RateLimit"].startswith('"default";r=0;t=')
    assert 3590 < int(refused.headers["Retry-After"]) <= 3600


def test_a_route_is_counted_by_its_template_and_method(limited: httpx.Client) -> None:
    for name in ("a", "b", "c"):
        assert limited.get(f"{COMMANDS}/{name}").status_code == 404
    assert limited.get(f"{COMMANDS}/d").status_code == 429
    assert limited.delete(f"{COMMANDS}/d").status_code == 404
    assert limited.get(f"{RUNS}/x/logs").status_code == 404


def test_unknown_paths_share_one_count(limited: httpx.Client) -> None:
    for path in ("/x", "/y/z", "/" + "long" * 1000):
        assert limited.get(path).status_code == 404
    assert limited.get("/api/v1/other").status_code == 429


def test_what_is_mounted_is_one_route(limited: httpx.Client) -> None:
    for path in ("swagger-ui.css", "swagger-ui-bundle.js", "none"):
        assert limited.get(f"/static-offline-docs/{path}").status_code in {200, 404}
    assert limited.get("/static-offline-docs/favicon.png").status_code == 429


def test_handshakes_of_websockets_count_and_are_denied(limited: httpx.Client) -> None:
    url = f"ws://{limited.base_url.netloc.decode()}/ws/workflows"
    authorization = {"Authorization": limited.headers["Authorization"]}
    for left in (2, 1, 0):
        with connect(url, additional_headers=authorization) as socket:
            assert socket.response is not None
            assert socket.response.headers["RateLimit"].startswith(f'"default";r={left};t=')
    with pytest.raises(InvalidStatus) as told:
        connect(url, additional_headers=authorization)
    denied = told.value.response
    assert denied.status_code == 429
    assert denied.headers["Content-Type"] == PROBLEM
    assert int(denied.headers["Retry-After"]) > 3590
    assert b'"code":"rate-limited"' in (denied.body or b"")


@dataclass(frozen=True)
class Somebody:
    """A principal as the middleware before knows it."""

    key: str
    exempt: bool = False


class Identity:
    """Takes a header's word for who calls."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        names = [value.decode() for name, value in scope.get("headers", ()) if name == b"x-name"]
        if names:
            who = Somebody(f"user:{names[0]}", exempt=names[0] == "owner")
            scope.setdefault("state", {})["principal"] = who
        await self._app(scope, receive, send)


def build(default: str, login: str) -> FastAPI:
    """An application that limits those whom `Identity` names."""
    app = FastAPI()

    @app.get("/read")
    async def read() -> None: ...

    @app.post(LOGIN)
    @app.post(REFRESH)
    async def log_in() -> None: ...

    app.add_middleware(
        RateLimit,
        limiter=Limiter(None),
        default=Policy.of("default", default),
        login=Policy.of("login", login),
    )
    app.add_middleware(Identity)
    return app


def client_of(address: tuple[str, int]) -> httpx.Client:
    """A client of what listens there."""
    return httpx.Client(base_url=f"http://{address[0]}:{address[1]}", timeout=30)


@pytest.fixture
def named() -> Iterator[httpx.Client]:
    """A client of such an application: two requests an hour, two log-ins."""
    with served(build("2/hour", "2/hour")) as address, client_of(address) as client:
        yield client


def statuses(client: httpx.Client, method: str, path: str, *names: str) -> list[int]:
    """What each of those is answered, in turn."""
    answers = [
        client.request(method, path, headers={"X-Name": name} if name else {}) for name in names
    ]
    return [answer.status_code for answer in answers]


def test_each_principal_has_its_own_count_and_the_owner_none(named: httpx.Client) -> None:
    assert statuses(named, "GET", "/read", "ann", "ann", "ann") == [200, 200, 429]
    assert statuses(named, "GET", "/read", "bob", "", "bob", "", "") == [200, 200, 200, 200, 429]
    assert statuses(named, "GET", "/read", *["owner"] * 5) == [200] * 5
    assert "RateLimit" not in named.get("/read", headers={"X-Name": "owner"}).headers


def test_log_ins_are_counted_by_address_whoever_calls(named: httpx.Client) -> None:
    assert statuses(named, "POST", LOGIN, "ann", "owner", "owner", "") == [200, 200, 429, 429]
    assert statuses(named, "POST", REFRESH, "", "ann", "bob") == [200, 200, 429]
    refused = named.post(LOGIN)
    assert refused.headers["RateLimit-Policy"] == '"login";q=2;w=3600'
    assert statuses(named, "GET", LOGIN, "owner", "ann") == [405, 405]


def test_a_limit_that_is_off_limits_nothing() -> None:
    with served(build("off", "off")) as address, client_of(address) as client:
        assert statuses(client, "GET", "/read", *["ann"] * 150) == [200] * 150
        assert statuses(client, "POST", LOGIN, *["ann"] * 15) == [200] * 15
        assert "RateLimit" not in client.get("/read").headers


async def test_a_count_ends_with_its_window_and_old_ones_are_forgotten() -> None:
    limiter = Limiter(None)
    second, hour = Policy("s", 1, 1), Policy("h", 1, 3600)
    assert [(await limiter.hit(hour, "x")).left for _ in range(3)] == [0, -1, -2]
    for number in range(5000):
        assert (await limiter.hit(second, str(number))).left == 0
    while (await limiter.hit(second, "0")).left < 0:
        await asyncio.sleep(0.05)
    for number in range(5000, 20_000):
        await limiter.hit(second, str(number))
    assert (await limiter.hit(hour, "x")).left == -3
    assert "1" not in limiter._memory.expirations


@pytest.mark.parametrize(
    ("host", "same", "other"),
    [
        ("10.0.0.1", "::ffff:10.0.0.1", "10.0.0.2"),
        ("2001:db8:0:1::1", "2001:db8:0:1:ffff::2", "2001:db8:0:2::1"),
        ("pipe", "pipe", "socket"),
    ],
)
async def test_an_address_is_that_of_a_host_or_of_its_network(
    host: str, same: str, other: str
) -> None:
    async def answer(_scope: Scope, _receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})

    async def status(client: str) -> int:
        sent: list[int] = []

        async def send(message: dict[str, object]) -> None:
            if message["type"] == "http.response.start":
                sent.append(int(str(message["status"])))

        async def receive() -> dict[str, object]:
            return {"type": "http.disconnect"}

        scope = {"type": "http", "app": FastAPI(), "path": "/", "method": "GET"}
        await limit({**scope, "client": (client, 1)}, receive, send)  # type: ignore[arg-type]
        return sent[0]

    limit = RateLimit(answer, Limiter(None), Policy("default", 1, 3600), None)
    assert [await status(name) for name in (host, same, other)] == [200, 429, 200]


def test_the_settings_are_told_apart_from_nonsense_at_the_start(tmp_path: Path) -> None:
    with pytest.raises(StartError, match=r"MCLI_RATE_LIMIT .*should be one rate, such"):
        start_app(tmp_path / "home", rate_limit="quickly")
