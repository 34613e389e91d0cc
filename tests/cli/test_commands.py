"""`mclictl commands`: stored commands from the cradle to the grave."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import uuid4

import pytest

from cli.definitions import guess_language

if TYPE_CHECKING:
    from tests.cli.conftest import Mclictl


@pytest.fixture
def name(mclictl: Mclictl) -> str:
    """Name of a stored command of this test's own."""
    made = f"greet-{uuid4().hex[:8]}"
    mclictl("commands", "add", made, "--code", "echo hello\n", "--group", made, "--tag", "b")
    return made


def test_code_from_the_command_line_a_file_and_standard_input(
    mclictl: Mclictl, tmp_path: Path
) -> None:
    key = uuid4().hex[:8]
    script = tmp_path / "job.py"
    script.write_bytes("print('ü')\r\n".encode())
    done = mclictl("commands", "add", f"a-{key}", "--code", "echo a")
    assert done.stdout == f"added a-{key} (shell)\n"
    added = mclictl.json("commands", "add", f"b-{key}", "--file", str(script), "--description", "B")
    assert (added["language"], added["code"]) == ("python", "print('ü')\r\n")
    assert added["description"] == "B"
    mclictl("commands", "add", f"c-{key}", "-", stdin="#!/usr/bin/env node\n1")
    found = mclictl.json("commands", "show", f"c-{key}")
    assert (found["language"], found["code"]) == ("node", "#!/usr/bin/env node\n1")


@pytest.mark.parametrize(
    ("filename", "code", "language"),
    [
        ("x.sh", "", "shell"),
        ("x.PY", "", "python"),
        ("x.mjs", "", "node"),
        ("x.lua", "#!/bin/sh", "lua"),
        ("x.toml", "", "toml"),
        ("x.yaml", "", "yaml"),
        ("x.YML", "", "yaml"),
        ("x", "#!/usr/bin/env -S A=1 python3.11 -u\n", "python"),
        ("x", "#! /bin/bash\n", "shell"),
        ("x.txt", "#!/usr/bin/lua5.4", "lua"),
        ("", "echo hi", "shell"),
        ("x.rb", "puts 1", None),
        ("", "#!/usr/bin/ruby\n", None),
        ("", "#!\n", None),
    ],
)
def test_languages_are_told_apart(filename: str, code: str, language: str | None) -> None:
    assert guess_language(filename, code) == language


def test_commands_are_listed(mclictl: Mclictl, name: str) -> None:
    header, line = mclictl("commands", "list", "--group", name).stdout.splitlines()
    assert header.split()[:5] == ["NAME", "LANGUAGE", "GROUP", "TAGS", "ACTIVE"]
    assert line.split()[:5] == [name, "shell", name, "b", "yes"]
    (found,) = mclictl.json("commands", "list", "--group", name, "--language", "shell")
    assert (found["name"], found["tags"]) == (name, ["b"])
    assert mclictl.json("commands", "list", "--group", name, "--language", "lua") == []


def test_inactive_ones_are_listed_when_asked_for(mclictl: Mclictl, name: str) -> None:
    mclictl("commands", "edit", name, "--inactive")
    assert mclictl("commands", "list", "--group", name).stderr == "no stored commands\n"
    assert len(mclictl.json("commands", "list", "--group", name, "--all")) == 1


def test_one_is_shown_with_its_code(mclictl: Mclictl, name: str) -> None:
    shown = mclictl("commands", "show", name).stdout
    assert re.search(rf"^name +{name}$", shown, re.MULTILINE)
    assert shown.endswith("\n\necho hello\n")
    assert mclictl("commands", "show", name, "--code").stdout == "echo hello\n"
    assert mclictl.json("commands", "show", name)["code"] == "echo hello\n"
    assert mclictl.json("commands", "show", name, "--code") == "echo hello\n"


