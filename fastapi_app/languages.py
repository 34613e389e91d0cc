"""What language a file is in, by its suffix or its first line, and which suffix a language has."""

from __future__ import annotations

import json
from pathlib import PurePath

SUFFIXES = {
    "shell": (".sh", ".bash"),
    "python": (".py",),
    "node": (".js", ".mjs", ".cjs"),
    "lua": (".lua",),
    "typescript": (".ts", ".mts", ".cts"),
    "notebook": (".ipynb",),
    "toml": (".toml",),
    "yaml": (".yaml", ".yml"),
}
"""Of each language; the first one is what its files are given."""
_INTERPRETERS = {
    "shell": ("sh", "bash", "dash", "ksh", "zsh"),
    "python": ("python", "pypy"),
    "node": ("node", "nodejs"),
    "lua": ("lua", "luajit"),
}
_OF_SUFFIX = {suffix: language for language, known in SUFFIXES.items() for suffix in known}
_OF_INTERPRETER = {name: language for language, known in _INTERPRETERS.items() for name in known}


def of_file(name: str, head: bytes) -> str | None:
    """The language of a file: by its suffix, else by its shebang, else nobody knows.

    `head` is how the file begins; its first line is enough.
    """
    known = _OF_SUFFIX.get(PurePath(name).suffix.lower())
    if known is not None or not head.startswith(b"#!"):
        return known
    return _OF_INTERPRETER.get(_interpreter(head.partition(b"\n")[0].decode("ascii", "replace")))


def trouble_with_notebook(text: str) -> str:
    """Why this is no notebook (JSON with cells: nbformat 4); empty when it is one."""
    try:
        values = json.loads(text)
    except (ValueError, RecursionError) as error:
        return f"it is no notebook: {error}"
    if not isinstance(values, dict) or not isinstance(values.get("cells"), list):
        return "it is no notebook: it has no cells"
    return ""


def suffix(language: str) -> str:
    """What the name of a file in this language ends with; `.txt` for one that is not known."""
    return SUFFIXES.get(language, (".txt",))[0]


def _interpreter(line: str) -> str:
    """What `#!/usr/bin/env -S A=1 python3.11 -u` starts, without its version: python."""
    for word in line[2:].split():
        name = word.rpartition("/")[2]
        if name != "env" and not name.startswith("-") and "=" not in word:
            return name.rstrip("0123456789.")
    return ""
