"""HTTP/1.1 as old clients write it, over real sockets."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator

import pytest
from starlette.types import Receive, Scope, Send

from fastapi_app.http1 import _spelled
from tests.compat.serving import exchange, served

Address = tuple[str, int]
CLOSE = b"Host: test\r\nConnection: close\r\n\r\n"


async def echo(scope: Scope, receive: Receive, send: Send) -> None:
    """Tells the request line, and the host at `/host?…`; answers `/early` before the body is in."""
    if scope["path"] != "/early":
        while (await receive()).get("more_body"):
            pass
    told = json.dumps([scope["method"], scope["path"]]).encode()
    if scope["path"] == "/host":
        hosts = [value.decode() for name, value in scope["headers"] if name == b"host"]
        told = json.dumps([*hosts, scope["query_string"].decode()]).encode()
    headers = [(b"content-length", str(len(told)).encode())]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": told})


@pytest.fixture(scope="module")
def address() -> Iterator[Address]:
    with served(echo) as found:
        yield found


@pytest.mark.parametrize(
    ("line", "method", "path"),
    [
        (b"get /a HTTP/1.1", "GET", "/a"),
        (b"Post /a HTTP/1.1", "POST", "/a"),
        (b"BREW /a HTTP/1.1", "BREW", "/a"),
        (b"brew /a HTTP/1.1", "BREW", "/a"),
        (b"PROPFIND /a HTTP/1.1", "PROPFIND", "/a"),
        (b"CONNECT /a HTTP/1.1", "CONNECT", "/a"),
        (b"X-1!~ /a HTTP/1.1", "X-1!~", "/a"),
        (b"GET /\xc3\xa9 HTTP/1.1", "GET", "/\u00e9"),
        (b"GET /a\x01\x7f HTTP/1.1", "GET", "/a\x01\x7f"),
        (b"brew /\xc3\xa9 HTTP/1.1", "BREW", "/\u00e9"),
    ],
)
def test_methods_and_bytes_that_the_parser_does_not_know_reach_the_application(
    address: Address, line: bytes, method: str, path: str
) -> None:
    answer = exchange(address, line + b"\r\n" + CLOSE)
    assert answer.endswith(json.dumps([method, path]).encode())


@pytest.mark.parametrize(
    ("target", "host"),
    [
        ("/host?a=b", "test"),
        ("http://other:81/host?a=b", "other:81"),
        ("https://u:p@other/host?a=b#c", "u:p@other"),
        ("http:///host?a=b", "test"),
        ("host?a=b", "test"),
    ],
)
def test_a_target_that_is_a_whole_url_names_the_host(
    address: Address, target: str, host: str
) -> None:
    again = b"GET /host?a=b HTTP/1.1\r\n" + CLOSE
    wire = f"GET {target} HTTP/1.1\r\nHost: test\r\n\r\n".encode() + again
    answer = exchange(address, wire)
    assert json.dumps([host, "a=b"]).encode() in answer
    assert answer.endswith(json.dumps(["test", "a=b"]).encode())


@pytest.mark.parametrize("line", [b"GET http://[/ HTTP/1.1", b"GET http://a b/ HTTP/1.1"])
def test_what_is_no_url_is_refused(address: Address, line: bytes) -> None:
    assert exchange(address, line + b"\r\n" + CLOSE).startswith(b"HTTP/1.1 400 ")


@pytest.mark.parametrize("line", [b"G(T /a HTTP/1.1", b"GET /a b HTTP/1.1", b"\xff / HTTP/1.1"])
def test_what_is_no_request_line_is_refused(address: Address, line: bytes) -> None:
    assert exchange(address, line + b"\r\n" + CLOSE).startswith(b"HTTP/1.1 400 ")


def test_the_method_of_one_request_is_not_that_of_the_next(address: Address) -> None:
    wire = b"brew /a HTTP/1.1\r\nHost: test\r\n\r\nGET /b HTTP/1.1\r\n" + CLOSE
    answer = exchange(address, wire)
    assert b'["BREW", "/a"]' in answer
    assert answer.endswith(b'["GET", "/b"]')


def test_a_request_that_comes_a_byte_at_a_time_is_read(address: Address) -> None:
    with socket.create_connection(address, timeout=10) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for byte in b"GET /a HTTP/1.1\r\n" + CLOSE:
            connection.sendall(bytes((byte,)))
        answer = b"".join(iter(lambda: connection.recv(65536), b""))
    assert answer.endswith(b'["GET", "/a"]')


def test_a_body_that_comes_after_its_answer_is_not_taken_for_a_request(address: Address) -> None:
    body = b"brew \xff\xfe\x01 HTTP/1.1\r\n\r\n"
    head = b"POST /early HTTP/1.1\r\nHost: test\r\nContent-Length: %d\r\n\r\n" % len(body)
    with socket.create_connection(address, timeout=10) as connection:
        connection.sendall(head)
        early = connection.recv(65536)
        connection.sendall(body + b"GET /next HTTP/1.1\r\n" + CLOSE)
        answer = early + b"".join(iter(lambda: connection.recv(65536), b""))
    assert answer.count(b"HTTP/1.1 200 OK") == 2
    assert b'["POST", "/early"]' in answer
    assert answer.endswith(b'["GET", "/next"]')


@pytest.mark.parametrize("size", [10, 2000])
def test_the_id_of_a_request_is_spelled_like_any_header(size: int) -> None:
    for given in (b"one", b"another-one"):
        head = b"HTTP/1.1 200 OK\r\nx-more: %s\r\nx-request-id: %s\r\nlast: 1\r\n\r\nx-body: x" % (
            b"a" * size,
            given,
        )
        expected = head.replace(b"x-more", b"X-More").replace(b"x-request-id", b"X-Request-Id")
        assert _spelled(head) == expected.replace(b"last", b"Last")
