"""The folder of scripts on the disk: written whole or not at all, never through a link."""

from __future__ import annotations

import hashlib
import os
import stat
from pathlib import Path

import pytest

from fastapi_app.errors import FolderBusyError, FolderError
from fastapi_app.services.script_rules import judge
from fastapi_app.storage.script_folder import (
    LARGEST,
    ScriptChangedError,
    ScriptFolder,
    Trouble,
    Verdict,
)

LONG_AGO = 1_600_000_000


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = tmp_path / "workflows"
    folder.mkdir()
    return folder


@pytest.fixture
def folder(root: Path, tmp_path: Path) -> ScriptFolder:
    return ScriptFolder(root, tmp_path / "index", judge)


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def put(root: Path, path: str, content: bytes = b"echo\n") -> Path:
    file = root / path
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(content)
    return file


def test_scripts_are_found_and_all_else_is_left_out(root: Path, folder: ScriptFolder) -> None:
    for path in ("a.sh", "ops/deep/b.py", "README.md", ".hidden.sh", ".git/c.sh", "data.bin"):
        put(root, path)
    put(root, "node_modules/x/y.js")
    put(root, "tool", b"#!/usr/bin/env lua\n")
    look = folder.look()
    assert {path: seen.language for path, seen in look.scripts.items()} == {
        "a.sh": "shell",
        "ops/deep/b.py": "python",
        "tool": "lua",
    }
    assert look.scripts["a.sh"].sha256 == sha256(b"echo\n")
    assert look.troubles == []


def test_what_cannot_be_looked_at_is_told(root: Path, folder: ScriptFolder) -> None:
    put(root, "good.sh")
    put(root, "large.sh", b"#" * (LARGEST + 1))
    put(root, "empty.sh", b"")
    (root / "link.sh").symlink_to("/etc/passwd")
    (root / "inside.sh").symlink_to("good.sh")
    (root / "ops").symlink_to("/etc")
    os.mkfifo(root / "pipe.sh")
    deep = "/".join(["d"] * 40)
    put(root, f"{deep}/x.sh")
    look = folder.look()
    assert list(look.scripts) == ["good.sh"]
    told = {trouble.path: trouble.detail for trouble in look.troubles}
    assert told.keys() == {
        *("large.sh", "empty.sh", "link.sh", "inside.sh", "ops", "pipe.sh"),
        "/".join(["d"] * 33) + "/",
    }
    assert "symbolic link" in told["ops"]
    assert f"{LARGEST + 1} bytes" in told["large.sh"]
    assert "regular" in told["pipe.sh"]


def test_a_file_is_read_again_only_when_it_has_changed(root: Path, tmp_path: Path) -> None:
    read: list[str] = []

    def noted(path: str, content: bytes, whole: bool) -> Verdict:
        read.append(path)
        return judge(path, content, whole)

    folder = ScriptFolder(root, tmp_path / "index", noted)
    old, young = put(root, "old.sh"), put(root, "young.sh")
    os.utime(old, (LONG_AGO, LONG_AGO))
    assert not (tmp_path / "index").exists()
    folder.look()
    # Its other time, of the inode, is as young as the look: it could still change unseen.
    read.clear()
    assert set(folder.look().scripts) == {"old.sh", "young.sh"}
    assert set(read) == {"old.sh", "young.sh"}
    # As time went by, both would be known; the file of what is known says so.
    index = tmp_path / "index"
    settle(folder)
    read.clear()
    assert set(folder.look().scripts) == {"old.sh", "young.sh"}
    assert read == []
    settle(folder)
    read.clear()
    young.write_bytes(b"print\n")
    assert folder.look().scripts["young.sh"].sha256 == sha256(b"print\n")
    assert set(read) == {"young.sh"}
    read.clear()
    folder.look(thorough=True)
    assert set(read) == {"old.sh", "young.sh"}
    index.write_text('{"version": 1, "folder": 3', encoding="ascii")
    assert set(folder.look().scripts) == {"old.sh", "young.sh"}


def settle(folder: ScriptFolder) -> None:
    """Have what was found be known, as it is once it is old enough."""
    from fastapi_app.storage.script_index import save_index

    save_index(folder._index, folder.root, folder.look().scripts)


def test_a_folder_that_is_not_there_has_no_scripts(tmp_path: Path) -> None:
    folder = ScriptFolder(tmp_path / "none", tmp_path / "index", judge)
    assert folder.look().scripts == {}
    assert folder.read("x.sh") is None
    folder.make()
    assert (tmp_path / "none").is_dir()


