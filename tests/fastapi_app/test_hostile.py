"""Clients that mean harm: they are refused or cut, memory stays, and others are answered."""

from __future__ import annotations

import contextlib
import gzip
import json
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING

import httpx
import psutil
import pytest
from websockets.exceptions import ConnectionClosedError

from fastapi_app.connections import MAX_TARGET
from loadtests.owner import own
from loadtests.slow import SlowClients
from tests.fastapi_app.routers.wire import PROBLEM, RUNS, connected, execute, request
from tests.fastapi_app.starting import serving, start_app
from tests.memory import growing_less_than
from tests.servers import Server, start, start_dual

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

MIB = 1024 * 1024
GIB = 1024 * MIB
SLOW = 2000
"""Clients that send the half of a head, or of a body."""
OLD_EXECUTE = "/execute"
NEW_EXECUTE = f"{RUNS}/execute"
HANDSHAKE = (
    *("Upgrade: websocket", "Connection: Upgrade", "Sec-WebSocket-Version: 13"),
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
)


@dataclass(frozen=True)
class Port:
    """One of the two listeners, and its route that runs a command."""

    server: Server
    url: str
    execute: str

    def send(self, head: bytes, pieces: Sequence[bytes] = (), times: int = 1) -> tuple[bytes, int]:
        """Send until the server closes; the answer, and how many bytes of `pieces` went out."""
        sent = 0
        received = b""
        with connected(self.url, b"") as wire, contextlib.suppress(ConnectionError):
            with contextlib.suppress(ConnectionError):
                wire.sendall(head)
                for _ in range(times):
                    for piece in pieces:
                        wire.sendall(piece)
                        sent += len(piece)
            while data := wire.recv(65536):
                received += data
        return received, sent

    def asking(self, method: str, path: str, body: bytes = b"", *headers: str) -> bytes:
        """A request of the server's owner, as it goes over the wire."""
        return request(method, path, body, self.server.auth_line, *headers)

    def works(self) -> None:
        """It still answers."""
        with httpx.Client(base_url=self.url, headers=self.server.auth, timeout=30) as client:
            answer = client.post(self.execute, json={"command": "echo hi"})
        assert (answer.status_code, answer.json()["output"]) == (200, "hi\n")


def is_refused(answer: bytes, *statuses: int) -> None:
    """One of those, or cut: who still sends when the server closes may lose the answer."""
    assert not answer or int(answer.split(b" ", 2)[1]) in statuses, answer[:200]
    assert answer.count(b"HTTP/1.1") < 2