def test_fields_are_edited_by_options(mclictl: Mclictl, name: str, tmp_path: Path) -> None:
    done = mclictl("commands", "edit", name, "--description", "Greets", "--tag", "x", "--tag", "y")
    assert done.stdout == f"changed {name} (shell)\n"
    script = tmp_path / "new.sh"
    script.write_text("echo new\n")
    changed = mclictl.json("commands", "edit", name, "--file", str(script))
    assert (changed["description"], changed["tags"]) == ("Greets", ["x", "y"])
    assert changed["code"] == "echo new\n"


def test_the_code_is_edited_in_the_editor(mclictl: Mclictl, name: str) -> None:
    done = mclictl("commands", "edit", name, EDITOR="sed -i s/hello/bye/")
    assert done.stdout == f"changed {name} (shell)\n"
    assert mclictl("commands", "show", name, "--code").stdout == "echo bye\n"
    assert mclictl("commands", "edit", name, EDITOR="true").stdout.startswith("unchanged")


def _kept(said: str) -> Path:
    found = re.search(r"^Your text is kept in (\S+)$", said, re.MULTILINE)
    assert found, said
    return Path(found[1])


def test_nothing_is_lost_when_the_editor_fails(mclictl: Mclictl, name: str, tmp_path: Path) -> None:
    editor = tmp_path / "editor"
    editor.write_text('#!/bin/sh\necho "echo half done" > "$1"\nexit 1\n')
    editor.chmod(0o755)
    done = mclictl("commands", "edit", name, exits=1, EDITOR=str(editor), TMPDIR=str(tmp_path))
    assert _kept(done.stderr).read_text() == "echo half done\n"
    assert mclictl("commands", "show", name, "--code").stdout == "echo hello\n"


def test_nothing_is_lost_when_the_command_was_removed_meanwhile(
    mclictl: Mclictl, name: str, tmp_path: Path
) -> None:
    editor = tmp_path / "editor"
    remove = f"'{sys.executable}' -m cli commands rm {name} --yes"
    editor.write_text(f'#!/bin/sh\n{remove}\necho "echo late" > "$1"\n')
    editor.chmod(0o755)
    done = mclictl("commands", "edit", name, exits=1, EDITOR=str(editor), TMPDIR=str(tmp_path))
    assert _kept(done.stderr).read_text() == "echo late\n"


def test_one_is_removed(mclictl: Mclictl, name: str) -> None:
    assert "--yes" in mclictl("commands", "rm", name, exits=2).stderr
    assert mclictl("commands", "rm", name, "--yes").stdout == f"removed {name}\n"
    assert name in mclictl("commands", "show", name, exits=1).stderr


def test_removal_as_json(mclictl: Mclictl, name: str) -> None:
    assert mclictl.json("commands", "rm", name, "--yes") == {"removed": name}


@pytest.mark.parametrize("verb", [["show"], ["rm", "--yes"], ["edit"], ["edit", "--code", "x"]])
@pytest.mark.parametrize("unknown", ["nonesuch", "list", "a/b"])
def test_an_unknown_name_is_told(mclictl: Mclictl, verb: list[str], unknown: str) -> None:
    done = mclictl("commands", *verb, unknown, exits=1)
    assert done.stdout == ""
    assert done.stderr.startswith("Error: ")


def test_a_name_is_taken_once(mclictl: Mclictl, name: str) -> None:
    assert name in mclictl("commands", "add", name, "--code", "x", exits=1).stderr


def test_a_wrong_command_line_is_explained(mclictl: Mclictl, tmp_path: Path) -> None:
    odd = tmp_path / "x.rb"
    odd.write_text("puts 1")
    assert "Where is the code" in mclictl("commands", "add", "x", exits=2).stderr
    assert "only one of" in mclictl("commands", "add", "x", "-", "--code", "x", exits=2).stderr
    assert "Give --language" in mclictl("commands", "add", "x", "--file", str(odd), exits=2).stderr
    assert "nonesuch" in mclictl("commands", "add", "x", "--file", "nonesuch", exits=2).stderr
    odd.write_bytes(b"\xff")
    done = mclictl("commands", "add", "x", "--language", "lua", "--file", str(odd), exits=1)
    assert "not UTF-8" in done.stderr


