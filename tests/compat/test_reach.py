"""Who is let in beyond loopback: nobody by mistake, and nobody without the token."""

from __future__ import annotations

from typing import TYPE_CHECKING

import httpx
import pytest

from compat.guard import SHORTEST_TOKEN
from compat.serve import serve
from tests.compat.test_guard import ask
from tests.compat.test_unix_socket import SOCKET, through
from tests.servers import Server, start_dual

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

TOKEN = "correct-horse-battery-staple-0123456789"
ANYWHERE = {"MCLI_LEGACY_HOST": "0.0.0.0"}
REMOTE = {"MCLI_LEGACY_REMOTE": "true"}
BEARER = f"Authorization: Bearer {TOKEN}".encode()


@pytest.fixture
def refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Iterator[list[str]]:
    """Settings under which a server must not start; what it says is looked at in the end."""
    monkeypatch.setenv("MCLI_HOME", str(tmp_path / "home"))
    names: list[str] = []
    yield names
    assert serve({"port": 0, "legacy_port": 0}) == 1
    said = capsys.readouterr()
    assert said.out == ""
    (line,) = said.err.splitlines()
    assert line.startswith("mclictl serve: ")
    assert all(name in line for name in names), line
    assert TOKEN[:10] not in line
    assert not (tmp_path / "home").exists()


@pytest.mark.parametrize(
    ("settings", "names"),
    [
        (ANYWHERE, ["MCLI_LEGACY_HOST", "MCLI_LEGACY_REMOTE", "MCLI_LEGACY_TOKEN"]),
        ({"MCLI_LEGACY_HOST": "::"}, ["MCLI_LEGACY_REMOTE", "MCLI_LEGACY_TOKEN"]),
        ({"MCLI_LEGACY_HOST": "10.0.0.5"}, ["MCLI_LEGACY_REMOTE"]),
        ({"MCLI_LEGACY_HOST": "build.lan"}, ["MCLI_LEGACY_REMOTE"]),
        (ANYWHERE | {"MCLI_LEGACY_TOKEN": TOKEN}, ["MCLI_LEGACY_REMOTE"]),
        (ANYWHERE | REMOTE, ["MCLI_LEGACY_TOKEN", str(SHORTEST_TOKEN)]),
        (REMOTE, ["MCLI_LEGACY_TOKEN"]),
        (ANYWHERE | REMOTE | {"MCLI_LEGACY_TOKEN": TOKEN[:31]}, ["MCLI_LEGACY_TOKEN", "32"]),
        ({"MCLI_LEGACY_TOKEN": TOKEN[:31]}, ["MCLI_LEGACY_TOKEN", "32"]),
        ({"MCLI_LEGACY_TOKEN": f"{TOKEN} x"}, ["MCLI_LEGACY_TOKEN"]),
        ({"MCLI_LEGACY_TOKEN": f"{TOKEN}\u00e9"}, ["MCLI_LEGACY_TOKEN"]),
        ({"MCLI_LEGACY_ALLOWED_HOSTS": "*.lan"}, ["MCLI_LEGACY_ALLOWED_HOSTS", "*.lan"]),
        ({"MCLI_LEGACY_ALLOWED_HOSTS": "a, 0.0.0.0"}, ["MCLI_LEGACY_ALLOWED_HOSTS", "0.0.0.0"]),
        ({"MCLI_LEGACY_ALLOWED_HOSTS": "[::]"}, ["MCLI_LEGACY_ALLOWED_HOSTS"]),
        ({"MCLI_LEGACY_ALLOWED_HOSTS": "a:80"}, ["MCLI_LEGACY_ALLOWED_HOSTS", "a:80"]),
        ({"MCLI_ALLOWED_HOSTS": "*"}, ["MCLI_ALLOWED_HOSTS"]),
        ({"MCLI_ALLOWED_HOSTS": "0.0.0.0"}, ["MCLI_ALLOWED_HOSTS"]),
        ({"MCLI_ALLOWED_ORIGINS": "null"}, ["MCLI_ALLOWED_ORIGINS", "null"]),
        ({"MCLI_ALLOWED_ORIGINS": "*"}, ["MCLI_ALLOWED_ORIGINS"]),
        ({"MCLI_ALLOWED_ORIGINS": "https://a/b"}, ["MCLI_ALLOWED_ORIGINS"]),
        ({"MCLI_LEGACY_PROXIES": "proxy.lan"}, ["MCLI_LEGACY_PROXIES", "proxy.lan"]),
    ],
)
def test_a_server_that_would_let_strangers_in_does_not_start(
    refused: list[str],
    monkeypatch: pytest.MonkeyPatch,
    settings: dict[str, str],
    names: list[str],
) -> None:
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    refused += names


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    settings = ANYWHERE | REMOTE | {"MCLI_LEGACY_TOKEN": TOKEN}
    with start_dual(tmp_path_factory.mktemp("home"), **settings) as running:
        yield running


@pytest.fixture
def urls(server: Server) -> list[str]:
    """Where the old contract is spoken over TCP."""
    return [server.legacy.replace("0.0.0.0", "127.0.0.1"), server.new]


def test_with_the_token_it_answers(urls: list[str]) -> None:
    for url in urls:
        assert ask(url, BEARER).status == 200
        assert ask(url, BEARER.replace(b"Bearer ", b"bearer  ")).status == 200


@pytest.mark.parametrize(
    "lines",
    [
        [],
        [b"Authorization:"],
        [b"Authorization: Bearer"],
        [b"Authorization: Bearer "],
        [BEARER[:-1]],
        [BEARER + b"0"],
        [BEARER + b"\xff"],
        [BEARER.replace(b"correct", b"Correct")],
        [BEARER.replace(b"Bearer", b"Basic")],
        [BEARER.replace(b"Bearer ", b"Bearer")],
        [BEARER, BEARER],
        [b"Authorization: Basic x", BEARER],
        [b"X-Api-Key: " + TOKEN.encode()],
    ],
)
def test_without_the_token_it_is_401_with_a_hint(urls: list[str], lines: list[bytes]) -> None:
    for url in urls:
        answer = ask(url, *lines)
        assert answer.rule == "token"
        assert answer.status == 401
        assert answer.headers[b"www-authenticate"] == b"Bearer"


def test_the_other_rules_hold_as_well(urls: list[str]) -> None:
    for url in urls:
        assert ask(url, BEARER, b"Origin: null").rule == "no-browser"
        assert ask(url, BEARER, b"Via: x").rule == "no-proxy"
        for host in (b"Host: 0.0.0.0", b"Host: evil.com"):
            assert ask(url, BEARER, host=[host]).rule == "known-host"


def test_the_new_api_does_not_ask_for_the_token_of_the_old_contract(server: Server) -> None:
    assert httpx.get(f"{server.new}/livez").status_code == 200


def test_the_unix_socket_needs_no_token(server: Server) -> None:
    with through(server.home / SOCKET) as client:
        assert client.get("/status").status_code == 200


def test_a_token_counts_on_loopback_too(tmp_path: Path) -> None:
    with start_dual(tmp_path, MCLI_LEGACY_TOKEN=TOKEN) as running:
        assert ask(running.legacy).rule == "token"
        assert ask(running.legacy, BEARER).status == 200