@pytest.fixture(scope="module")
def dual(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Both listeners, with little patience."""
    home = tmp_path_factory.mktemp("hostile") / "home"
    patience = {"MCLI_HEADER_TIMEOUT": "1", "MCLI_BODY_TIMEOUT": "1"}
    with start_dual(home, **patience, MCLI_WS_MAX_MESSAGE="2000") as server:
        yield server
        assert server.stop() == 0
        assert b"Traceback" not in b"".join(server.printed), b"".join(server.printed).decode()


@pytest.fixture(params=["new", "legacy"])
def port(request: pytest.FixtureRequest, dual: Server) -> Port:
    """The one listener, then the other."""
    if request.param == "new":
        return Port(dual, dual.new, NEW_EXECUTE)
    return Port(dual, dual.legacy, OLD_EXECUTE)


def headers(number: int) -> list[str]:
    return [f"X-{n}: {n}" for n in range(number)]


def test_a_head_within_the_limits_is_taken(port: Port) -> None:
    usual = 5  # Host, Content-Type, Authorization, Connection, Content-Length
    many = [*headers(200 - usual - 1), "X-Long: " + "v" * 200_000]
    body = b'{"command": "true"}'
    answer, _ = port.send(port.asking("POST", port.execute, body, "Connection: close", *many))
    assert answer.startswith(b"HTTP/1.1 200 ")
    answer, _ = port.send(
        port.asking("GET", "/x?" + "y" * (MAX_TARGET - 3), b"", "Connection: close")
    )
    assert answer.startswith(b"HTTP/1.1 404 ")


@pytest.mark.parametrize("number", [196, 20_000])
def test_too_many_headers_are_refused(port: Port, number: int) -> None:
    answer, _ = port.send(
        port.asking("POST", port.execute, b"{}", "Connection: close", *headers(number))
    )
    is_refused(answer, 431)
    port.works()


def test_a_refusal_is_a_problem_and_the_end_of_the_connection(port: Port) -> None:
    answer, _ = port.send(port.asking("POST", port.execute, b"{}", *headers(200)))
    head, _, body = answer.partition(b"\r\n\r\n")
    assert f"Content-Type: {PROBLEM}".encode() in head
    assert b"Connection: close" in head
    found = json.loads(body)
    assert (found["status"], found["code"]) == (431, "head-too-large")
    assert "200 headers" in found["detail"]


def test_a_header_of_8_mb_is_refused_before_it_is_kept(port: Port) -> None:
    head = port.asking("GET", "/", b"").removesuffix(b"\r\n")
    with growing_less_than(4 * MIB, port.server.pid):
        answer, sent = port.send(head + b"X: ", [b"a" * 65536], 128)
    is_refused(answer, 431)
    assert sent < 8 * MIB
    port.works()


@pytest.mark.parametrize("ended", [b" HTTP/1.1\r\n\r\n", b""])
def test_a_url_of_8_mb_is_refused_before_it_is_kept(port: Port, ended: bytes) -> None:
    with growing_less_than(4 * MIB, port.server.pid):
        answer, _ = port.send(b"GET /" + b"a" * 2 * MAX_TARGET, [b"a" * 65536, ended], 120)
    is_refused(answer, 414, 431)
    answer, _ = port.send(port.asking("GET", "/" + "a" * MAX_TARGET))
    is_refused(answer, 414)


@pytest.mark.parametrize(
    "flood",
    [b"0\r\n" + b"X-Trailer: 1\r\n" * 5000, b"2;" + b"x" * 65536, b"0\r\nX: " + b"x" * 65536],
    ids=["trailers", "extension", "trailer"],
)
def test_what_stands_around_a_body_has_an_end_too(port: Port, flood: bytes) -> None:
    head = port.asking("POST", port.execute, b"", "Transfer-Encoding: chunked")
    first, rest = flood[:65536], flood[-60000:]
    with growing_less_than(16 * MIB, port.server.pid):
        answer, sent = port.send(head + b"2\r\n{}\r\n" + first, [rest], 512)
    is_refused(answer, 400, 415, 431)
    assert sent < 20 * MIB
    port.works()


@pytest.mark.parametrize("framing", [f"Content-Length: {GIB}", "Transfer-Encoding: chunked"])
def test_a_body_of_1_gb_is_refused_before_it_fills_the_memory(port: Port, framing: str) -> None:
    piece = b" " * MIB
    if framing.endswith("chunked"):
        piece = b"%x\r\n%b\r\n" % (MIB, piece)
    with growing_less_than(64 * MIB, port.server.pid):
        answer, sent = port.send(port.asking("POST", port.execute, b"", framing), [piece], 1024)
    is_refused(answer, 413)
    assert sent < 128 * MIB
    port.works()


def test_json_nested_100_000_deep_is_refused(port: Port) -> None:
    for opened, closed in ((b"[", b"]"), (b'{"a":', b"}")):
        body = b'{"command": ' + opened * 100_000 + b"1" + closed * 100_000 + b"}"
        answer, _ = port.send(port.asking("POST", port.execute, body, "Connection: close"))
        assert answer.startswith(b"HTTP/1.1 400 ")
    port.works()


def test_a_body_that_would_unpack_to_a_gigabyte_is_not_unpacked(port: Port) -> None:
    bomb = gzip.compress(gzip.compress(b" " * 64 * MIB))
    many = ("Connection: close", "Content-Encoding: gzip")
    with growing_less_than(16 * MIB, port.server.pid):
        answer, _ = port.send(port.asking("POST", port.execute, bomb, *many))
    # The old daemon never looked at that header, so it read JSON that is none.
    status = 415 if port.execute == NEW_EXECUTE else 400
    assert answer.startswith(b"HTTP/1.1 %d " % status)
    port.works()


@pytest.mark.parametrize("encoding", ["identity", "Identity", ""])
def test_a_body_that_says_it_is_plain_is_read(dual: Server, encoding: str) -> None:
    with httpx.Client(
        base_url=dual.new, headers=dual.auth | {"Content-Encoding": encoding}
    ) as client:
        assert execute(client, "echo hi")["output"] == "hi\n"
    with httpx.Client(base_url=dual.new, headers=dual.auth | {"Content-Encoding": "br"}) as client:
        refused = client.post(NEW_EXECUTE, content=b"{}")
    assert (refused.status_code, refused.json()["code"]) == (415, "body-encoded")
    assert refused.headers["Accept-Encoding"] == "identity"


@pytest.mark.parametrize(
    ("sent", "part"),
    [
        (b"GET / HTTP/1.1\r\nHost:", b"head"),
        (b"\r\n", b"head"),
        (b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2\r\n\r\n{", b"body"),
        (b"POST / HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n1\r\n", b"body"),
    ],
)
def test_a_request_that_is_not_sent_to_its_end_is_given_up(
    port: Port, sent: bytes, part: bytes
) -> None:
    if part == b"body":
        sent = sent.replace(b"POST /", b"POST " + port.execute.encode())
        more = f"Host: localhost\r\nContent-Type: application/json\r\n{port.server.auth_line}"
        sent = sent.replace(b"Host: localhost", more.encode())
    answer, _ = port.send(sent)
    assert answer.startswith(b"HTTP/1.1 408 ")
    assert b"The " + part + b" of the request did not come within 1 seconds." in answer


def test_who_connects_and_says_nothing_is_let_go(port: Port) -> None:
    assert port.send(b"") == (b"", 0)


def test_drops_of_a_head_or_a_body_buy_no_time(port: Port) -> None:
    begun = port.asking("POST", port.execute, b"", "Content-Length: 100000")
    for head in (b"GET / HTTP/1.1\r\n", begun):
        with connected(port.url, head) as wire, contextlib.suppress(ConnectionError):
            wire.settimeout(0.05)
            answer = b""
            while b"408" not in answer:
                wire.sendall(b"X")
                with contextlib.suppress(TimeoutError):
                    answer += wire.recv(65536)


def test_an_upload_that_goes_on_may_take_longer(port: Port) -> None:
    body = b'{"command": "echo hi"}' + b" " * 2500
    head = port.asking(
        "POST", port.execute, b"", f"Content-Length: {len(body)}", "Connection: close"
    )
    pieces = [body[at : at + 500] for at in range(0, len(body), 500)]
    waiting = threading.Event()
    with connected(port.url, head) as wire:
        for piece in pieces:
            wire.sendall(piece)
            waiting.wait(0.35)  # in all nearly twice what one that stands still may take
        answer = b"".join(iter(lambda: wire.recv(65536), b""))
    assert answer.startswith(b"HTTP/1.1 200 ")


def test_half_a_request_behind_one_that_is_answered_does_not_end_it(port: Port) -> None:
    slow = port.asking("POST", port.execute, b'{"command": "sleep 1.5; echo slow"}')
    with connected(port.url, slow + b"GET / HTTP/1.1\r\n") as wire:
        wire.sendall(b"Host: localhost\r\n")
        answer = wire.recv(65536)
        assert answer.startswith(b"HTTP/1.1 200 ")
        assert b"slow" in answer
        wire.sendall(b"Connection: close\r\n\r\n")
        rest = b"".join(iter(lambda: wire.recv(65536), b""))
    assert rest.startswith((b"HTTP/1.1 200 ", b"HTTP/1.1 404 "))


def test_half_a_body_behind_another_request_is_given_up_too(port: Port) -> None:
    whole = port.asking("POST", port.execute, b'{"command": "echo hi"}')
    half = port.asking("POST", port.execute, b"", "Content-Length: 9")
    answer, _ = port.send(whole + half + b"{")
    first, _, second = answer.partition(b"HTTP/1.1 408 ")
    assert first.startswith(b"HTTP/1.1 200 ")
    assert b"The body of the request did not come" in second


def test_a_handshake_that_is_too_large_is_refused(dual: Server) -> None:
    new = Port(dual, dual.new, NEW_EXECUTE)
    for more in (headers(150), ["X: " + "v" * 9000], headers(2000)):
        answer, _ = new.send(new.asking("GET", "/ws/workflows", b"", *HANDSHAKE, *more))
        is_refused(answer, 431)
        assert answer


def test_a_handshake_with_half_a_body_is_cut(dual: Server) -> None:
    new = Port(dual, dual.new, NEW_EXECUTE)
    half = request("GET", "/ws/workflows", b"", *HANDSHAKE, "Content-Length: 9") + b"{"
    answer, _ = new.send(half)
    is_refused(answer, 400, 408)


def test_a_message_that_is_too_large_ends_the_websocket(dual: Server) -> None:
    with dual.following() as websocket:
        websocket.send("x" * 2001)
        with pytest.raises(ConnectionClosedError) as told:
            websocket.recv(timeout=15)
    assert told.value.rcvd is not None
    assert told.value.rcvd.code == 1009


def test_connections_over_the_limit_get_503_until_there_is_room(tmp_path: Path) -> None:
    with start_app(tmp_path / "home", max_connections="10") as server:
        port = Port(server, server.new, NEW_EXECUTE)
        with contextlib.ExitStack() as stack:
            held = [stack.enter_context(connected(server.new, b"")) for _ in range(10)]
            answer, _ = port.send(b"")
            assert answer.startswith(b"HTTP/1.1 503 ")
            assert b"Retry-After: 1" in answer
            assert b'"code": "too-many-connections"' in answer
            held[0].sendall(port.asking("GET", "/livez", b"", "Connection: close"))
            assert b"".join(iter(lambda: held[0].recv(65536), b"")).startswith(b"HTTP/1.1 200 ")
            port.works()
        assert server.stop() == 0


def test_a_process_that_may_open_few_files_takes_fewer_connections(tmp_path: Path) -> None:
    few = ["sh", "-c", 'ulimit -n 500; exec "$@"', "sh", *serving()]
    server = start(few, tmp_path / "home", {"new API"})
    with server, contextlib.ExitStack() as stack:
        assert b"takes 400 connections" in b"".join(server.printed)
        port = Port(server, server.new, NEW_EXECUTE)
        held = [stack.enter_context(connected(server.new, b"")) for _ in range(400)]
        assert port.send(b"")[0].startswith(b"HTTP/1.1 503 ")
        held.pop().close()
        held.pop().close()
        with ThreadPoolExecutor(1) as pool:
            pool.submit(port.works).result()


def test_2000_slow_clients_are_ended_while_others_are_answered(tmp_path: Path) -> None:
    patience = {"MCLI_HEADER_TIMEOUT": "2", "MCLI_BODY_TIMEOUT": "2"}
    own(tmp_path / "home")
    with start_dual(tmp_path / "home", **patience) as server:
        port = Port(server, server.new, NEW_EXECUTE)
        stop = threading.Event()

        def work() -> list[int]:
            statuses = []
            with server.client(timeout=30) as client:
                while not stop.is_set():
                    statuses.append(client.get("/api/v1/commands/list").status_code)
            return statuses

        with growing_less_than(96 * MIB, port.server.pid), ThreadPoolExecutor(2) as pool:
            working = [pool.submit(work) for _ in range(2)]
            try:
                with SlowClients([server.new, server.legacy], SLOW) as slow:
                    ended = slow.wait(60)
            finally:
                stop.set()
            statuses = [status for some in working for status in some.result()]
        assert ended.total() == SLOW
        assert ended.keys() <= {"408", "cut"}
        assert ended["408"] > SLOW / 2
        assert len(statuses) > 20
        assert set(statuses) == {200}
        assert len(psutil.Process(server.pid).net_connections()) < 20
        port.works()
        assert server.stop() == 0
