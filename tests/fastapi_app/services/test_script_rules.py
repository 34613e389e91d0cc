"""What scripts have to be like, and what they say of themselves."""

from __future__ import annotations

import json

import pytest

from fastapi_app.models import Language
from fastapi_app.services.script_rules import described, file_of, judge, place_of

NOTEBOOK = json.dumps({"cells": [], "nbformat": 4})


@pytest.mark.parametrize(
    ("path", "name", "group"),
    [
        ("deploy.sh", "deploy", ""),
        ("ops/deploy.bash", "deploy", "ops"),
        ("a/b/x.y.py", "x.y", "a/b"),
        ("tool", "tool", ""),
        ("run.bats", "run.bats", ""),
    ],
)
def test_a_path_is_a_name_and_a_group(path: str, name: str, group: str) -> None:
    assert place_of(path) == (name, group)


@pytest.mark.parametrize(
    ("path", "content", "language"),
    [
        ("x.sh", b"echo", "shell"),
        ("x.py", b"1", "python"),
        ("x.mjs", b"1", "node"),
        ("x.ts", b"let x: number = 1", "typescript"),
        ("x.lua", b"x()", "lua"),
        ("x.ipynb", NOTEBOOK.encode(), "notebook"),
        ("x.yaml", b"steps: {}", "yaml"),
        ("x", b"#!/usr/bin/env python3\n", "python"),
        ("README.md", b"# x", None),
        ("workflows.lock.json", b"{}", None),
    ],
)
def test_the_language_of_a_file(path: str, content: bytes, language: str | None) -> None:
    assert judge(path, content, True) == (language, "", "")
    assert judge(path, content[:10], False).language == judge(path, content[:10], True).language


@pytest.mark.parametrize(
    ("path", "content", "said"),
    [
        ("x.sh", b"", "it is empty"),
        ("x.sh", b"a\0b", "NUL"),
        ("x.sh", b"echo \xff", "not UTF-8: byte 5"),
        ("x\udcff.sh", b"echo", "its name is not UTF-8"),
        ("list.sh", b"echo", "a route has this name"),
        ("a\nb.sh", b"echo", "control characters"),
        ("n" * 201 + ".sh", b"echo", "at most 200 characters"),
        ("g" * 201 + "/x.sh", b"echo", "a group has at most"),
        ("\u4e2d" * 90 + ".sh", b"echo", "at most 255 bytes"),
        ("x.ipynb", b'{"cells": [', "it is no notebook"),
        ("x.ipynb", b"[]", "it has no cells"),
        ("x.ipynb", b"[" * 200_000, "it is no notebook"),
    ],
)
def test_what_is_wrong_is_told(path: str, content: bytes, said: str) -> None:
    assert said in judge(path, content, True).problem


def test_a_shebang_with_a_carriage_return_is_warned_of() -> None:
    assert "carriage return" in judge("x.sh", b"#!/bin/sh\r\necho\r\n", True).warning
    assert not judge("x.sh", b"#!/bin/sh\necho\r\n", True).warning


@pytest.mark.parametrize(
    ("name", "group", "language", "path"),
    [
        ("x", "", Language.SHELL, "x.sh"),
        ("x.sh", "a/b", Language.SHELL, "a/b/x.sh.sh"),
        ("x", "g", Language.NOTEBOOK, "g/x.ipynb"),
        ("x", "g", Language.TYPESCRIPT, "g/x.ts"),
    ],
)
def test_a_command_has_its_place(name: str, group: str, language: Language, path: str) -> None:
    assert file_of(name, group, language) == (path, "")
    assert place_of(path) == (name, group)


@pytest.mark.parametrize("group", ["..", "/etc", "a/../b", "a//b", ".git", "a\0", "a/"])
def test_a_group_that_is_no_folder_is_told(group: str) -> None:
    assert file_of("x", group, Language.SHELL)[1]


def test_a_hidden_name_is_told() -> None:
    assert "dot" in file_of(".profile", "", Language.SHELL)[1]


@pytest.mark.parametrize(
    ("language", "code", "found"),
    [
        ("shell", "#!/bin/sh\n# @description: Say hi\n# @tags: a, b,, a\n", ("Say hi", ("a", "b"))),
        ("node", "// @description: Says\t\n", ("Says", None)),
        ("lua", "-- @tags: x\n", (None, ("x",))),
        ("python", "# @description: one\n# @description: two\n", ("one", None)),
        ("shell", "# @description:\n# @tags:\n", ("", ())),
        ("shell", "echo '@description: no'\n", (None, None)),
        ("notebook", "# @description: no\n", (None, None)),
    ],
)
def test_what_a_script_says_of_itself(
    language: str, code: str, found: tuple[str | None, tuple[str, ...] | None]
) -> None:
    values = dict(zip(("description", "tags"), found, strict=True))
    assert described(language, code) == {k: v for k, v in values.items() if v is not None}


@pytest.mark.parametrize(
    ("code", "said"),
    [
        (f"# @tags: {'t' * 10_000}\n", "a tag of it is longer"),
        (f"# @tags: {','.join(map(str, range(101)))}\n", "more than 100 tags"),
        (f"# @description: {'d' * 10_001}\n", "its description is longer"),
    ],
)
def test_what_is_too_much_is_told(code: str, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        described("shell", code)
