"""`mclictl login`, `logout`, `whoami`, `keys` and `users`."""

from __future__ import annotations

import json
import stat
from typing import TYPE_CHECKING
from uuid import uuid4

import pytest

from tests.cli.conftest import Mclictl

if TYPE_CHECKING:
    from pathlib import Path

    from tests.servers import Server

PASSWORD = "correct horse battery"


@pytest.fixture
def ann(mclictl: Mclictl) -> str:
    """Name of a user of this test's own."""
    name = f"ann-{uuid4().hex[:8]}"
    made = mclictl("users", "add", name, "--role", "operator", stdin=f"{PASSWORD}\n")
    assert made.stdout.splitlines()[0].split() == ["NAME", "ROLE", "ACTIVE", "LAST", "LOGIN"]
    return name


@pytest.fixture
def stranger(server: Server, tmp_path: Path) -> Mclictl:
    """Somebody without the owner's token."""
    return Mclictl(server.new, tmp_path / "stranger")


def test_who_is_not_known_is_told_what_to_do(stranger: Mclictl) -> None:
    said = stranger("runs", exits=1).stderr
    assert said.startswith("Error: This needs a token")
    assert "mclictl login" in said
    assert "not logged in" in stranger("logout", exits=1).stderr
    assert "There is no token for" in stranger("token", exits=1).stderr


def test_the_token_in_force_is_printed(mclictl: Mclictl) -> None:
    assert mclictl("token").stdout == f"{mclictl.token}\n"
    assert mclictl.json("token", MCLI_TOKEN="x") == {"token": "x"}  # noqa: S106


def test_a_login_lasts_until_the_logout(stranger: Mclictl, ann: str) -> None:
    assert stranger("login", ann, stdin="wrong\n", exits=1).stderr.startswith("Error: There is no")
    assert stranger("login", ann, stdin=f"{PASSWORD}\n").stdout == f"logged in as {ann}\n"
    me = stranger.json("whoami")
    assert (me["name"], me["kind"], me["role"]) == (ann, "user", "operator")
    assert f"name        {ann}" in stranger("whoami").stdout
    assert stranger("run", "echo hi").stdout == "hi\n"
    run_id = stranger.background("echo followed")
    assert stranger("follow", run_id).stdout == "followed\n"  # over a WebSocket
    assert "'users:read'" in stranger("users", exits=1).stderr
    assert stat.S_IMODE((stranger.home / "logins.json").stat().st_mode) == 0o600
    assert stranger.json("logout") == {"logged_out": ann}
    assert stranger("whoami", exits=1).stderr.startswith("Error: This needs a token")
    for noun in ("keys", "users"):
        assert "This needs a token" in stranger(noun, exits=1).stderr
        assert "This needs a token" in stranger(noun, "list", exits=1).stderr
    stranger("login", ann, stdin=f"{PASSWORD}\n")
    assert stranger("logout").stdout == f"logged out {ann}\n"


def test_a_login_that_has_expired_is_renewed_on_the_way(stranger: Mclictl, ann: str) -> None:
    assert stranger.json("login", ann, stdin=f"{PASSWORD}\n")["name"] == ann
    file = stranger.home / "logins.json"
    logins = json.loads(file.read_text())
    logins[stranger.url]["access"] += "x"
    file.write_text(json.dumps(logins))
    assert stranger.json("whoami")["name"] == ann
    assert json.loads(file.read_text())[stranger.url]["refresh"] != logins[stranger.url]["refresh"]


def test_a_login_that_was_ended_is_forgotten(mclictl: Mclictl, stranger: Mclictl, ann: str) -> None:
    stranger("login", ann, stdin=f"{PASSWORD}\n")
    mclictl("users", "set", ann, "--inactive")
    assert "session has ended" in stranger("whoami", exits=1).stderr
    assert json.loads((stranger.home / "logins.json").read_text()) == {}
    (stranger.home / "logins.json").write_text("{")
    assert "Delete it, and log in again" in stranger("whoami", exits=1).stderr


def test_a_password_does_not_go_over_plain_http_to_another_host(stranger: Mclictl) -> None:
    said = stranger("login", "ann", exits=2, MCLI_URL="http://192.0.2.1:8000").stderr
    assert "use https, or --insecure" in said.replace("\n", " ")


def test_a_key_is_shown_once_and_works_until_it_is_removed(
    mclictl: Mclictl, stranger: Mclictl
) -> None:
    made = mclictl("keys", "add", "ci", "--scope", "workflows:read", "--expires", "1h")
    key = made.stdout.strip()
    key_id = key.split("_")[1]
    assert stranger("runs", "--limit", "1", MCLI_TOKEN=key).stdout
    assert "'workflows:write'" in stranger("run", "echo no", exits=1, MCLI_TOKEN=key).stderr
    assert key_id in mclictl("keys").stdout
    assert mclictl("keys", "list").stdout == mclictl("keys").stdout
    assert key not in mclictl("keys", "list", "--all", "--json").stdout
    assert mclictl("keys", "rm", key_id).stdout == f"removed {key_id}\n"
    assert "was revoked" in stranger("runs", exits=1, MCLI_TOKEN=key).stderr
    assert mclictl("keys", "rm", key_id, exits=1).stderr.startswith("Error: There is no API key")
    again = mclictl.json("keys", "add", "ci", "--scope", "workflows:read")["key"]
    again_id = again.split("_")[1]
    assert mclictl.json("keys", "rm", again_id) == {"removed": again_id}
    assert "no scope x" in mclictl("keys", "add", "ci", "--scope", "x", exits=1).stderr


def test_users_are_listed_changed_and_removed(mclictl: Mclictl, ann: str) -> None:
    assert ann in mclictl("users").stdout
    assert mclictl("users", "list").stdout == mclictl("users").stdout
    assert mclictl.json("users", "set", ann, "--role", "viewer")["role"] == "viewer"
    assert mclictl.json("users", "set", ann, "--inactive")["is_active"] is False
    assert ann in [user["name"] for user in mclictl.json("users")]
    assert mclictl.json("users", "list") == mclictl.json("users")
    _header, line = mclictl("users", "set", ann, "--role", "operator").stdout.splitlines()
    assert line.split()[:2] == [ann, "operator"]
    assert "Give --role" in mclictl("users", "set", ann, exits=2).stderr
    new = mclictl("users", "set", ann, "--password", stdin="short\n", exits=1)
    assert "10" in new.stderr
    assert "add --yes" in mclictl("users", "rm", ann, exits=2).stderr
    assert mclictl.json("users", "rm", ann, "--yes") == {"removed": ann}
    assert mclictl("users", "rm", ann, "-y", exits=1).stderr.startswith("Error: There is no user")
    again = ["users", "add", ann, "--role", "viewer"]
    assert "10" in mclictl(*again, stdin="short\n", exits=1).stderr
    added = mclictl(*again, "--json", stdin=f"{PASSWORD}\n").stdout
    assert json.loads(added)["name"] == ann
    assert "exists already" in mclictl(*again, stdin=f"{PASSWORD}\n", exits=1).stderr
    assert mclictl("users", "rm", ann, "-y").stdout == f"removed {ann}\n"
