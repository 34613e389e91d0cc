"""`mclictl status`, and what every command says when there is no server to ask."""

from __future__ import annotations

import socket
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.cli.conftest import Mclictl
    from tests.servers import Server

UNKNOWN = "00000000-0000-4000-8000-000000000000"


def test_status_is_shown(mclictl: Mclictl, server: Server) -> None:
    lines = mclictl("status").stdout.splitlines()
    shown = dict(line.split(maxsplit=1) for line in lines)
    assert (shown["url"], shown["running"]) == (server.new, "yes")
    assert shown["home"] == str(server.home)
    found = mclictl.json("status")
    assert (found["running"], found["home"]) == (True, str(server.home))


def test_json_and_url_are_taken_before_and_behind_the_command(mclictl: Mclictl) -> None:
    before = mclictl("--url", mclictl.url, "--json", "status", MCLI_URL="http://127.0.0.1:1")
    behind = mclictl("status", "--url", mclictl.url, "--json", MCLI_URL="http://127.0.0.1:1")
    assert before.stdout[0] == behind.stdout[0] == "{"


@pytest.fixture
def nobody() -> Iterator[str]:
    """Address that is taken, so that no other server gets it, but where nobody listens."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield f"http://127.0.0.1:{taken.getsockname()[1]}"


@pytest.mark.parametrize(
    "args",
    [
        ["status"],
        ["run", "true"],
        ["run", "--json", "true"],
        ["run", "-b", "true"],
        ["runs"],
        ["show", UNKNOWN],
        ["logs", UNKNOWN],
        ["logs", "-f", UNKNOWN],
        ["stop", UNKNOWN],
        ["follow", UNKNOWN],
        ["follow", UNKNOWN, UNKNOWN],
        ["wait", UNKNOWN],
        ["send", UNKNOWN, "x"],
        ["retry", UNKNOWN],
        ["rm", UNKNOWN],
        ["clean", "--yes"],
        ["events"],
        ["groups"],
        ["groups", "set", "x", "--slots", "1"],
        ["pause"],
        ["resume", "x"],
        ["commands", "list"],
        ["commands", "add", "x", "--code", "x"],
        ["workflow", "start", "x"],
        ["workflow", "stop", "x"],
        ["workflow", "list"],
        ["groups", "list"],
        ["process"],
    ],
)
def test_without_a_server_one_line_says_what_to_do(
    mclictl: Mclictl, nobody: str, args: list[str]
) -> None:
    done = mclictl("--url", nobody, *args, exits=3)
    assert done.stdout == ""
    assert len(done.stderr.splitlines()) == 1
    assert nobody in done.stderr
    assert "`mclictl serve`" in done.stderr


@pytest.fixture
def stranger() -> Iterator[str]:
    """Address of a web server that is not ours."""
    with ThreadingHTTPServer(("127.0.0.1", 0), SimpleHTTPRequestHandler) as other:
        thread = Thread(target=other.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{other.server_port}"
        other.shutdown()
        thread.join()


@pytest.mark.parametrize("args", [["status"], ["runs"], ["run", "true"], ["logs", "-f", UNKNOWN]])
def test_a_server_that_is_not_ours_is_no_traceback(
    mclictl: Mclictl, stranger: str, args: list[str]
) -> None:
    done = mclictl("--url", stranger, *args, exits=1)
    assert done.stdout == ""
    assert done.stderr.startswith("Error: ")


@pytest.mark.parametrize("url", ["example", "ftp://127.0.0.1", "http://", "http://[::1"])
def test_what_is_no_address_is_a_wrong_command_line(mclictl: Mclictl, url: str) -> None:
    assert "is not an address" in mclictl("--url", url, "status", exits=2).stderr
