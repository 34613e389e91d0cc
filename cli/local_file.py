"""Script files of this machine: which words mean one, and how the server is to run it."""

from __future__ import annotations

import os
import shlex
import shutil
from pathlib import Path

import click

from fastapi_app import languages
from fastapi_app.engine.interpreters import called
from fastapi_app.errors import SpawnFailedError
from fastapi_app.models import Language

NOT_EXECUTABLE, NOT_FOUND = 126, 127
"""Exit codes, as shells have them."""


class CannotRun(click.ClickException):
    """The file is there, but not to be run."""

    exit_code = NOT_EXECUTABLE


class NotThere(click.ClickException):
    """There is no such file, or nothing that runs it."""

    exit_code = NOT_FOUND


def is_file(word: str) -> bool:
    """Whether a word means a file and no shell text.

    It does with a slash and without a space, or when it is the name of a file here whose suffix is
    that of a script.
    """
    if not word or any(letter.isspace() for letter in word):
        return Path(word).is_file() if "/" in word[:2] else False
    if "/" in word:
        return word.startswith(("./", "../", "/", "~/")) or Path(word).is_file()
    return languages.of_file(word, b"") is not None and Path(word).is_file()


def command_of(word: str, args: list[str]) -> str:
    """Shell text that runs the file with these arguments, whoever may execute it.

    Raises:
        NotThere, CannotRun: it cannot be run; says what to do.
    """
    path = Path(word).expanduser().absolute()
    return f"exec {shlex.join(_argv(path, args))}"


def _argv(path: Path, args: list[str]) -> list[str]:
    line = _first_line(path)
    if line.startswith(b"#!"):
        return [*_of_shebang(path, line), str(path), *args]
    name = languages.of_file(path.name, line)
    if name is None:
        if os.access(path, os.X_OK):
            return [str(path), *args]
        raise CannotRun(
            f"{path} has no shebang, and its suffix is none of a script: give it a first line such"
            " as #!/usr/bin/env python3, or write what runs it: mclictl run -- python3 FILE."
        )
    language = Language(name)
    if language.has_steps:
        raise CannotRun(
            f"{path} is a document of steps: store it with `mclictl commands add NAME --language"
            f" {language} {path}`, and start it with `mclictl workflow start NAME`."
        )
    if language is Language.NOTEBOOK and (why := languages.trouble_with_notebook(_text(path))):
        raise CannotRun(f"{path} cannot be run: {why}.")
    try:
        program, argv = called(language, str(path), args)
    except SpawnFailedError as error:
        kind = NotThere if error.returncode == NOT_FOUND else CannotRun
        raise kind(f"{path}: {error.detail}") from error
    return [program, *argv[1:]]


def _of_shebang(path: Path, line: bytes) -> list[str]:
    """What the kernel would start: the interpreter, and all that follows it as one argument."""
    if line.endswith(b"\r"):
        raise CannotRun(
            f"The first line of {path} ends like one of Windows (CRLF), which no interpreter is"
            f" called like: convert the file, e.g. sed -i 's/\\r$//' {shlex.quote(str(path))}"
        )
    words = line[2:].decode("utf-8", "surrogateescape").split(maxsplit=1)
    if not words:
        raise CannotRun(f"The first line of {path} names no interpreter.")
    if not os.access(words[0], os.X_OK):
        raise NotThere(f"{path} wants {words[0]}, which is not there: install it.")
    if Path(words[0]).name == "env" and len(words) > 1:
        asked = words[1].removeprefix("-S").split()
        program = next((word for word in asked if "=" not in word and word[0] != "-"), "")
        if program and shutil.which(program) is None:
            raise NotThere(f"{path} wants {program}, which is not on the PATH: install it.")
        if words[1].startswith("-S"):
            return [words[0], *asked]
    return words


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError as failure:
        raise CannotRun(f"{path} cannot be read: {failure.strerror}.") from failure


def _first_line(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.readline(4096).removesuffix(b"\n")
    except FileNotFoundError as failure:
        raise NotThere(
            f"There is no file {path}. To have the shell look for a command, write it behind"
            " `--`: mclictl run -- COMMAND."
        ) from failure
    except OSError as failure:
        raise CannotRun(f"{path} cannot be read: {failure.strerror}.") from failure
