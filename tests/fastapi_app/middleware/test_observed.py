"""Ids of requests, and the access log, from real servers."""

from __future__ import annotations

import json
import re
import uuid
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

from tests.fastapi_app.routers.wire import RUNS, connected, execute, problem, request
from tests.fastapi_app.starting import start_app, until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.servers import Server

ID = "X-Request-Id"


def test_every_answer_has_an_id_of_its_own(client: httpx.Client) -> None:
    paths = ("/livez", f"{RUNS}/nobody", "/nope", "/openapi.json", "/static-offline-docs/x")
    answers = [client.get(path) for path in (*paths, *paths)]
    ids = [answer.headers[ID] for answer in answers]
    assert len(set(ids)) == len(ids)
    assert {uuid.UUID(found).version for found in ids} == {7}


@pytest.mark.parametrize("given", ["a", "0.A_b-9", "x" * 128])
def test_the_id_of_the_client_is_kept(client: httpx.Client, given: str) -> None:
    answer = client.get(f"{RUNS}/nobody", headers={ID: given})
    assert answer.headers[ID] == given
    assert answer.headers.get_list(ID) == [given]
    assert problem(answer, 404, "run-not-found")["request_id"] == given


@pytest.mark.parametrize("given", ["", "x" * 129, "a b", "a;b", "a\tb", "a/b", 'a"b', "\xe9"])
def test_an_id_that_might_harm_is_replaced(client: httpx.Client, given: str) -> None:
    answer = client.get("/livez", headers={ID.encode(): given.encode("latin-1")})
    assert uuid.UUID(answer.headers[ID]).version == 7


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "code"),
    [
        ("GET", f"{RUNS}/nobody", None, 404, "run-not-found"),
        ("GET", "/api/v1/nope", None, 404, "not-found"),
        ("PATCH", f"{RUNS}/list", None, 405, "method-not-allowed"),
        ("POST", f"{RUNS}/execute", {"command": 1}, 422, "invalid"),
        ("POST", f"{RUNS}/start", {"name": "nobody"}, 404, "command-not-found"),
    ],
)
def test_every_problem_tells_its_id(
    client: httpx.Client, method: str, path: str, body: object, status: int, code: str
) -> None:
    answer = client.request(method, path, json=body)
    assert problem(answer, status, code)["request_id"] == answer.headers[ID]


def test_a_body_that_is_refused_before_it_is_read_has_one(server: Server) -> None:
    head = request("POST", f"{RUNS}/execute", b"", "Content-Length: 99999999999")
    with connected(server.new, head) as wire:
        head, _, body = b"".join(iter(lambda: wire.recv(4096), b"")).partition(b"\r\n\r\n")
    found = re.search(rb"X-Request-Id: (\S+)", head)
    assert found is not None
    assert json.loads(body)["request_id"] == found[1].decode()


def lines(server: Server) -> list[dict[str, Any]]:
    """Lines of JSON it has printed."""
    return [json.loads(line) for line in b"".join(server.printed).splitlines() if line[:1] == b"{"]


