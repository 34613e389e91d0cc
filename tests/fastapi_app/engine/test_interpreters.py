"""How scripts are called: TypeScript by a node that can, notebooks by jupyter."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from fastapi_app.engine.interpreters import called, trouble_with
from fastapi_app.errors import SpawnFailedError
from fastapi_app.models import Language


def program(folder: Path, name: str, text: str) -> Path:
    file = folder / name
    file.write_text(f"#!/bin/sh\n{text}\n", encoding="ascii")
    file.chmod(0o755)
    return file


@pytest.mark.parametrize(
    ("version", "code", "said"),
    [
        ("v20.20.2", 126, "node 20.20.2 cannot run TypeScript: that takes 22.6 or newer"),
        ("v22.5.1", 126, "22.6 or newer"),
        ("v22.6.0", 0, "--experimental-strip-types --disable-warning=ExperimentalWarning x.ts a b"),
        ("v22.18.0", 0, "x.ts a b"),
        ("v23.5.0", 0, "--experimental-strip-types --disable-warning=ExperimentalWarning x.ts a b"),
        ("v23.6.1", 0, "x.ts a b"),
        ("v26.0.0", 0, "x.ts a b"),
    ],
)
def test_typescript_runs_where_node_takes_the_types_away(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, version: str, code: int, said: str
) -> None:
    program(tmp_path, "node", f'[ "$*" = --version ] && echo {version} || echo "$*"')
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    path, argv = called(Language.TYPESCRIPT, "x.ts", ["a", "b"])
    done = subprocess.run(argv, executable=path, capture_output=True, text=True, check=False)
    assert done.returncode == code
    assert said in (done.stderr if code else done.stdout).splitlines()[0]
    if not code:
        assert done.stdout == f"{said}\n"
    assert bool(code) == ("cannot run TypeScript" in trouble_with(Language.TYPESCRIPT))


def test_what_cannot_run_here_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert trouble_with(Language.SHELL) == trouble_with(Language.TOML) == ""
    assert trouble_with(Language.LUA) == "lua: interpreter not found"
    program(tmp_path, "node", "exit 1")
    assert "--version" in trouble_with(Language.TYPESCRIPT)


def test_notebooks_run_by_what_jupyter_there_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(SpawnFailedError, match="jupyter-nbconvert: interpreter not found"):
        called(Language.NOTEBOOK, "x.ipynb", [])
    execute = str(program(tmp_path, "jupyter-execute", "true"))
    assert called(Language.NOTEBOOK, "x.ipynb", []) == (execute, [execute, "x.ipynb"])
    convert = str(program(tmp_path, "jupyter-nbconvert", "true"))
    path, argv = called(Language.NOTEBOOK, "x.ipynb", [])
    assert (path, argv[0], argv[-1]) == (convert, convert, "x.ipynb")
    assert {"--execute", "--stdout"} <= set(argv)
    with pytest.raises(SpawnFailedError, match="takes no arguments"):
        called(Language.NOTEBOOK, "x.ipynb", ["a"])
