"""`mclictl sync`: a folder of scripts and the stored commands."""

from __future__ import annotations

import json
import shutil
import signal
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.cli.conftest import Mclictl, start_server, visible
from tests.fastapi_app.starting import until

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.servers import Server


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server whose folder these tests have for themselves."""
    with start_server(tmp_path_factory.mktemp("home")) as running:
        yield running
        running.stop()


@pytest.fixture
def mclictl(own: Server, tmp_path: Path) -> Mclictl:
    return Mclictl(own.new, tmp_path, own.token)


@pytest.fixture
def folder(own: Server, mclictl: Mclictl) -> Iterator[Path]:
    """Its folder, and nothing on either side."""
    root = own.home / "workflows"
    root.mkdir(exist_ok=True)
    yield root
    for file in root.iterdir():
        file.unlink()
    mclictl("sync", "push", "--prune", "--yes")
    with own.client() as client:
        for item in client.get("/api/v1/commands/list").json()["items"]:
            client.delete(f"/api/v1/commands/{item['name']}")


def put(folder: Path, name: str, code: str = "echo hi\n") -> None:
    (folder / name).write_bytes(code.encode())


def changed(mclictl: Mclictl, name: str, code: str) -> None:
    mclictl("commands", "edit", name, "--code", code)


def test_status_push_and_pull_print_lines_as_git_does(mclictl: Mclictl, folder: Path) -> None:
    put(folder, "hi.sh")
    put(folder, "one.py", "print(1)\n")
    heading = "# changed in the folder, for `mclictl sync push`:"
    assert mclictl("sync", "status").stdout.splitlines() == [heading, "A hi", "A one"]
    assert mclictl("sync", "push", "--dry-run").stdout == "A hi\nA one\n"
    assert mclictl("sync", "push", "one").stdout == "A one\n"
    assert mclictl("sync", "push").stdout == "A hi\n"
    again = mclictl("sync", "push")
    assert (again.stdout, again.stderr) == ("", "2 scripts, nothing to push\n")
    changed(mclictl, "hi", "echo store\n")
    assert mclictl("sync", "status").stdout.splitlines()[1:] == ["M hi"]
    assert mclictl("sync", "pull").stdout == "M hi\n"
    assert (folder / "hi.sh").read_bytes() == b"echo store\n"
    alike = mclictl("sync", "status")
    assert (alike.stdout, alike.stderr) == ("", f"2 scripts, all alike in {folder}\n")


def test_json_is_one_document(mclictl: Mclictl, folder: Path) -> None:
    put(folder, "hi.sh")
    assert mclictl.json("sync", "status")["push"] == [{"name": "hi", "change": "A"}]
    assert mclictl.json("sync", "push")["done"] == [{"name": "hi", "change": "A"}]
    assert mclictl.json("sync", "pull")["done"] == []
    assert mclictl.json("sync", "verify")["ok"] is True
    assert mclictl.json("sync", "diff") == []
    [both] = mclictl.json("sync", "diff", "hi")
    assert (both["path"], both["diff"]) == ("hi.sh", "")


def test_a_conflict_is_shown_and_resolved(mclictl: Mclictl, folder: Path) -> None:
    put(folder, "hi.sh")
    mclictl("sync", "push")
    put(folder, "hi.sh", "echo mine\n")
    changed(mclictl, "hi", "echo theirs\n")
    said = "C hi  (modified in the folder, modified in the store)\n"
    assert mclictl("sync", "push", exits=1).stdout == said
    assert mclictl("sync", "pull", exits=1).stdout == said
    assert said in mclictl("sync", "status").stdout
    shown = mclictl("sync", "diff").stdout.splitlines()
    assert shown[:2] == ["--- store/hi.sh", "+++ folder/hi.sh"]
    assert shown[-2:] == ["-echo theirs", "+echo mine"]
    refused = mclictl("sync", "resolve", "hi", "--take", "store", exits=2)
    assert "add --yes" in refused.stderr
    assert mclictl("sync", "resolve", "hi", "--take", "store", "--dry-run").stdout == "M hi\n"
    assert mclictl("sync", "resolve", "hi", "--take", "folder", "--yes").stdout == "M hi\n"
    assert mclictl("commands", "show", "hi", "--code").stdout == "echo mine\n"
    put(folder, "hi.sh", "echo again\n")
    changed(mclictl, "hi", "echo theirs\n")
    resolved = mclictl.json("sync", "resolve", "hi", "--take", "store", "--yes")
    assert resolved["done"] == [{"name": "hi", "change": "M"}]


def test_deletions_want_prune_and_a_yes(mclictl: Mclictl, folder: Path) -> None:
    put(folder, "hi.sh")
    mclictl("sync", "push")
    (folder / "hi.sh").unlink()
    kept = mclictl("sync", "push", exits=1)
    assert (kept.stdout, "--prune" in kept.stderr) == ("", True)
    assert "add --yes" in mclictl("sync", "push", "--prune", exits=2).stderr
    assert mclictl("sync", "push", "--prune", "--dry-run").stdout == "D hi\n"
    assert mclictl("sync", "push", "--prune", "--yes").stdout == "D hi\n"
    assert mclictl("sync", "pull", "--prune").stdout == ""


def test_what_is_left_alone_is_told(mclictl: Mclictl, folder: Path) -> None:
    put(folder, "bad.ipynb", "{")
    put(folder, "cr.sh", "#!/bin/sh\r\n")
    done = mclictl("sync", "push", exits=1)
    added, left = done.stdout.splitlines()
    assert added == "A cr"
    assert left.startswith("! bad.ipynb: it is no notebook")
    assert done.stderr.startswith("warning: cr.sh: its shebang")
    assert "! bad.ipynb" in mclictl("sync", "verify", exits=1).stdout


def test_verify_tells_which_entries_of_the_lock_are_wrong(mclictl: Mclictl, folder: Path) -> None:
    put(folder, "hi.sh")
    put(folder, "other.sh")
    mclictl("sync", "push")
    assert mclictl("sync", "verify").stderr == "2 scripts are as the lock says\n"
    lock = folder / "workflows.lock.json"
    values = json.loads(lock.read_bytes())
    values["scripts"]["hi"]["sha256"] = "0" * 64
    del values["scripts"]["other"]
    lock.write_text(json.dumps(values), encoding="ascii")
    assert mclictl("sync", "verify", exits=1).stdout.splitlines() == [
        "! hi: folder differs, store differs",
        "! other: alike on both sides, but not in the lock",
    ]
    mclictl("sync", "push")
    mclictl("sync", "verify")


def test_watch_pushes_what_is_saved(mclictl: Mclictl, folder: Path) -> None:
    put(folder, "hi.sh")
    with mclictl.spawn("sync", "watch", "--json", PYTHONUNBUFFERED="1") as watching:
        assert watching.stdout is not None
        assert json.loads(watching.stdout.readline())["done"] == [{"name": "hi", "change": "A"}]
        watching.send_signal(signal.SIGINT)
        assert watching.wait(30) == 130
    put(folder, "hi.sh", "echo again\n")
    with mclictl.spawn("sync", "watch", PYTHONUNBUFFERED="1") as watching:
        assert watching.stdout is not None
        assert watching.stdout.readline() == "M hi\n"
        put(folder, "hi.sh", "echo saved\n")
        assert watching.stdout.readline() == "M hi\n"
        watching.send_signal(signal.SIGINT)
        assert watching.wait(30) == 130
    assert mclictl("commands", "show", "hi", "--code").stdout == "echo saved\n"
    assert "add --yes" in mclictl("sync", "watch", "--prune", exits=2).stderr


def test_a_folder_that_is_deleted_and_made_again_is_watched_on(
    mclictl: Mclictl, folder: Path
) -> None:
    put(folder, "hi.sh")
    with mclictl.spawn("sync", "watch", PYTHONUNBUFFERED="1") as watching:
        assert watching.stdout is not None
        assert watching.stdout.readline() == "A hi\n"
        shutil.rmtree(folder)
        until(folder.exists)
        put(folder, "other.sh")
        assert watching.stdout.readline() == "A other\n"
        watching.send_signal(signal.SIGINT)
        assert watching.wait(30) == 130
    assert mclictl("commands", "show", "hi", "--code").stdout == "echo hi\n"


def test_a_person_gets_colours_and_a_bar(mclictl: Mclictl, folder: Path) -> None:
    for number in range(501):
        put(folder, f"s{number}.sh")
    shown = mclictl.on_terminal("sync", "push")
    assert "push" in shown
    assert "100%" in shown
    assert "A s0" in visible(shown)
    assert "\033[32mA" in shown
    put(folder, "new.sh")
    assert "A new" in visible(mclictl.on_terminal("sync", "status"))
    plain = mclictl.on_terminal("sync", "status", NO_COLOR="1")
    assert "A new" in plain.splitlines()


@pytest.mark.parametrize(
    ("args", "exits", "said"),
    [
        (["diff", "nobody"], 1, "'nobody'"),
        (["push", "nobody"], 1, "'nobody'"),
        (["pull", "nobody"], 1, "'nobody'"),
        (["resolve", "nobody", "--take", "store", "--yes"], 1, "'nobody'"),
        (["resolve", "nobody"], 2, "--take"),
        (["resolve", "--take", "store"], 2, "NAME"),
        (["psuh"], 2, "Did you mean 'push'?"),
    ],
)
def test_a_failure_says_why(mclictl: Mclictl, args: list[str], exits: int, said: str) -> None:
    failed = mclictl("sync", *args, exits=exits)
    assert (failed.stdout, said in failed.stderr) == ("", True)


@pytest.mark.parametrize("verb", ["status", "push", "pull", "verify", "watch", "diff"])
def test_without_a_server_it_is_told(mclictl: Mclictl, verb: str) -> None:
    failed = mclictl("sync", verb, exits=3, MCLI_URL="http://127.0.0.1:1")
    assert "mclictl serve" in failed.stderr
