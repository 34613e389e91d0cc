"""The guard over real sockets: what old scripts send passes, what nobody of them sends does not."""

from __future__ import annotations

import json
import socket
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import pytest

from compat.guard import REFUSALS, Rule, Rules
from tests.servers import ROOT, Server, start_dual

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from compat.guard import Address

Line = bytes
PROXY = "127.0.0.2"
LISTENERS = ("legacy", "new")
UPGRADE = (
    *(b"Connection: Upgrade", b"Upgrade: websocket", b"Sec-WebSocket-Version: 13"),
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
)
METHODS = "GET HEAD POST PUT PATCH DELETE OPTIONS TRACE CONNECT BREW"

KNOWN = [
    *(b"localhost", b"LocalHost", b"localhost.", b"localhost:1", b"localhost.:5005"),
    *(b"127.0.0.1", b"127.0.0.1:5005", b"127.255.3.4:65535", b"  127.0.0.1\t"),
    *(b"[::1]", b"[::1]:5005", b"[0:0:0:0:0:0:0:1]"),
    *(b"old.lan", b"OLD.lan.:80", b"10.0.0.5", b"10.0.0.5:5005", b"[fd00::5]:5005"),
]
UNKNOWN = [
    *(b"", b" ", b".", b"evil.com", b"10.evil.com", b"127.0.0.1.evil.com", b"localhost.evil.com"),
    *(b"evil.localhost", b"old.lan.evil.com", b"xold.lan", b"old.lanx", b"sub.old.lan", b"old"),
    *(b"0.0.0.0", b"0.0.0.0:5005", b"[::]", b"[::]:5005", b"0", b"10.0.0.6", b"[fd00::6]"),
    # Addresses that some programs read as 127.0.0.1, and some do not.
    *(b"127.1", b"2130706433", b"0x7f000001", b"0x7f.1", b"0177.0.0.1", b"127.0.0.01"),
    *(b"127.0.0.1.", b"127.0.0.1..", b"127.0.0.256", b"127.0.0.1.1", b"[::ffff:127.0.0.1]"),
    *(b"::1", b"::1:5005", b"[::1", b"::1]", b"[::1]x", b"[::1%lo]", b"[::1%25lo]", b"[127.0.0.1]"),
    *(b"[::2]", b"[]", b"[:]", b"[[::1]]"),
    *(b"localhost:", b"localhost:0", b"localhost:00080", b"localhost:65536", b"localhost:123456"),
    *(b"localhost:x", b"localhost:-1", b"localhost:+1", b"localhost:1 1", b"localhost:80:80"),
    *("localhost:\u0661".encode(), b"127.0.0.1:1a", b"[::1]:", b"[::1]:x", b":80"),
    *(b"localhost..", b".localhost", b"local host", b"localhost\t.evil", b"localhost, localhost"),
    *(b"localhost,evil.com", b"u@localhost", b"u:p@localhost", b"localhost/", b"localhost/x"),
    *(
        b"localhost?x",
        b"localhost#x",
        b"http://localhost",
        b"localhost\\",
        b"*",
        b"*.lan",
        b"?ld.lan",
    ),
    *(b"l\xf6calhost", b"\xff", b"%6cocalhost", b"localhost%00", b"x" * 300, b"a." * 200 + b"lan"),
    *(b"localhost." + b"x" * 70, b"x" * 70000),
]
BROWSER = [
    *(b"Origin: null", b"Origin:", b"origin: http://localhost:5005", b"Origin: http://evil.com"),
    *(b"Sec-Fetch-Site: cross-site", b"sec-fetch-site: same-origin", b"SEC-FETCH-SITE: none"),
    *(b"Access-Control-Request-Method: PUT", b"Access-Control-Request-Headers: x-client-id"),
    *(b"Access-Control-Request-Private-Network: true", b"access-control-request-: x"),
]
FORWARDED = [
    *(b"Forwarded: for=1.2.3.4", b"X-Forwarded-For: 127.0.0.1", b"x-forwarded-host: localhost"),
    *(
        b"X-Forwarded-Proto: https",
        b"X-Forwarded-Anything:",
        b"X-Real-IP: 127.0.0.1",
        b"Via: 1.1 x",
    ),
]
HARMLESS = [
    *(b"User-Agent: Mozilla/5.0 (Windows NT 10.0) Chrome/130", b"Content-Type: text/plain"),
    *(
        b"Sec-Fetch-Mode: cors",
        b"Sec-Fetch-Dest: empty",
        b"Sec-Fetch-User: ?1",
        b"Accept: text/html",
    ),
    *(b"Referer: http://evil.com/", b"Cookie: a=b", b"X-Client-Id: me", b"X-Api-Key: k", b"DNT: 1"),
    *(b"Authorization: Bearer anything", b"Upgrade-Insecure-Requests: 1", b"X-Forwarded: for=x"),
    *(
        b"Origin-Trial: x",
        b"X-Origin: null",
        b"Access-Control: x",
        b"Viavia: x",
        b"X_Forwarded_For: x",
    ),
]


