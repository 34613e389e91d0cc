"""A real browser on an attacker's page: nothing it can send gets past the guard of either port.

Before each listener stands a relay that sees what reaches the server, and what is answered. It
serves the attack page itself, as the attacker's server did before the name was led here.
"""

from __future__ import annotations

import json
import re
import socket
import socketserver
import threading
from collections import defaultdict
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import httpx
import pytest

from tests.browser import Browser, browsing, needed
from tests.servers import ROOT, Server, start_dual, start_legacy

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

PAGE = (ROOT / "tests" / "compat" / "attack.html").read_bytes()
EVIL = "evil.test"
FLAGS = (f"--host-resolver-rules=MAP {EVIL} 127.0.0.1", "--disable-features=HttpsUpgrades")
LENGTH = re.compile(rb"(?i)\r\ncontent-length: *(\d+)")
WAYS = {
    *("form", "multipart", "plain", "search", "sandboxed", "nocors", "keepalive", "cors", "simple"),
    *("get", "beacon", "image", "script", "style", "frame", "events", "socket"),
}
"""What the page tries on each target."""
WITHIN = 20  # seconds
PATHS = {
    "legacy": ("/execute", "/daemon/stop"),
    "new": ("/execute", "/api/v1/workflows/execute", "/ws/workflows"),
}
LED = ("/docs", "/migration")
"""Pages that others may lead a person to, but not into a frame of theirs."""
ASKED_BY_OUR_PAGE = {
    "fetch('/api/v1/workflows/list', {headers: HEADERS}).then(answer => answer.status)": 200,
    """fetch('/api/v1/workflows/execute', {
         method: 'POST',
         headers: { ...HEADERS, 'Content-Type': 'application/json' },
         body: JSON.stringify({ command: 'true' }),
       }).then(answer => answer.status)""": 200,
    """new Promise(done => {
         const socket = new WebSocket(`ws://${location.host}/ws/workflows`);
         socket.onopen = () => { socket.close(); done('open'); };
         socket.onerror = () => done('refused');
       })""": "open",
}


class Relay(socketserver.ThreadingTCPServer):
    """Passes requests on, one a connection, and notes what was answered to each attempt."""

    daemon_threads = True
    request_queue_size = 128

    def __init__(self, upstream: str | None) -> None:
        super().__init__(("127.0.0.1", 0), _Relayed)
        self.upstream = upstream
        self.port: int = self.server_address[1]
        self.answered: dict[tuple[str, str, str], set[int]] = defaultdict(set)
        self.noted = threading.Condition()

    def note(self, target: str, host: str, status: int) -> None:
        path, _, query = target.partition("?")
        with self.noted:
            self.answered[host, path, query.removeprefix("name=")].add(status)
            self.noted.notify_all()

    def wait_for(self, host: str, path: str) -> None:
        """Until something of each of the ways has been answered there."""

        def missing() -> set[str]:
            return WAYS - {way for at, asked, way in self.answered if (at, asked) == (host, path)}

        with self.noted:
            assert self.noted.wait_for(lambda: not missing(), WITHIN), (host, path, missing())


