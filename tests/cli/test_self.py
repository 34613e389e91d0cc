"""`mclictl doctor` and `self`: each problem is made for real, and found with what to do."""

from __future__ import annotations

import json
import os
import socket
import sqlite3
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

from tests.cli.conftest import Mclictl, start_server
from tests.servers import ROOT

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

NOWHERE = "http://127.0.0.1:1"


@pytest.fixture(scope="module")
def owner(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mclictl]:
    """A server of these tests' own, asked from its own home folder."""
    home = tmp_path_factory.mktemp("home")
    with start_server(home) as server:
        yield Mclictl(server.new, home)


@pytest.fixture
def lonely(tmp_path: Path) -> Mclictl:
    """Nobody is at home."""
    (tmp_path / "home").mkdir()
    return Mclictl(NOWHERE, tmp_path / "home")


def found(mclictl: Mclictl, check: str, exits: int = 1, **extra: str) -> dict[str, Any]:
    """What the doctor says of one thing."""
    told = mclictl.json("doctor", exits=exits, **extra)
    (one,) = (finding for finding in told if finding["check"] == check)
    assert isinstance(one, dict)
    return one


def on_path() -> str:
    return f"{os.path.dirname(sys.executable)}:{os.environ['PATH']}"  # noqa: PTH120 - a link


def test_all_is_well(owner: Mclictl) -> None:
    told = owner.json("doctor", PATH=on_path())
    assert len(told) >= 10
    assert [finding for finding in told if finding["state"] == "problem"] == []
    lines = owner("doctor", PATH=on_path()).stdout.splitlines()
    assert len(lines) == len(told)
    assert all(line.startswith(("ok ", "unknown ")) for line in lines)


def test_nothing_listens(lonely: Mclictl) -> None:
    told = found(lonely, "server")
    assert (told["state"], told["found"]) == ("problem", f"nothing listens at {NOWHERE}")
    assert "mclictl serve" in told["todo"]
    plain = lonely("doctor", exits=1).stdout
    assert "-> start it: mclictl serve" in plain
    assert lonely("self", "doctor", exits=1).stdout == plain
    assert lonely.json("self", "doctor", exits=1) == lonely.json("doctor", exits=1)
    for noun in ([], ["self"]):
        assert "No such option" in lonely(*noun, "doctor", "--cure", exits=2).stderr


def test_another_program_has_the_port(lonely: Mclictl) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        told = found(Mclictl(url, lonely.home), "server")
        assert "does not speak HTTP" in told["found"]
        assert "--port 9000" in told["todo"]


def test_a_web_server_of_another_kind_has_the_port(lonely: Mclictl) -> None:
    argv = [sys.executable, "-u", "-m", "http.server", "0", "--bind", "127.0.0.1"]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as other:
        try:
            assert other.stdout is not None
            port = other.stdout.readline().decode().split(" port ")[1].split()[0]
            told = found(Mclictl(f"http://127.0.0.1:{port}", lonely.home), "server")
            assert "is another program's (404)" in told["found"]
        finally:
            other.terminate()


def test_the_token_is_missing_or_anybodys_or_of_another_home(
    owner: Mclictl, lonely: Mclictl
) -> None:
    assert "there is no" in found(lonely, "token")["found"]
    token = lonely.home / "token"
    token.write_text("mclih_" + "x" * 40)
    token.chmod(0o644)
    told = found(lonely, "token")
    assert "can be read by others (-rw-r--r--)" in told["found"]
    assert f"chmod 600 {token}" in told["todo"]
    told = found(Mclictl(owner.url, lonely.home), "server")
    assert "does not know the token" in told["found"]


def test_the_home_folder_is_a_file(tmp_path: Path) -> None:
    (tmp_path / "home").write_text("")
    told = found(Mclictl(NOWHERE, tmp_path / "home"), "home folder")
    assert told["found"].endswith("is no folder")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_the_home_folder_is_read_only(lonely: Mclictl) -> None:
    lonely.home.chmod(0o500)
    assert "cannot be written to" in found(lonely, "home folder")["found"]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("port = 'x'", "MCLI_PORT"),
        ("colour = 1", "unknown setting 'colour'"),
        ("port = ", "is not TOML"),
    ],
)
def test_the_configuration_is_broken(lonely: Mclictl, text: str, told: str) -> None:
    (lonely.home / "config.toml").write_text(text)
    finding = found(lonely, "configuration")
    assert told in finding["found"]
    assert "docs/settings.md" in finding["todo"]
    for verb in ("version", "where", "config"):
        assert told in lonely("self", verb, exits=1).stderr