class Reply:
    """A raw answer, taken apart."""

    def __init__(self, received: bytes) -> None:
        head, _, self.body = received.partition(b"\r\n\r\n")
        first, *lines = head.split(b"\r\n")
        assert first.startswith(b"HTTP/1.1 "), received[:200]
        self.status = int(first[9:12])
        self.headers = {
            name.lower(): value for name, _, value in (line.partition(b": ") for line in lines)
        }

    @property
    def rule(self) -> str | None:
        """The rule it says was broken; it has all that a refusal has, and nothing else."""
        if b'"rule"' not in self.body:
            return None
        found: dict[str, Any] = json.loads(self.body)
        refusal = REFUSALS[Rule(found["rule"])]
        assert found.keys() == {"error", "rule", "setting", "hint"}
        assert found["setting"] == refusal.setting
        assert found["setting"] is None or found["setting"] in found["hint"]
        assert self.status == refusal.status
        assert self.headers[b"content-type"] == b"application/json"
        assert b"x-served-by" not in self.headers
        return str(found["rule"])


def send(url: str, wire: bytes, source: str = "127.0.0.1") -> bytes:
    """Send these bytes, and read to the end."""
    parts = urlsplit(url)
    address = (parts.hostname or "", parts.port or 0)
    with socket.create_connection(address, timeout=15, source_address=(source, 0)) as connection:
        connection.sendall(wire)
        return b"".join(iter(lambda: connection.recv(65536), b""))


def ask(
    url: str,
    *lines: Line,
    first: bytes = b"GET /status HTTP/1.1",
    host: Sequence[bytes] = (b"Host: localhost",),
    body: bytes = b"",
    source: str = "127.0.0.1",
) -> Reply:
    """One request with these header lines, on a connection of its own."""
    length = [b"Content-Length: %d" % len(body)] if body else []
    closing = [] if set(UPGRADE) & set(lines) else [b"Connection: close"]
    head = b"\r\n".join((first, *host, *lines, *length, *closing, b"", b""))
    return Reply(send(url, head + body, source))


def listeners(server: Server) -> dict[str, str]:
    return {"legacy": server.legacy, "new": server.new}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    known = "old.lan 10.0.0.5, fd00::5"
    with start_dual(
        tmp_path_factory.mktemp("home"),
        MCLI_LEGACY_ALLOWED_HOSTS=known,
        MCLI_LEGACY_PROXIES=f"{PROXY}, fd00::7",
    ) as running:
        yield running
        assert running.stop() == 0
        # Whoever is refused must not fill the log.
        assert not [line for line in running.printed if b"ERROR" in line or b"WARN" in line]


@pytest.mark.parametrize("listener", LISTENERS)
def test_known_hosts_pass(server: Server, listener: str) -> None:
    url = listeners(server)[listener]
    answers = {host: ask(url, host=[b"Host: " + host]) for host in KNOWN}
    assert {host: one.status for host, one in answers.items() if one.status != 200} == {}
    assert all(b"uptime_seconds" in one.body for one in answers.values())


@pytest.mark.parametrize("listener", LISTENERS)
def test_other_hosts_are_refused(server: Server, listener: str) -> None:
    url = listeners(server)[listener]
    answers = {host: ask(url, host=[b"Host: " + host]) for host in UNKNOWN}
    assert {host: one.body for host, one in answers.items() if one.rule != Rule.HOST} == {}


