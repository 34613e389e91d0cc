"""The usual clients get from the guarded shim what they get from the old daemon alone.

Each client that the machine has makes each call itself; and what each of them sends is, as it was
captured, sent by the test, so that none is ever missing.
"""

from __future__ import annotations

import base64
import http.client
import json
import shutil
import socket
import subprocess
import urllib.error
import urllib.request
from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import httpx
import pytest
import requests

from tests.compat.captured import CAPTURED, request
from tests.contract.wire import mask
from tests.servers import start_dual, start_legacy

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from tests.servers import Server

TYPE = "application/json"
JSON = {"Content-Type": TYPE}


@dataclass(frozen=True)
class Call:
    """What an old script asks."""

    method: str
    path: str
    body: str | None = None

    @property
    def raw(self) -> bytes | None:
        return None if self.body is None else self.body.encode()


CALLS = (
    *(Call("GET", path) for path in ("/", "/status", "/health", "/commands", "/commands/nope")),
    *(Call("GET", path) for path in ("/commands?all=true", "/processes?all=true", "/nothing")),
    *(Call("GET", path) for path in ("/processes/nope", "/processes/nope/logs")),
    Call("POST", "/execute", '{"command": "echo hi; echo no >&2; exit 3"}'),
    Call("POST", "/execute", '{"command_name": "nope"}'),
    Call("POST", "/execute", "{}"),
    Call("POST", "/execute", "{"),
    Call("POST", "/workflow/start", '{"name": "nope"}'),
    Call("POST", "/workflow/stop", '{"name": "nope"}'),
    Call("POST", "/processes", '{"args": 5}'),
    Call("POST", "/processes/nope/start", "{}"),
    Call("POST", "/processes/nope/stop", "{}"),
    Call("POST", "/processes/nope/kill", "{}"),
    Call("POST", "/daemon/start", "{}"),
    Call("DELETE", "/processes/nope"),
)


@dataclass(frozen=True)
class Listener:
    """Where the contract is spoken; `port` is the one that it tells of."""

    url: str
    port: int

    def masked(self, body: bytes) -> bytes:
        return mask(body, self.port)


SERVERS: dict[str, tuple[Callable[[Path], Server], str]] = {
    "old daemon": (start_legacy, "legacy"),
    "new stack": (start_dual, "legacy"),
    "mount": (lambda home: start_dual(home, MCLI_DEFAULT_STAGE="legacy"), "legacy"),
    "new port": (start_dual, "new"),
}


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Listener]]:
    """The old daemon alone, and the shim with either stack behind its guard."""
    with ExitStack() as stack:
        found = {}
        # Each has a server of its own: `/status` counts what was executed.
        for name, (start, spoken_at) in SERVERS.items():
            server = stack.enter_context(start(tmp_path_factory.mktemp("home")))
            port = urlsplit(server.legacy).port or 0
            found[name] = Listener(getattr(server, spoken_at), port)
        yield found


def by_requests(url: str) -> list[bytes]:
    return [
        requests.request(
            call.method, url + call.path, data=call.raw, headers=JSON, timeout=30
        ).content
        for call in CALLS
    ]


def by_httpx(url: str) -> list[bytes]:
    with httpx.Client(timeout=30) as client:
        return [
            client.request(call.method, url + call.path, content=call.raw, headers=JSON).content
            for call in CALLS
        ]


def by_urllib(url: str) -> list[bytes]:
    return [_urllib(url, call) for call in CALLS]


def _urllib(url: str, call: Call) -> bytes:
    asked = urllib.request.Request(  # noqa: S310 - our own server
        url + call.path, data=call.raw, headers=JSON, method=call.method
    )
    try:
        with urllib.request.urlopen(asked, timeout=30) as answer:  # noqa: S310
            return bytes(answer.read())
    except urllib.error.HTTPError as refused:
        with refused:
            return refused.read()


def by_curl(url: str) -> list[bytes]:
    return [
        _run(["curl", "-sS", "-X", call.method, *_curl(call), url + call.path]) for call in CALLS
    ]


def _curl(call: Call) -> list[str]:
    return [] if call.body is None else ["-H", f"Content-Type: {TYPE}", "--data-binary", call.body]


def by_wget(url: str) -> list[bytes]:
    argv = ["wget", "-q", "-O", "-", "--content-on-error", "--tries=1"]
    return [_run([*argv, *_wget(call), url + call.path], refused=8) for call in CALLS]


def _wget(call: Call) -> list[str]:
    body = [] if call.body is None else [f"--body-data={call.body}"]
    return [f"--method={call.method}", f"--header=Content-Type: {TYPE}", *body]


NODE = """
const [url, calls] = JSON.parse(require('fs').readFileSync(0));
(async () => {
  const bodies = [];
  for (const { method, path, body } of calls) {
    const headers = body === null ? {} : { 'Content-Type': 'application/json' };
    const answer = await fetch(url + path, { method, headers, body });
    bodies.push(Buffer.from(await answer.arrayBuffer()).toString('base64'));
  }
  console.log(JSON.stringify(bodies));
})();
"""


def by_node(url: str) -> list[bytes]:
    asked = json.dumps([url, [vars(call) for call in CALLS]]).encode()
    said = _run(["node", "-e", NODE], stdin=asked)
    return [base64.b64decode(body) for body in json.loads(said)]


def _run(argv: Sequence[str], *, refused: int = 0, stdin: bytes = b"") -> bytes:
    done = subprocess.run(argv, input=stdin, capture_output=True, timeout=60, check=False)
    assert done.returncode in {0, refused}, done.stderr.decode()
    return done.stdout


CLIENTS: dict[str, Callable[[str], list[bytes]]] = {
    "requests": by_requests,
    "httpx": by_httpx,
    "urllib": by_urllib,
    "curl": by_curl,
    "wget": by_wget,
    "node": by_node,
}
"""Those of the lock, and those that the machine may have; what is missing is in `captured`."""
PROGRAMS = ("curl", "wget", "node")


@pytest.mark.parametrize("client", CLIENTS)
def test_a_client_gets_the_same_bytes(served: dict[str, Listener], client: str) -> None:
    if client in PROGRAMS and shutil.which(client) is None:
        pytest.skip(f"needs {client}; what it sends is sent in its place below")
    asked = CLIENTS[client]
    got = {
        name: [listener.masked(body) for body in asked(listener.url)]
        for name, listener in served.items()
    }
    reference = got.pop("old daemon")
    assert b'"uptime_seconds"' in reference[1]
    for name, bodies in got.items():
        for call, mine, its in zip(CALLS, reference, bodies, strict=True):
            assert its == mine, (name, call)


def sent(listener: Listener, client: str, call: Call) -> tuple[int, str | None, bytes]:
    """What the captured request of a client is answered."""
    parts = urlsplit(listener.url)
    with socket.create_connection((parts.hostname, parts.port or 0), timeout=30) as connection:
        connection.sendall(request(client, call.method, call.path, call.raw, parts.netloc))
        answer = http.client.HTTPResponse(connection, method=call.method)
        answer.begin()
        return answer.status, answer.headers["Content-Type"], listener.masked(answer.read())


@pytest.mark.parametrize("client", CAPTURED)
def test_what_a_client_was_seen_to_send_gets_the_same_bytes(
    served: dict[str, Listener], client: str
) -> None:
    for call in CALLS:
        reference = sent(served["old daemon"], client, call)
        assert reference[0] != 403
        for name in ("new stack", "mount", "new port"):
            assert sent(served[name], client, call) == reference, (name, call)
