"""What a run runs, and starting it as a child process."""

from __future__ import annotations

import errno
import json
import os
import shlex
import shutil
import subprocess
from dataclasses import dataclass, field
from typing import IO, TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path

    from sqlalchemy import Row

INTERPRETERS = {
    "shell": (("/bin/sh",), "script.sh"),
    "python": (("python3", "python"), "script.py"),
    "node": (("node",), "script.js"),
    "lua": (("lua",), "script.lua"),
}
NOT_FOUND = 127
NOT_EXECUTABLE = 126


class CannotStartError(Exception):
    """The child did not start; carries the exit code a shell would give, and why."""

    def __init__(self, returncode: int, message: str) -> None:
        super().__init__(message)
        self.returncode = returncode
        self.message = message


@dataclass(frozen=True)
class Job:
    """One thing to run: a program with arguments, or a stored script when it has a language."""

    kind: str
    name: str
    command: str
    argv: list[str]
    args: list[str] = field(default_factory=list)
    env: dict[str, str] = field(default_factory=dict)
    cwd: str | None = None
    language: str | None = None
    code: str = ""
    command_id: str | None = None
    process_id: str | None = None


def shell_job(command: str) -> Job:
    """Run `/bin/sh -c command`, waited for by the one who asked."""
    return Job("execute", "", command, ["/bin/sh", "-c", command])


def stored_job(kind: str, command: Row[Any], args: list[str], env: dict[str, str]) -> Job:
    """Run a row of `commands` with arguments."""
    return Job(
        kind,
        command.name,
        shlex.join([command.name, *args]),
        [],
        args=args,
        env=env,
        language=command.language,
        code=command.code,
        command_id=command.id,
    )


def process_job(process: Row[Any]) -> Job:
    """Run a row of `processes`: a program with arguments, or a shell command without any."""
    args: list[str] = json.loads(process.args)
    argv = [process.command, *args]
    return Job(
        "process",
        process.name,
        shlex.join(argv) if args else process.command,
        argv if args else ["/bin/sh", "-c", process.command],
        args=args,
        env=json.loads(process.environment),
        cwd=process.working_dir,
        process_id=process.id,
    )


def start(job: Job, folder: Path, stdout: IO[bytes], stderr: IO[bytes]) -> subprocess.Popen[bytes]:
    """Start a child in its own session; `folder` is made when the job is a stored script.

    Raises CannotStartError.
    """
    argv, cwd = job.argv, job.cwd
    if job.language is not None:
        argv, cwd = _script(job, folder), str(folder)
    try:
        return subprocess.Popen(
            argv,
            cwd=cwd,
            env=os.environ | job.env if job.env else None,
            stdin=subprocess.DEVNULL,
            stdout=stdout,
            stderr=stderr,
            start_new_session=True,
        )
    except OSError as error:
        code = NOT_FOUND if error.errno == errno.ENOENT else NOT_EXECUTABLE
        what = error.filename or argv[0]
        raise CannotStartError(code, f"{what}: {error.strerror}") from error


def _script(job: Job, folder: Path) -> list[str]:
    if job.language not in INTERPRETERS:
        raise CannotStartError(NOT_EXECUTABLE, f"{job.language}: not a language of this daemon")
    names, file = INTERPRETERS[job.language]
    interpreter = next(filter(None, map(shutil.which, names)), None)
    if interpreter is None:
        raise CannotStartError(NOT_FOUND, f"{names[0]}: interpreter not found")
    folder.mkdir(parents=True)
    (folder / file).write_bytes(job.code.encode())
    return [interpreter, file, *job.args]