@pytest.mark.parametrize("listener", LISTENERS)
@pytest.mark.parametrize(
    "hosts",
    [
        [],
        [b"Host: localhost", b"Host: localhost"],
        [b"Host: localhost", b"Host: evil.com"],
        [b"host: evil.com", b"HOST: localhost"],
        [b"Host: localhost", b"Host:"],
    ],
)
def test_there_is_exactly_one_host(server: Server, listener: str, hosts: list[bytes]) -> None:
    url = listeners(server)[listener]
    assert ask(url, host=hosts).rule == Rule.HOST
    assert ask(url, first=b"GET /status HTTP/1.0", host=hosts).rule == Rule.HOST


def test_http_1_0_with_a_host_passes(server: Server) -> None:
    assert ask(server.legacy, first=b"GET /status HTTP/1.0").status == 200


@pytest.mark.parametrize(
    ("target", "hosts", "status"),
    [
        (b"http://localhost/status", [b"Host: evil.com"], 200),  # RFC 9112, section 3.2.2
        (b"http://evil.com/status", [b"Host: localhost"], 403),
        (b"http://u@localhost/status", [b"Host: localhost"], 403),
        (b"http://localhost:5005/status", [], 200),
        (b"http://localhost/status", [b"Host: localhost", b"Host: localhost"], 403),
        (b"http:///status", [b"Host: localhost"], 200),
    ],
)
def test_the_host_of_a_whole_url_counts(
    server: Server, target: bytes, hosts: list[bytes], status: int
) -> None:
    answer = ask(server.legacy, first=b"GET %b HTTP/1.1" % target, host=hosts)
    assert answer.status == status
    assert answer.rule == (None if status == 200 else Rule.HOST)


@pytest.mark.parametrize("listener", LISTENERS)
def test_what_only_browsers_and_proxies_send_is_refused(server: Server, listener: str) -> None:
    url = listeners(server)[listener]
    for lines, rule in ((BROWSER, Rule.BROWSER), (FORWARDED, Rule.PROXY)):
        answers = {line: ask(url, line) for line in lines}
        assert {line: one.body for line, one in answers.items() if one.rule != rule} == {}


@pytest.mark.parametrize("listener", LISTENERS)
def test_what_programs_send_passes(server: Server, listener: str) -> None:
    url = listeners(server)[listener]
    answers = {line: ask(url, line).status for line in HARMLESS}
    assert answers == dict.fromkeys(HARMLESS, 200)


@pytest.mark.parametrize("listener", LISTENERS)
@pytest.mark.parametrize("path", [b"/", b"/status", b"/nothing", b"//docs", b"/api", b"/docsx"])
def test_no_method_and_no_path_goes_around_it(server: Server, listener: str, path: bytes) -> None:
    url = listeners(server)[listener]
    for method in METHODS.encode().split():
        first = b"%b %b HTTP/1.1" % (method, path)
        refused = ask(url, b"Origin: null", first=first)
        assert refused.status == 403
        assert refused.rule == (None if method == b"HEAD" else Rule.BROWSER)
        assert ask(url, first=first).status != 403


def test_the_paths_of_the_new_api_are_guarded_on_the_old_port_too(server: Server) -> None:
    for path in (b"/docs", b"/api/v1/workflows/list", b"/livez"):
        answer = ask(server.legacy, b"Origin: null", first=b"GET %b HTTP/1.1" % path)
        assert answer.rule == Rule.BROWSER


@pytest.mark.parametrize("listener", LISTENERS)
def test_a_handshake_is_refused_before_it_is_done(server: Server, listener: str) -> None:
    url = listeners(server)[listener]
    for lines, rule in (
        ([b"Origin: http://evil.com"], Rule.BROWSER),
        ([b"Via: 1.1 x"], Rule.PROXY),
        ([b"Host: localhost"], Rule.HOST),
    ):
        answer = ask(url, *UPGRADE, *lines)
        assert answer.rule == rule
    rebound = ask(url, *UPGRADE, host=[b"Host: evil.com"])
    assert rebound.rule == Rule.HOST
    plain = ask(url, *UPGRADE)  # the old contract knows no WebSockets
    assert (plain.status, plain.rule) == (403, None)


def test_what_is_refused_does_nothing(server: Server, tmp_path: Path) -> None:
    made = tmp_path / "made"
    body = json.dumps({"command": f"touch {made}"}).encode()
    first, kind = b"POST /execute HTTP/1.1", b"Content-Type: application/json"
    for url in listeners(server).values():
        for line in (*BROWSER, *FORWARDED, b"Host: localhost"):
            assert ask(url, kind, line, first=first, body=body).status == 403
        for host in UNKNOWN:
            refused = ask(url, kind, first=first, host=[b"Host: " + host], body=body)
            assert refused.status == 403
    assert not made.exists()
    assert ask(server.legacy, kind, first=first, body=body).status == 200
    assert made.exists()


