"""What to start for a run: the shell, a program, or the interpreter of a stored script."""

from __future__ import annotations

import contextlib
import errno
import logging
import os
import shutil
from dataclasses import dataclass
from pathlib import Path

from fastapi_app.engine.cookies import RUN_ID
from fastapi_app.engine.interpreters import INTERPRETERS, called
from fastapi_app.engine.limits import SHELL, limited
from fastapi_app.engine.logs import LogFiles
from fastapi_app.engine.process import NOT_EXECUTABLE, NOT_FOUND, Launch
from fastapi_app.errors import SpawnFailedError
from fastapi_app.models import Language, Run, RunKind, Stream

log = logging.getLogger(__name__)

_NAME = "script."
_LANGUAGES = {extension: language for language, (extension, _) in INTERPRETERS.items()}


@dataclass(frozen=True, slots=True)
class Scripts:
    """Temporary folders of stored commands: the script as it was when the run was accepted."""

    folder: Path

    def write(self, run_id: str, language: Language, code: str) -> None:
        """Put the script where the run will find it, even after a restart."""
        folder = f"{self.folder}/{run_id}"
        os.mkdir(folder, 0o700)  # noqa: PTH102 - hot path, here and below
        extension, _ = INTERPRETERS[language]
        with open(f"{folder}/{_NAME}{extension}", "xb") as file:  # noqa: PTH123
            file.write(code.encode())

    def find(self, run_id: str) -> Path:
        """The script of a run.

        Raises:
            SpawnFailedError: it is gone.
        """
        folder = f"{self.folder}/{run_id}"
        with contextlib.suppress(FileNotFoundError):
            for name in os.listdir(folder):  # noqa: PTH208
                if name.startswith(_NAME):
                    return Path(folder, name)
        raise SpawnFailedError("its script is gone from the work folder", NOT_FOUND)

    def remove(self, run_id: str) -> None:
        """Delete the run's folder, with whatever the run left in it."""
        folder = f"{self.folder}/{run_id}"
        try:
            names = os.listdir(folder)  # noqa: PTH208
            if len(names) == 1 and names[0].startswith(_NAME):  # as most runs leave it
                os.unlink(f"{folder}/{names[0]}")  # noqa: PTH108
                names = []
            if not names:
                os.rmdir(folder)  # noqa: PTH106
                return
        except FileNotFoundError:
            return
        except OSError:  # what the run put there may be anything
            log.debug("%s is not as it was made", folder)
        shutil.rmtree(folder, onerror=_complain)


def launch_of(run: Run, logs: LogFiles, scripts: Scripts, *, durable: bool) -> Launch:
    """What to start for `run`. `durable` keeps a trace of it beside the log.

    Raises:
        SpawnFailedError: the program cannot be found.
    """
    cwd, path = run.cwd, SHELL
    if run.command_id is not None:
        script = scripts.find(run.id)
        name = script.name if cwd is None else str(script)
        path, argv = called(_LANGUAGES[script.suffix[1:]], name, run.args)
        cwd = cwd or str(script.parent)
    elif run.kind is RunKind.PROCESS and run.args:
        path = program(run.command, run.env.get("PATH"))
        argv = [run.command, *run.args]
    elif run.kind is RunKind.STEP:
        argv = [SHELL, "-c", run.command, "sh", *run.args]
    else:
        argv = [SHELL, "-c", run.command]
    path, argv = limited(path, argv, run.options.limits)
    state = logs.state(run.id, run.attempt)
    return Launch(
        path=path,
        argv=argv,
        stdout=logs.path(run.id, Stream.STDOUT),
        stderr=logs.path(run.id, Stream.STDERR),
        env={**run.env, RUN_ID: run.id},
        cwd=cwd,
        state=state if durable else None,
        last_state=state,
        log_limit=logs.max_bytes,
        stdin=logs.stdin(run.id) if run.options.stdin else None,
    )


def program(name: str, search: str | None = None) -> str:
    """Where a program lies that is started without a shell, looked up as `execvp` does.

    Raises:
        SpawnFailedError: there is none (127), or it is not executable (126).
    """
    if os.sep in name:
        return name  # relative to the run's own working folder: only the spawn can tell
    folders = os.get_exec_path({"PATH": search} if search is not None else None)
    candidates = [Path(folder, name) for folder in folders]
    for candidate in candidates:
        if candidate.is_file() and os.access(candidate, os.X_OK):
            return str(candidate)
    if any(candidate.exists() for candidate in candidates):
        raise SpawnFailedError(f"{name}: {os.strerror(errno.EACCES)}", NOT_EXECUTABLE)
    raise SpawnFailedError(f"{name}: {os.strerror(errno.ENOENT)}", NOT_FOUND)


def _complain(_function: object, name: str, error: tuple[object, BaseException, object]) -> None:
    log.warning("%s could not be deleted: %s", name, error[1])