class _Relayed(socketserver.StreamRequestHandler):
    server: Relay

    def handle(self) -> None:
        head = b""
        while not head.endswith(b"\r\n\r\n"):
            line = self.rfile.readline()
            if not line:
                return
            head += line
        method, target, _ = head.split(b"\r\n", 1)[0].decode().split(" ")
        body = self.rfile.read(_length(head))
        if target == "/attack" or self.server.upstream is None:
            page = PAGE if target == "/attack" else b""
            self._answer(b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n", page)
            return
        upstream = urlsplit(self.server.upstream)
        with socket.create_connection((upstream.hostname, upstream.port or 0), 15) as connection:
            connection.sendall(head + body)
            answer = connection.makefile("rb")
            top = b"".join(iter(answer.readline, b"\r\n"))
            found = LENGTH.search(top)
            rest = b"" if method == "HEAD" else answer.read(int(found[1]) if found else 0)
        host = re.search(rb"(?i)\r\nhost: ([^\r]*)", head)
        self.server.note(target, host[1].decode() if host else "", int(top[9:12]))
        self._answer(LENGTH.sub(b"", top), rest)

    def _answer(self, head: bytes, body: bytes) -> None:
        more = b"Connection: close\r\nContent-Length: %d\r\n\r\n" % len(body)
        self.wfile.write(head + more + body)


def _length(head: bytes) -> int:
    found = LENGTH.search(head)
    return int(found[1]) if found else 0


@contextmanager
def relay(upstream: str | None) -> Iterator[Relay]:
    with Relay(upstream) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    """One that takes `evil.test` for this machine, as a name server of an attacker may say."""
    with browsing(needed(), tmp_path_factory.mktemp("browser"), *FLAGS) as found:
        yield found


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with start_dual(tmp_path_factory.mktemp("home")) as running:
        yield running


def attack(browser: Browser, page: str, targets: list[str], made: Path) -> list[str]:
    """Open the page and have it try everything; returns the WebSockets that were opened."""
    browser.goto(page)
    body = {"command": f"touch {made}"}
    opened: list[str] = browser.evaluate(f"attack({json.dumps(targets)}, {json.dumps(body)})")
    return opened


def runs(server: Server) -> list[str]:
    """Whatever was ever started."""
    with server.client() as client:
        found = client.get("/api/v1/workflows/list?limit=1000").json()["items"]
    return [run["id"] for run in found]


PLACES = {
    "another port": ("localhost", "127.0.0.1", "0.0.0.0"),
    "another site": ("127.0.0.1", EVIL, "0.0.0.0"),
    "a rebound name": (EVIL, "localhost"),
}
"""Where the attack page is, and under which names it tries to reach the server from there."""


def test_the_old_daemon_alone_falls_for_it(browser: Browser, tmp_path: Path) -> None:
    made = tmp_path / "made"
    with start_legacy(tmp_path / "home") as old, relay(old.legacy) as relayed:
        rebound = f"http://{EVIL}:{relayed.port}"
        attack(browser, f"{rebound}/attack", [f"{rebound}/execute"], made)
        relayed.wait_for(f"{EVIL}:{relayed.port}", "/execute")
        assert relayed.answered[f"{EVIL}:{relayed.port}", "/execute", "cors"] == {200}
    assert made.exists()


@pytest.mark.parametrize("listener", ["legacy", "new"])
@pytest.mark.parametrize("place", PLACES)
def test_no_page_gets_anything_done(
    browser: Browser, server: Server, tmp_path: Path, listener: str, place: str
) -> None:
    made = tmp_path / "made"
    paths = PATHS[listener]
    with ExitStack() as stack:
        relayed = stack.enter_context(relay(getattr(server, listener)))
        attacker = stack.enter_context(relay(None))
        page = {
            "another port": f"http://localhost:{attacker.port}/attack",
            "another site": f"http://{EVIL}:{attacker.port}/attack",
            "a rebound name": f"http://{EVIL}:{relayed.port}/attack",
        }[place]
        at = [f"{name}:{relayed.port}" for name in PLACES[place]]
        before = runs(server)
        opened = attack(
            browser, page, [f"http://{host}{path}" for host in at for path in paths], made
        )
        assert opened == []
        for host in at:
            if not host.startswith("0."):  # which a browser may refuse to ask
                for path in paths:
                    relayed.wait_for(host, path)
        assert {at: found for at, found in relayed.answered.items() if found != {403}} == {}
        assert runs(server) == before
    assert not made.exists()
    assert httpx.get(f"{server.legacy}/status").json()["running"] is True
    assert httpx.get(f"{server.legacy}/processes").json()["processes"] == []
    assert httpx.post(f"{server.legacy}/execute", json={"command": f"touch {made}"}).is_success
    assert made.exists()


def test_a_person_is_led_to_the_documentation_and_it_works(
    browser: Browser, server: Server
) -> None:
    with relay(None) as attacker:
        for path in LED:
            browser.goto(f"http://{EVIL}:{attacker.port}/attack")
            browser.problems.clear()
            browser.leave(f"location.assign('{server.new}{path}')")
            browser.until(
                f"location.pathname === '{path}' && document.body?.innerText.includes('/api/v1')"
            )
            assert browser.problems == []
        browser.goto(f"{server.new}/docs")
        for asked, answer in ASKED_BY_OUR_PAGE.items():
            assert browser.evaluate(asked.replace("HEADERS", json.dumps(server.auth))) == answer
