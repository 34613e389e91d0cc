"""The unix socket of the old contract: its owner's alone, never in the way, gone at the end."""

from __future__ import annotations

import os
import shutil
import socket
import stat
import subprocess
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import httpx
import pytest

from compat.unix_socket import LONGEST, listening
from fastapi_app.errors import StartupError
from tests.servers import Server, StartError, start_dual

if TYPE_CHECKING:
    from collections.abc import Iterator

SOCKET = "legacy.sock"
ORIGIN = {"Origin": "null"}


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder whose path leaves room for a name."""
    with TemporaryDirectory() as name:
        yield Path(name)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with start_dual(tmp_path_factory.mktemp("home")) as running:
        yield running


def through(path: Path) -> httpx.Client:
    """A client whose calls go through the socket, wherever they say they go."""
    transport = httpx.HTTPTransport(uds=str(path))
    return httpx.Client(base_url="http://localhost", transport=transport, timeout=30)


@pytest.fixture
def old(server: Server) -> Iterator[httpx.Client]:
    with through(server.home / SOCKET) as client:
        yield client


def mode(path: Path) -> int:
    return stat.S_IMODE(path.lstat().st_mode)


def test_it_is_beside_the_port_and_for_its_owner_alone(server: Server) -> None:
    path = server.home / SOCKET
    assert stat.S_ISSOCK(path.lstat().st_mode)
    assert mode(path) == 0o600
    assert f"unix socket {path} " in b"".join(server.printed).decode()


@pytest.mark.parametrize("stage", ["legacy", "shadow", "new"])
def test_it_speaks_the_old_contract_in_every_stage(
    server: Server, old: httpx.Client, stage: str
) -> None:
    for route in ("GET /status", "POST /execute"):
        move = {"route": route, "stage": stage}
        with server.client() as client:
            client.put("/api/v1/cutover/routes", json=move).raise_for_status()
    answer = old.get("/status")
    assert answer.headers["X-Served-By"] == ("new" if stage == "new" else "legacy")
    port = httpx.URL(server.legacy).port
    assert answer.json()["config"]["port"] == port
    assert old.post("/execute", json={"command": "echo hi"}).json()["output"] == "hi\n"


def test_it_knows_nothing_of_the_new_api(old: httpx.Client) -> None:
    for path in ("/docs", "/api/v1/workflows/list", "/livez"):
        answer = old.get(path)
        assert answer.status_code == 404
        assert answer.text.startswith("<!doctype html>")


def test_it_is_guarded_as_the_port_is(old: httpx.Client) -> None:
    for headers, rule in ((ORIGIN, "no-browser"), ({"Host": "evil.com"}, "known-host")):
        refused = old.get("/status", headers=headers)
        assert (refused.status_code, refused.json()["rule"]) == (403, rule)
    assert old.get("/status", headers={"Via": "1.1 x"}).json()["rule"] == "no-proxy"


@pytest.mark.skipif(shutil.which("curl") is None, reason="needs curl")
def test_curl_reaches_it(server: Server) -> None:
    argv = ["curl", "-sS", "--fail", "--unix-socket", str(server.home / SOCKET)]
    said = subprocess.run([*argv, "http://localhost/health"], capture_output=True, check=True)
    assert b'"status":"healthy"' in said.stdout


def test_it_goes_with_the_server(tmp_path: Path) -> None:
    with start_dual(tmp_path) as running:
        assert (tmp_path / SOCKET).exists()
        assert running.stop() == 0
    assert not (tmp_path / SOCKET).exists()


def test_what_a_killed_server_has_left_is_replaced(folder: Path) -> None:
    path = folder / "other.sock"
    with start_dual(folder / "home", MCLI_LEGACY_SOCKET=str(path)) as first:
        first.kill()
    assert path.exists()
    with start_dual(folder / "home", MCLI_LEGACY_SOCKET=str(path)) as second:
        with through(path) as client:
            assert client.get("/health").status_code == 200
        with pytest.raises(StartError, match="another server listens on the unix socket"):
            start_dual(folder / "another", MCLI_LEGACY_SOCKET=str(path))
        assert second.stop() == 0
    assert not path.exists()


def test_it_can_be_switched_off(tmp_path: Path) -> None:
    with start_dual(tmp_path, MCLI_LEGACY_SOCKET="off") as running:
        assert b"unix socket" not in b"".join(running.printed)
        assert not (tmp_path / SOCKET).exists()
        assert not Path("off").exists()


def test_a_home_too_deep_for_it_has_none_and_works(tmp_path: Path) -> None:
    home = tmp_path / ("x" * LONGEST)
    with start_dual(home) as running:
        assert b"unix socket" not in b"".join(running.printed)
        assert httpx.get(f"{running.legacy}/health").status_code == 200
    with pytest.raises(StartError, match=f"longer than {LONGEST} bytes; choose another path"):
        start_dual(home, MCLI_LEGACY_SOCKET=str(home / SOCKET))


def test_nobody_can_open_it_from_its_first_moment(folder: Path) -> None:
    before = os.umask(0)
    try:
        with listening(folder / "x") as listener:
            assert mode(folder / "x") == 0o600
            assert listener.getsockname() == str(folder / "x")
    finally:
        os.umask(before)
    assert list(folder.iterdir()) == []


def test_the_file_of_a_socket_that_is_alive_is_left_alone(folder: Path) -> None:
    path = folder / "x"
    with listening(path), pytest.raises(StartupError, match="MCLI_LEGACY_SOCKET"), listening(path):
        pass
    # One whose queue is full does not answer, but it is there.
    with socket.socket(socket.AF_UNIX) as busy, socket.socket(socket.AF_UNIX) as waiting:
        busy.bind(str(path))
        busy.listen(0)
        waiting.connect(str(path))
        with pytest.raises(StartupError, match="another server"), listening(path):
            pass
    assert path.exists()
    with listening(path):
        pass


def test_what_is_no_socket_is_never_removed(folder: Path) -> None:
    path = folder / "x"
    path.write_text("dear")
    with pytest.raises(StartupError, match="is no socket"), listening(path):
        pass
    assert path.read_text() == "dear"
    link = folder / "link"
    link.symlink_to(path)
    with pytest.raises(StartupError, match="is no socket"), listening(link):
        pass


def test_a_file_that_somebody_else_has_put_there_meanwhile_stays(folder: Path) -> None:
    path = folder / "x"
    with listening(path):
        path.unlink()
        path.write_text("theirs")
    assert path.read_text() == "theirs"


def test_where_no_file_can_be_is_told(folder: Path) -> None:
    with (
        pytest.raises(StartupError, match="cannot be made: No such file or directory; choose"),
        listening(folder / "absent" / "x"),
    ):
        pass