def test_many_headers_are_looked_at_to_the_last(server: Server) -> None:
    many = [b"X-%d: v" % n for n in range(190)]
    assert ask(server.legacy, *many).status == 200
    assert ask(server.legacy, *many, b"Origin: null").rule == Rule.BROWSER
    assert ask(server.legacy, *many, b"X-Forwarded-For: x").rule == Rule.PROXY
    assert ask(server.legacy, *many, b"Host: localhost").rule == Rule.HOST
    assert ask(server.legacy, *([b"Origin: null"] * 190)).rule == Rule.BROWSER


def test_a_connection_goes_on_after_a_refusal(server: Server) -> None:
    head = b"%b HTTP/1.1\r\nHost: localhost\r\n%b\r\n\r\n"
    body = b"x" * 300_000
    wire = head % (b"POST /execute", b"Origin: null\r\nContent-Length: %d" % len(body)) + body
    wire += head % (b"GET /health", b"Connection: close")
    received = send(server.legacy, wire)
    assert received.count(b"HTTP/1.1 403 Forbidden") == 1
    assert received.count(b"HTTP/1.1 200 OK") == 1


def test_a_proxy_that_is_listed_may_pass_calls_on_and_nobody_else(server: Server) -> None:
    for line in FORWARDED:
        assert ask(server.legacy, line, source=PROXY).status == 200
        assert ask(server.legacy, line, source="127.0.0.3").rule == Rule.PROXY
    assert ask(server.legacy, b"Via: x", b"Origin: null", source=PROXY).rule == Rule.BROWSER
    assert ask(server.legacy, host=[b"Host: evil.com"], source=PROXY).rule == Rule.HOST


HERE: Address = ("127.0.0.1", 5005)
HOST = [(b"host", b"localhost")]


@pytest.mark.parametrize(
    ("bound", "peer", "rule"),
    [
        (HERE, ("127.0.0.1", 1), None),
        (HERE, ("127.9.9.9", 1), None),
        (("::1", 5005), ("::1", 1), None),
        (("::ffff:127.0.0.1", 5005), ("::ffff:127.0.0.1", 1), None),
        (HERE, ("10.0.0.9", 1), Rule.PEER),
        (HERE, ("::ffff:10.0.0.9", 1), Rule.PEER),
        (HERE, ("fe80::1", 1), Rule.PEER),
        (HERE, None, Rule.PEER),  # it is gone already, and had an address
        (("10.0.0.5", 5005), ("10.0.0.5", 1), Rule.BIND),
        (("10.0.0.5", 5005), ("127.0.0.1", 1), Rule.BIND),
        (("0.0.0.0", 5005), ("127.0.0.1", 1), Rule.BIND),
        (None, ("127.0.0.1", 1), Rule.BIND),
        (("/run/x.sock", None), None, None),
    ],
)
def test_both_ends_are_loopback_or_a_unix_socket(
    bound: Address | None, peer: Address | None, rule: Rule | None
) -> None:
    assert Rules().broken(bound, peer, HOST) == rule
    told = [*HOST, (b"x-forwarded-for", b"127.0.0.1")]
    assert Rules(proxies=["127.0.0.1"]).broken(HERE, ("10.0.0.9", 1), told) == Rule.PEER


def test_the_verdict_on_hosts_is_remembered_within_bounds() -> None:
    rules = Rules()
    for number in range(5_000):
        assert rules.broken(HERE, HERE, [(b"host", b"host-%d" % number)]) == Rule.HOST
        assert rules.broken(HERE, HERE, [(b"host", b"127.0.0.1:%d" % (number + 1))]) is None
    assert rules._hosts._remembered.cache_info().currsize == 1024


def test_every_rule_is_documented_with_its_setting() -> None:
    text = (ROOT / "docs" / "security.md").read_text(encoding="utf-8")
    for rule, refusal in REFUSALS.items():
        (row,) = [line for line in text.splitlines() if line.startswith(f"| `{rule}` |")]
        assert refusal.setting is None or f"`{refusal.setting}`" in row
    assert REFUSALS.keys() == set(Rule)