@pytest.fixture(scope="module")
def talkative(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server that writes a line for each answer."""
    with start_app(tmp_path_factory.mktemp("home"), access_log="all", log_format="json") as server:
        yield server


def line_of(server: Server, request_id: str) -> dict[str, Any]:
    """The line of the access log about that request."""
    (found,) = until(lambda: [e for e in lines(server) if e.get("request_id") == request_id])
    assert isinstance(found, dict)
    return found


def test_a_line_tells_who_asked_for_what_and_how_it_went(talkative: Server) -> None:
    with talkative.client() as client:
        run_id = execute(client, "true")["job_id"]
        answer = client.get(f"{RUNS}/{run_id}?token=hunter2hunter2", headers={ID: "this-one"})
    line = line_of(talkative, "this-one")
    assert line.pop("ms") > 0
    assert line.pop("timestamp").endswith("Z")
    assert line == {
        "event": "request",
        "method": "GET",
        "route": f"{RUNS}/{{run_id}}",
        "path": f"{RUNS}/{run_id}",
        "status": 200,
        "bytes": len(answer.content),
        "address": "127.0.0.1",
        "principal": "owner",
        "request_id": "this-one",
        "logger": "access",
        "level": "info",
    }
    assert b"hunter2" not in b"".join(talkative.printed)


def test_what_looks_like_a_secret_in_a_path_is_hidden(talkative: Server) -> None:
    key = "mcli_0123456789abcdefghij"
    with talkative.client() as client:
        client.get(f"/api/v1/{key}%22%1b[31m", headers={ID: "hidden"})
    assert line_of(talkative, "hidden")["path"] == '/api/v1/[redacted]"\x1b[31m'
    assert key.encode() not in b"".join(talkative.printed)


def test_a_client_that_leaves_is_a_499(talkative: Server) -> None:
    body = json.dumps({"command": "sleep 60"}).encode()
    with (
        connected(
            talkative.new,
            request("POST", f"{RUNS}/execute", body, talkative.auth_line, f"{ID}: left"),
        ),
        talkative.client() as client,
    ):
        until(lambda: client.get(f"{RUNS}/status").json()["active_runs"])
    assert line_of(talkative, "left")["status"] == 499


def test_on_a_terminal_or_when_asked_lines_are_for_people(tmp_path: Path) -> None:
    with start_app(tmp_path / "home", access_log="all", log_format="console") as server:
        httpx.get(f"{server.new}/a%1b[31mb", headers=server.auth | {ID: "seen"})
        until(lambda: b"seen" in b"".join(server.printed))
        assert server.stop() == 0
    (line,) = (line for line in b"".join(server.printed).decode().splitlines() if "seen" in line)
    assert re.fullmatch(
        r"\S+Z \[info    \] GET /a\\u001b\[31mb 404 \d+\.\d\d ms \d+ B owner 127\.0\.0\.1 seen",
        line,
    ), line


def test_what_is_pending_is_written_at_the_end(tmp_path: Path) -> None:
    with start_app(tmp_path / "home", access_log="all") as server:
        httpx.get(f"{server.new}/livez", headers={ID: "the-last"})
        assert server.stop() == 0
    until(lambda: b"the-last" in b"".join(server.printed))


def test_without_being_asked_only_failures_have_lines(client: httpx.Client, server: Server) -> None:
    client.get("/livez", headers={ID: "fine"})
    client.get("/nope", headers={ID: "not-found"})
    with server.following():
        pass
    printed = b"".join(server.printed)
    assert b'"fine"' not in printed
    assert b'"not-found"' not in printed


SECRETS = {
    "header": "hunter2-in-a-header",
    "key": "mcli_ab12_hunter2hunter2hunter2",
    "jwt": "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJhbm4ifQ.aHVudGVyMg",
    "query": "hunter2-in-a-query",
    "cookie": "hunter2-in-a-cookie",
    "body": "hunter2-in-a-body",
    "path": "mcli_hunter2_in_a_path_of_a_request",
}


def test_no_secret_gets_into_the_log_however_much_is_said(tmp_path: Path) -> None:
    headers = {
        "X-Api-Key": SECRETS["key"],
        "Proxy-Authorization": f"Basic {SECRETS['header']}",
        "Cookie": f"session={SECRETS['cookie']}",
    }
    query = {"token": SECRETS["query"], "access_token": SECRETS["jwt"]}
    with (
        start_app(tmp_path / "home", access_log="all", log_level="debug") as server,
        server.client(timeout=15) as client,
    ):
        client.headers.update(headers)
        client.params = httpx.QueryParams(query)
        body = {"command": "exit 1", "secrets": {"TOKEN": SECRETS["body"]}, "cwd": "/nowhere"}
        for given in (body, body | {"timeout": "x"}, body | {"cwd": None}):
            client.post(f"{RUNS}/execute", json=given)
        client.get(f"/api/v1/{SECRETS['path']}")
        client.put(f"/api/v1/commands/{SECRETS['path']}", json={"password": SECRETS["body"]})
        address = f"{server.new.replace('http', 'ws', 1)}/ws/workflows/x?token={SECRETS['query']}"
        with (
            pytest.raises(InvalidStatus),
            connect(address, additional_headers=headers | server.auth),
        ):
            pass
        stranger = {"Authorization": f"Bearer {SECRETS['jwt']}"}
        assert client.get(f"{RUNS}/list", headers=stranger).status_code == 401
        assert client.get("/livez", headers={ID: "the-end"}).status_code == 200
        line_of(server, "the-end")
        assert server.stop() == 0
        secrets = SECRETS | {"owner": server.token}
    said = b"".join(server.printed).decode()
    assert len(said.splitlines()) > 5
    assert [name for name, secret in secrets.items() if secret in said] == [], said