def test_the_database_is_locked_broken_or_too_new(lonely: Mclictl) -> None:
    path = lonely.home / "mcli.db"
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE alembic_version (version_num TEXT)")
        connection.execute("INSERT INTO alembic_version VALUES ('9999')")
    told = found(lonely, "database")
    assert "of a newer version (revision 9999" in told["found"]
    connection.execute("BEGIN EXCLUSIVE")
    told = found(lonely, "database")
    assert "locked" in told["found"]
    assert "fuser" in told["todo"]
    connection.close()
    path.write_bytes(b"not a database" * 1000)
    assert "not a database" in found(lonely, "database")["found"]


def test_the_socket_is_a_left_over_or_a_file(lonely: Mclictl) -> None:
    pytest.importorskip("compat.settings")
    path = lonely.home / "legacy.sock"
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(str(path))
    assert "nobody listens on" in found(lonely, "unix socket")["found"]
    path.unlink()
    path.write_text("")
    assert "is no socket" in found(lonely, "unix socket")["found"]


def test_too_few_files_may_be_open(lonely: Mclictl) -> None:
    shell = f"ulimit -Sn 256; exec {sys.executable} -m cli doctor --json"
    done = subprocess.run(
        ["/bin/sh", "-c", shell],
        cwd=ROOT,
        env=lonely.environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    told = {finding["check"]: finding for finding in json.loads(done.stdout)}
    assert told["open files"]["found"] == "only 256 may be open"


def test_redis_does_not_answer(lonely: Mclictl) -> None:
    told = found(lonely, "redis", MCLI_REDIS_URL="redis://127.0.0.1:1/0")
    assert told["found"] == "it does not answer: ConnectionError"


def test_mclictl_is_not_on_the_path(lonely: Mclictl) -> None:
    told = found(lonely, "command", PATH="/nowhere")
    assert "export PATH=" in told["todo"]


def test_an_interpreter_is_missing(owner: Mclictl) -> None:
    owner("commands", "add", "needs-lua", "--language", "lua", "-", stdin="print(1)")
    told = found(owner, "interpreters", PATH="/nowhere")
    assert "lua: interpreter not found (for needs-lua)" in told["found"]
    owner("commands", "rm", "needs-lua", "--yes")


def test_everything_has_its_place(owner: Mclictl) -> None:
    told = owner.json("self", "where")
    assert told["home"] == str(owner.home)
    assert owner("self", "where", "token").stdout == f"{owner.home}/token\n"
    assert owner.json("self", "where", "database") == f"{owner.home}/mcli.db"
    assert "config" in owner("self", "where").stdout
    assert "There is no 'x'" in owner("self", "where", "x", exits=2).stderr


def test_versions(owner: Mclictl, lonely: Mclictl) -> None:
    told = owner.json("self", "version")
    assert told["mclictl"] == told["server"]
    assert told["database"] is not None
    assert "python" in owner("self", "version").stdout
    assert lonely.json("self", "version")["server"].startswith("unknown: No server answers")


def test_settings_have_a_source_and_secrets_are_not_shown(lonely: Mclictl) -> None:
    (lonely.home / "config.toml").write_text("stop_grace = 7.5\nallowed_hosts = ['a', 'b']\n")
    secret = "x" * 40

    def shown(*args: str) -> str:
        done = lonely("self", "config", *args, MCLI_SECRET_KEY=secret, MCLI_RATE_LIMIT="5/second")
        return done.stdout

    told = {row["setting"]: row for row in json.loads(shown("--json"))}
    assert told["stop_grace"]["value"] == 7.5
    assert told["stop_grace"]["source"] == told["allowed_hosts"]["source"] == "config.toml"
    assert told["allowed_hosts"]["value"] == "a b"
    assert told["rate_limit"]["source"] == "environment (MCLI_RATE_LIMIT)"
    assert told["secret_key"]["value"] == "[redacted]"
    assert told["port"] == {"setting": "port", "value": 8000, "source": "default"}
    plain = shown("--changed")
    assert secret not in plain
    assert "stop_grace" in plain
    assert "max_headers" not in plain


def test_completion_is_here_too(lonely: Mclictl) -> None:
    assert lonely("self", "completion", "bash").stdout == lonely("completion", "bash").stdout
    assert "'tcsh'" in lonely("self", "completion", "tcsh", exits=2).stderr
