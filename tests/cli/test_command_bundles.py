"""`mclictl commands import` and `export`: files, folders, bundles."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING
from uuid import uuid4

import pytest

if TYPE_CHECKING:
    from pathlib import Path

    from tests.cli.conftest import Mclictl


@pytest.fixture
def key() -> str:
    """What the commands of one test are sorted under."""
    return f"g{uuid4().hex[:8]}"


@pytest.fixture
def folder(tmp_path: Path, key: str) -> Path:
    """Scripts, and what is none."""
    made = tmp_path / "scripts"
    (made / "below").mkdir(parents=True)
    (made / f"a-{key}.py").write_bytes("print('ä')\r\n".encode())
    (made / f"b-{key}").write_text("#!/bin/bash\necho b\n")
    (made / "README.md").write_text("# No script\n")
    (made / ".hidden.sh").write_text("true\n")
    (made / "link.sh").symlink_to(made / f"a-{key}.py")
    return made


def test_a_folder_is_imported(mclictl: Mclictl, folder: Path, key: str) -> None:
    done = mclictl("commands", "import", str(folder), "--group", key, "--tag", "new")
    header, *lines = done.stdout.splitlines()
    assert header.split() == ["NAME", "OUTCOME", "CHANGED"]
    assert [line.split()[:2] for line in lines] == [
        [f"a-{key}", "created"],
        [f"b-{key}", "created"],
    ]
    assert done.stderr.splitlines() == [
        "skipped README.md: in no known language",
        "skipped below: no file; scripts in folders below are not looked for",
        "skipped link.sh: a link; its target may be anything",
    ]
    found = mclictl.json("commands", "list", "--group", key)
    assert [(c["language"], c["tags"]) for c in found] == [("python", ["new"]), ("shell", ["new"])]
    again = mclictl.json("commands", "import", str(folder), "--group", key)
    assert [item["outcome"] for item in again] == ["unchanged", "unchanged"]


def test_what_differs_is_a_conflict_until_told_otherwise(
    mclictl: Mclictl, folder: Path, key: str
) -> None:
    mclictl("commands", "add", f"a-{key}", "--code", "mine", "--language", "python")
    told = mclictl("commands", "import", str(folder), exits=1)
    assert [line.split()[1] for line in told.stdout.splitlines()[1:]] == ["conflict", "created"]
    assert "1 of 2 say something else" in told.stderr
    assert "--update" in told.stderr
    mclictl("commands", "show", f"b-{key}", exits=1)
    planned = mclictl.json("commands", "import", str(folder), "--update", "--dry-run")
    assert [item["outcome"] for item in planned] == ["updated", "created"]
    assert mclictl("commands", "show", f"a-{key}", "--code").stdout == "mine"
    mclictl("commands", "import", str(folder), "--update")
    assert mclictl("commands", "show", f"a-{key}", "--code").stdout.startswith("print")
    assert mclictl("commands", "history", f"a-{key}", "--version", "1").stdout == "mine"


def test_out_and_in_again_is_the_same(mclictl: Mclictl, tmp_path: Path, key: str) -> None:
    schema = tmp_path / "schema.json"
    schema.write_text('{"type": "object", "properties": {"n": {"type": "integer"}}}')
    mclictl(
        *("commands", "add", f"Full-{key}", "--code", "#!/bin/sh\r\necho 'ä'", "--group", key),
        *("--tag", "x", "--tag", "ö", "--description", "d", "--timeout", "90s", "--env", "A=1"),
        *("--cwd", "/", "--slots", "nightly", "--parameters", str(schema)),
    )
    mclictl("commands", "add", f"full-{key}", "--code", "true", "--group", key)
    mclictl("commands", "add", "n" * 150 + "ü" * 40 + key, "--code", "true", "--group", key)
    mclictl("commands", "disable", f"full-{key}")
    bundle = mclictl("commands", "export", "--group", key).stdout
    assert len(json.loads(bundle)["items"]) == 3
    out = tmp_path / "out"
    done = mclictl("commands", "export", "--group", key, "--folder", str(out))
    assert done.stdout == f"3 commands in {out}, described in mcli-commands.json\n"
    assert (out / f"Full-{key}.sh").read_bytes() == "#!/bin/sh\r\necho 'ä'".encode()
    assert (out / f"full-{key}-2.sh").exists(), "file systems may not tell capitals apart"
    for source in (str(out), "-"):
        stdin = bundle if source == "-" else ""
        assert [i["outcome"] for i in mclictl.json("commands", "import", str(out))] == [
            "unchanged"
        ] * 3
        for item in json.loads(bundle)["items"]:
            mclictl("commands", "rm", item["name"], "--yes")
        done = mclictl("commands", "import", source, stdin=stdin)
        assert done.stdout.count("created") == 3
        assert mclictl("commands", "export", "--group", key).stdout == bundle


def test_files_are_not_overwritten(mclictl: Mclictl, tmp_path: Path, key: str) -> None:
    mclictl("commands", "add", f"x-{key}", "--code", "true", "--group", key)
    out, arguments = tmp_path / "out", ("--group", key, "--folder", str(tmp_path / "out"))
    mclictl("commands", "export", *arguments)
    assert mclictl.json("commands", "export", *arguments)["files"][0] == f"x-{key}.sh"
    (out / f"x-{key}.sh").write_text("mine")
    said = mclictl("commands", "export", *arguments, exits=1).stderr
    assert "Nothing was written" in said
    assert "--force" in said
    assert (out / f"x-{key}.sh").read_text() == "mine"
    mclictl("commands", "export", *arguments, "--force")
    assert (out / f"x-{key}.sh").read_text() == "true"


def test_one_script_is_imported_under_a_name(mclictl: Mclictl, tmp_path: Path, key: str) -> None:
    script = tmp_path / "job.js"
    script.write_text("1")
    mclictl("commands", "import", str(script), "--name", f"n-{key}")
    assert mclictl.json("commands", "show", f"n-{key}")["language"] == "node"


def test_what_cannot_be_imported_is_told(mclictl: Mclictl, tmp_path: Path, key: str) -> None:
    def said(name: str, content: bytes, *options: str) -> str:
        path = tmp_path / name
        path.write_bytes(content)
        return mclictl("commands", "import", str(path), *options, exits=1).stderr

    assert "What language" in said("notes.txt", b"hello")
    assert "not UTF-8" in said("x.sh", b"\xff")
    assert "is empty" in said("x.sh", b"")
    assert "not JSON" in said("x.json", b"{")
    assert "no bundle" in said("x.json", b"{}")
    assert "/items/0/code" in said(
        "x.json", b'{"format": "mcli-commands", "items": [{"name": "x"}]}'
    )
    assert "routes have these names" in said("list.sh", b"true")
    assert "mcli:param wants NAME: TYPE" in said(f"p-{key}.sh", b"# mcli:param x")
    assert "does not exist" in mclictl("commands", "import", "nosuch", exits=2).stderr
    folder = tmp_path / "twice"
    folder.mkdir()
    (folder / "a.sh").write_text("true")
    (folder / "a.py").write_text("1")
    assert "both be named 'a'" in mclictl("commands", "import", str(folder), exits=1).stderr
    (folder / "mcli-commands.json").write_text("[]")
    assert "no manifest" in mclictl("commands", "import", str(folder), exits=1).stderr
    assert (
        "for one script"
        in mclictl("commands", "import", str(folder), "--name", "x", exits=2).stderr
    )
