"""Foreign hosts and origins are refused, over real sockets; programs and our own pages are not."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import httpx
import pytest
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

from fastapi_app.hosts import names_bound_to
from tests.fastapi_app.routers.wire import PROBLEM, RUNS, connected
from tests.fastapi_app.starting import start_app

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.servers import Server

FRIEND = "https://friend.example"
HOST, ORIGIN = "forbidden-host", "forbidden-origin"
LIST = f"{RUNS}/list"


@pytest.fixture(scope="module")
def open_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """One that knows a name and an origin besides its own."""
    home = tmp_path_factory.mktemp("home")
    names, origins = "build.lan, FD00::5", f"{FRIEND} http://other.example:3000"
    with start_app(home, allowed_hosts=names, allowed_origins=origins) as running:
        yield running


def refused(server: Server, *lines: str, path: str = LIST, method: str = "GET") -> str | None:
    """The code of the problem; `None` when the request was answered."""
    head = "\r\n".join([f"{method} {path} HTTP/1.1", *lines, "Connection: close", "", ""])
    with connected(server.new, head.encode("latin-1")) as wire:
        received = b"".join(iter(lambda: wire.recv(65536), b""))
    top, _, body = received.partition(b"\r\n\r\n")
    if b" 403 " not in top.partition(b"\r\n")[0]:
        return None
    assert f"content-type: {PROBLEM}".encode() in top.lower()
    found: dict[str, str] = json.loads(body)
    assert "MCLI_ALLOWED_" in found["detail"]
    return found["code"]


def port(server: Server) -> int:
    return urlsplit(server.new).port or 0


@pytest.mark.parametrize(
    "host", ["localhost", "LOCALHOST.:1", "127.0.0.1:8000", "127.8.8.8", "[::1]", "[::1]:80"]
)
def test_a_host_of_this_machine_is_taken(server: Server, host: str) -> None:
    assert refused(server, f"Host: {host}") is None


@pytest.mark.parametrize(
    "host",
    [
        *(
            "",
            "evil.com",
            "10.evil.com",
            "127.0.0.1.evil.com",
            "0.0.0.0",
            "[::]",
            "127.1",
            "localhost:",
        ),
        *(
            "localhost:0",
            "localhost:99999",
            "build.lan",
            "u@localhost",
            "localhost, x",
            "\xff",
            "*",
        ),
    ],
)
def test_any_other_host_is_refused(server: Server, host: str) -> None:
    assert refused(server, f"Host: {host}") == HOST
    assert refused(server, f"Host: {host}", path="/docs") == HOST


def test_there_is_exactly_one_host(server: Server) -> None:
    assert refused(server) == HOST
    assert refused(server, "Host: localhost", "Host: localhost") == HOST


def test_a_configured_name_is_taken_as_a_whole(open_server: Server) -> None:
    for host in ("build.lan", "BUILD.lan.:8000", "[fd00::5]:1", "[FD00:0::5]"):
        assert refused(open_server, f"Host: {host}") is None
    for host in ("x.build.lan", "build.lan.evil.com", "build", "[fd00::6]", "fd00::5"):
        assert refused(open_server, f"Host: {host}") == HOST


@pytest.mark.parametrize(
    ("address", "names"),
    [
        ("127.0.0.1", ("127.0.0.1",)),
        ("10.0.0.5", ("10.0.0.5",)),
        ("FD00:0::5", ("fd00::5",)),
        ("Build.lan", ("build.lan",)),
        ("0.0.0.0", ()),
        ("::", ()),
        ("no host", ()),
    ],
)
def test_the_address_that_is_listened_on_is_a_name(address: str, names: tuple[str, ...]) -> None:
    assert names_bound_to(address) == names


def test_a_page_of_the_same_origin_is_let_in(server: Server) -> None:
    for name in ("localhost", "127.0.0.1", "[::1]"):
        own = f"{name}:{port(server)}"
        for site in ((), ("Sec-Fetch-Site: same-origin",)):
            assert refused(server, f"Host: {own}", f"Origin: http://{own}", *site) is None
    assert refused(server, "Host: localhost", "Origin: http://LOCALHOST.:80") is None


@pytest.mark.parametrize(
    "origin",
    [
        *(
            "null",
            "",
            "http://evil.com",
            "http://localhost",
            "http://localhost:1",
            "localhost:8000",
        ),
        *("https://localhost:8000", "http://127.0.0.1:8000", "http://localhost:8000/", "file://"),
        *("http://localhost:8000 http://localhost:8000", "http://u@localhost:8000", "*", "\xff"),
        *("chrome-extension://x", FRIEND),
    ],
)
def test_any_other_origin_is_refused(server: Server, origin: str) -> None:
    for method in ("GET", "POST", "OPTIONS", "DELETE"):
        asked = refused(server, "Host: localhost:8000", f"Origin: {origin}", method=method)
        assert asked == ORIGIN
    assert refused(server, "Host: localhost:8000", f"Origin: {origin}", path="/docs") == ORIGIN


def test_two_origins_are_none(server: Server) -> None:
    own = "Origin: http://localhost:8000"
    assert refused(server, "Host: localhost:8000", own) is None
    assert refused(server, "Host: localhost:8000", own, own) == ORIGIN


@pytest.mark.parametrize("site", ["cross-site", "same-site", "", "anything"])
def test_another_site_may_only_lead_a_person_to_the_documentation(
    server: Server, site: str
) -> None:
    # As an image, a link or a form that is sent by GET: without Origin.
    lines = ("Host: localhost", f"Sec-Fetch-Site: {site}", "Sec-Fetch-Mode: navigate")
    for path in (LIST, "/livez", "/openapi.json", "/docs/x", "/nothing"):
        assert refused(server, *lines, "Sec-Fetch-Dest: document", path=path) == ORIGIN
    assert refused(server, *lines, "Sec-Fetch-Dest: document", path="/docs") is None
    for framed in ("iframe", "embed", "image", "empty"):
        assert refused(server, *lines, f"Sec-Fetch-Dest: {framed}", path="/docs") == ORIGIN
    assert refused(server, *lines, path="/docs") == ORIGIN


@pytest.mark.parametrize("site", ["none", "same-origin"])
def test_a_person_and_our_own_pages_may_go_anywhere(server: Server, site: str) -> None:
    assert refused(server, "Host: localhost", f"Sec-Fetch-Site: {site}") is None
    twice = (f"Sec-Fetch-Site: {site}", "Sec-Fetch-Site: cross-site")
    assert refused(server, "Host: localhost", *twice) == ORIGIN


def test_programs_are_let_in(server: Server) -> None:
    for line in ("Sec-Fetch-Mode: cors", "User-Agent: Mozilla/5.0", "Referer: http://evil.com/"):
        assert refused(server, "Host: localhost", line) is None


def test_no_page_may_read_what_it_is_answered_unless_it_is_listed(
    server: Server, open_server: Server
) -> None:
    ask = {"Origin": FRIEND, "Sec-Fetch-Site": "cross-site"}
    preflight = ask | {
        "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": "content-type",
    }
    closed = httpx.options(f"{server.new}{LIST}", headers=preflight)
    assert closed.status_code == 403
    assert not [name for name in closed.headers if name.startswith("access-control")]
    opened = httpx.options(f"{open_server.new}{LIST}", headers=preflight)
    assert opened.status_code == 200
    assert opened.headers["Access-Control-Allow-Origin"] == FRIEND
    assert "POST" in opened.headers["Access-Control-Allow-Methods"]
    answer = httpx.get(f"{open_server.new}{LIST}", headers=ask | open_server.auth)
    assert (answer.status_code, answer.headers["Access-Control-Allow-Origin"]) == (200, FRIEND)
    for origin in ("http://friend.example", "https://x.friend.example", f"{FRIEND}:8443", "null"):
        asked = httpx.get(f"{open_server.new}{LIST}", headers={"Origin": origin})
        assert asked.status_code == 403


def test_a_handshake_is_refused_before_it_is_done(server: Server, open_server: Server) -> None:
    def handshake(server: Server, origin: str | None, host: str | None = None) -> None:
        url = server.new.replace("http", "ws", 1) + "/ws/workflows"
        more = {} if host is None else {"Host": host}
        with connect(url, origin=origin, additional_headers=more, proxy=None):  # type: ignore[arg-type]
            pass

    for origin in (None, server.new):
        handshake(server, origin)
    handshake(open_server, FRIEND)
    for asked, origin in ((server, "http://evil.com"), (server, "null"), (server, FRIEND)):
        with pytest.raises(InvalidStatus) as raised:
            handshake(asked, origin)
        answer = raised.value.response
        assert (answer.status_code, answer.headers["Content-Type"]) == (403, PROBLEM)
        assert json.loads(answer.body or b"")["code"] == ORIGIN
    with pytest.raises(InvalidStatus) as raised:
        handshake(server, None, "evil.com")  # a second Host
    assert json.loads(raised.value.response.body or b"")["code"] == HOST


def test_a_rebound_name_gets_nothing_at_all(server: Server, tmp_path: Path) -> None:
    made = tmp_path / "made"
    body = {"command": f"touch {made}"}
    own = {"Host": "evil.com", "Origin": "http://evil.com", "Sec-Fetch-Site": "same-origin"}
    url = f"{server.new}{RUNS}/execute"
    assert httpx.post(url, json=body, headers=own).json()["code"] == HOST
    assert not made.exists()
    assert httpx.post(url, json=body, headers=server.auth).status_code == 200
    assert made.exists()
