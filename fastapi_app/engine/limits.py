"""What the operating system is to hold a run to: set by a shell that then becomes its program."""

from __future__ import annotations

import shutil
import signal

from fastapi_app.models import Limits

SHELL = "/bin/sh"
_REFUSED = 126
# The number of processes has another letter in each shell.
_PROCESSES = "{{ ulimit -u {0} || ulimit -p {0}; }}"


def limited(path: str, argv: list[str], limits: Limits) -> tuple[str, list[str]]:
    """The program that sets the limits and then becomes `path`, called with `argv`.

    A limit the system refuses is told in the run's stderr; it exits with 126. Without limits it is
    the program itself. With some, the program's own name is its path.
    """
    if limits == Limits():
        return path, argv
    command = [path, *argv[1:]]
    if limits.nice:
        command = [shutil.which("nice") or "nice", "-n", str(limits.nice), *command]
    script = "".join(
        f'{set_it} 2>/dev/null || {{ echo "the system refuses {what}" >&2; exit {_REFUSED}; }}\n'
        for set_it, what in _settings(limits)
    )
    return SHELL, [SHELL, "-c", f'{script}exec "$@"', "sh", *command]


def explain(code: int | None, limits: Limits) -> str | None:
    """Which limit ended a run that ended with this code, as far as that tells.

    A signal to a shell's child shows as 128 and its number (POSIX 2.8.2).
    """
    if limits.cpu is not None and code in {-signal.SIGXCPU, 128 + signal.SIGXCPU}:
        return f"used up its {_seconds(limits.cpu)} of processor time"
    return None


def _settings(limits: Limits) -> list[tuple[str, str]]:
    """The shell's commands, and what each is for. Over its soft limit of time a process is told."""
    settings = []
    if limits.cpu is not None:
        both = f"ulimit -S -t {limits.cpu} && ulimit -H -t {limits.cpu + 1}"
        settings.append((f"{{ {both}; }}", f"{_seconds(limits.cpu)} of processor time"))
    if limits.memory is not None:
        kibibytes = -(-limits.memory // 1024)
        settings.append((f"ulimit -v {kibibytes}", f"{limits.memory} bytes of memory"))
    if limits.processes is not None:
        set_it = _PROCESSES.format(limits.processes)
        settings.append((set_it, f"at most {limits.processes} processes"))
    return settings


def _seconds(number: int) -> str:
    return f"{number} second{'' if number == 1 else 's'}"