def test_a_folder_that_is_none_is_told(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_bytes(b"")
    folder = ScriptFolder(file, tmp_path / "index", judge)
    for use in (folder.make, folder.look):
        with pytest.raises(FolderError, match="MCLI_WORKFLOWS_DIR"):
            use()


def test_only_one_server_at_a_time_holds_it(root: Path, folder: ScriptFolder) -> None:
    other = ScriptFolder(root, root.with_name("other"), judge)
    with folder.held(), pytest.raises(FolderBusyError), other.held():
        pass
    with other.held():
        pass


def test_a_new_script_is_written_whole(root: Path, folder: ScriptFolder) -> None:
    before = os.umask(0o022)
    try:
        folder.write("ops/x.sh", b"#!/bin/sh\r\n")
        folder.write("y.py", b"1")
    finally:
        os.umask(before)
    assert (root / "ops/x.sh").read_bytes() == b"#!/bin/sh\r\n"
    assert stat.S_IMODE((root / "ops/x.sh").stat().st_mode) == 0o755
    assert stat.S_IMODE((root / "y.py").stat().st_mode) == 0o644
    assert sorted(file.name for file in root.rglob("*")) == ["ops", "x.sh", "y.py"]


def test_a_new_script_never_takes_the_place_of_another_file(
    root: Path, folder: ScriptFolder
) -> None:
    put(root, "x.sh", b"mine")
    (root / "y.sh").symlink_to("nowhere")
    for path in ("x.sh", "y.sh"):
        with pytest.raises(ScriptChangedError, match="another file is there"):
            folder.write(path, b"other")
    assert (root / "x.sh").read_bytes() == b"mine"
    assert len(list(root.iterdir())) == 2


def test_a_script_keeps_its_mode_and_its_place_may_change(root: Path, folder: ScriptFolder) -> None:
    put(root, "ops/x.sh", b"old").chmod(0o750)
    folder.write("ops/x.sh", b"new", ("ops/x.sh", sha256(b"old")))
    assert stat.S_IMODE((root / "ops/x.sh").stat().st_mode) == 0o750
    folder.write("dev/x.sh", b"newer", ("ops/x.sh", sha256(b"new")))
    assert stat.S_IMODE((root / "dev/x.sh").stat().st_mode) == 0o750
    assert sorted(str(file.relative_to(root)) for file in root.rglob("*")) == ["dev", "dev/x.sh"]


def test_a_script_that_is_not_what_it_was_stays(root: Path, folder: ScriptFolder) -> None:
    put(root, "x.sh", b"mine")
    gone = ("gone.sh", sha256(b"was"))
    with pytest.raises(ScriptChangedError, match="changed meanwhile"):
        folder.write("x.sh", b"theirs", ("x.sh", sha256(b"was")))
    with pytest.raises(ScriptChangedError, match="changed meanwhile"):
        folder.remove("x.sh", sha256(b"was"))
    with pytest.raises(ScriptChangedError, match="deleted meanwhile"):
        folder.write("gone.sh", b"theirs", gone)
    with pytest.raises(ScriptChangedError, match="deleted meanwhile"):
        folder.remove(*gone)
    assert [file.name for file in root.iterdir()] == ["x.sh"]
    assert (root / "x.sh").read_bytes() == b"mine"


def test_nothing_is_written_through_a_link(
    root: Path, tmp_path: Path, folder: ScriptFolder
) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "x.sh").write_bytes(b"theirs")
    (root / "ops").symlink_to(outside)
    (root / "y.sh").symlink_to(outside / "x.sh")
    with pytest.raises(OSError, match="ops"):
        folder.write("ops/new.sh", b"x")
    with pytest.raises(OSError, match="ops"):
        folder.remove("ops/x.sh", sha256(b"theirs"))
    with pytest.raises(OSError, match=r"y\.sh"):
        folder.write("y.sh", b"x", ("y.sh", sha256(b"theirs")))
    assert [file.name for file in outside.iterdir()] == ["x.sh"]
    assert (outside / "x.sh").read_bytes() == b"theirs"


def test_empty_folders_go_with_their_last_script(root: Path, folder: ScriptFolder) -> None:
    put(root, "a/b/x.sh", b"x")
    put(root, "a/y.sh", b"y")
    folder.remove("a/b/x.sh", sha256(b"x"))
    assert sorted(str(f.relative_to(root)) for f in root.rglob("*")) == ["a", "a/y.sh"]


def test_a_name_that_is_not_utf8_is_told(root: Path, folder: ScriptFolder) -> None:
    os.close(os.open(os.fsencode(root) + b"/\xff.sh", os.O_CREAT | os.O_WRONLY))
    assert folder.look().troubles == [Trouble("\udcff.sh", "its name is not UTF-8")]