def test_defaults_and_parameters_are_set_shown_and_taken_away(
    mclictl: Mclictl, name: str, tmp_path: Path
) -> None:
    schema = tmp_path / "schema.json"
    schema.write_text(
        '{"type": "object", "required": ["month"], "properties": {"month": {"type": "string",'
        ' "description": "Of the report"}, "format": {"enum": ["pdf", "csv"], "default": "pdf"}}}'
    )
    options = ("--timeout", "90s", "--env", "A=1", "--env", "B=2", "--cwd", "/", "--slots", "x")
    done = mclictl("commands", "edit", name, *options, "--parameters", str(schema))
    assert done.stdout == f"changed {name} (shell)\n"
    mclictl("commands", "edit", name, "--env", "B=3")
    shown = [line.split() for line in mclictl("commands", "show", name).stdout.splitlines()]
    for line in (
        ["default", "timeout", "1", "min", "30", "s"],
        ["default", "env", "A=1", "B=3"],
        ["default", "cwd", "/"],
        ["default", "slots", "x"],
        ["PARAMETER", "TYPE", "REQUIRED", "DEFAULT", "DESCRIPTION"],
        ["month", "string", "yes", "-", "Of", "the", "report"],
        ["format", "pdf|csv", "no", "pdf", "-"],
    ):
        assert line in shown
    found = mclictl.json("commands", "edit", name, "--no-defaults", "--no-parameters")
    assert found["defaults"] == {"timeout": None, "env": {}, "cwd": None, "group": None}
    assert (found["parameters"], found["declared"]) == ({}, None)


def test_parameters_of_a_start(mclictl: Mclictl, name: str) -> None:
    code = "# mcli:param n: integer = 1 -- How many\necho $MCLI_PARAM_N"
    mclictl("commands", "edit", name, "--code", code)
    assert mclictl("workflow", "start", name, "--wait").stdout == "1\n"
    assert mclictl("workflow", "start", name, "--wait", "--param", "n=5").stdout == "5\n"
    said = mclictl("workflow", "start", name, "--param", "n=x", exits=1).stderr
    assert '/params/n: must be of type "integer"' in said
    assert "K=V" in mclictl("workflow", "start", name, "--param", "n", exits=2).stderr


def test_a_wrong_definition_is_told(mclictl: Mclictl, name: str, tmp_path: Path) -> None:
    odd = tmp_path / "odd.json"
    for content, said in (("{", "is not JSON"), ("[]", "must be an object"), ("{}", "")):
        odd.write_text(content)
        exits = 1 if said else 0
        done = mclictl("commands", "edit", name, "--parameters", str(odd), exits=exits)
        assert said in done.stderr
    odd.write_text('{"type": "object"}')
    done = mclictl("commands", "edit", name, "--parameters", str(odd), exits=1)
    assert "/parameters: must be a JSON schema" in done.stderr
    done = mclictl("commands", "edit", name, "--no-defaults", "--cwd", "/", exits=2)
    assert "--no-defaults" in done.stderr
    both = ("--no-parameters", "--parameters", str(odd))
    assert "only one of" in mclictl("commands", "edit", name, *both, exits=2).stderr
    tag = mclictl("commands", "edit", name, "--tag", "t" * 10_240, exits=1)
    assert "/tags/0: String should have at most 200 characters" in tag.stderr


def test_a_name_that_differs_in_case_is_told(mclictl: Mclictl, name: str) -> None:
    done = mclictl("commands", "add", name.upper(), "--code", "true")
    assert done.stdout == f"added {name.upper()} (shell)\n"
    assert f"There is '{name}', too" in done.stderr
