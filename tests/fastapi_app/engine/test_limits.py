"""What the operating system holds runs to, and what it refuses."""

from __future__ import annotations

import os
import signal
import subprocess

import pytest

from fastapi_app.engine.limits import explain, limited
from fastapi_app.models import Limits

SHELL = "/bin/sh"
EVERYTHING = Limits(nice=7, memory=10**9, cpu=20, processes=5000)
SHOW = (
    "ulimit -St; ulimit -Ht; ulimit -Sv; ulimit -Hv; nice; grep '^Max processes' /proc/self/limits"
)
GIBIBYTE = 2**30


def run(argv: list[str], limits: Limits, **options: object) -> subprocess.CompletedProcess[str]:
    """Run a program within limits."""
    path, argv = limited(argv[0], argv, limits)
    return subprocess.run(  # type: ignore[call-overload, no-any-return]
        argv, executable=path, capture_output=True, text=True, timeout=60, check=False, **options
    )


def test_all_of_them_hold_before_the_program_starts() -> None:
    shown = run([SHELL, "-c", SHOW], EVERYTHING).stdout.split()
    assert shown[:5] == ["20", "21", "976563", "976563", str(min(19, os.nice(0) + 7))]
    assert shown[7:9] == ["5000", "5000"]


def test_without_limits_it_is_the_program_itself() -> None:
    assert limited("/bin/true", ["true"], Limits()) == ("/bin/true", ["true"])


def test_arguments_arrive_as_they_are() -> None:
    arguments = ["$HOME", 'a "b"', "", "-n", "ä\n"]
    assert run(["/usr/bin/printf", "%s|", *arguments], EVERYTHING).stdout == "|".join(
        [*arguments, ""]
    )


def test_processor_time_that_is_used_up_ends_it() -> None:
    ended = run([SHELL, "-c", "while :; do :; done"], Limits(cpu=1))
    assert ended.returncode == -signal.SIGXCPU
    assert explain(ended.returncode, Limits(cpu=1)) == "used up its 1 second of processor time"


def test_a_child_of_the_shell_that_used_up_its_time_is_explained_too() -> None:
    ended = run([SHELL, "-c", "python3 -c 'while True: pass'; exit $?"], Limits(cpu=1))
    assert ended.returncode == 128 + signal.SIGXCPU
    assert explain(ended.returncode, Limits(cpu=2)) == "used up its 2 seconds of processor time"


@pytest.mark.parametrize(
    ("code", "limits"),
    [
        (0, Limits(cpu=1)),
        (None, Limits(cpu=1)),
        (-signal.SIGKILL, Limits(cpu=1)),
        (-signal.SIGXCPU, Limits(memory=1)),
    ],
)
def test_other_ends_have_other_reasons(code: int | None, limits: Limits) -> None:
    assert explain(code, limits) is None


def test_memory_beyond_the_limit_is_not_given() -> None:
    wasteful = ["/usr/bin/env", "python3", "-c", f"x = bytearray({GIBIBYTE})"]
    ended = run(wasteful, Limits(memory=GIBIBYTE // 2))
    assert ended.returncode == 1
    assert "MemoryError" in ended.stderr


@pytest.mark.parametrize(
    ("limits", "told"),
    [
        (Limits(cpu=1000), "1000 seconds of processor time"),
        (Limits(memory=GIBIBYTE), f"{GIBIBYTE} bytes of memory"),
        (Limits(processes=200), "at most 200 processes"),
    ],
)
@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become nobody")
def test_a_limit_the_system_refuses_is_told(limits: Limits, told: str) -> None:
    def run_as_nobody(inner: Limits) -> subprocess.CompletedProcess[str]:
        lower = Limits(cpu=100, memory=GIBIBYTE // 2, processes=100)
        path, argv = limited(SHELL, [SHELL, "-c", "echo ran"], inner)
        as_nobody = [
            "setpriv",
            "--reuid=65534",
            "--clear-groups",
            "--inh-caps=-all",
            path,
            *argv[1:],
        ]
        return run(["/usr/bin/env", *as_nobody], lower)

    ended = run_as_nobody(limits)
    assert (ended.returncode, ended.stdout) == (126, "")
    assert ended.stderr == f"the system refuses {told}\n"


def test_a_program_that_is_missing_says_so() -> None:
    ended = run(["/nosuch"], EVERYTHING)
    assert ended.returncode == 127
    assert "/nosuch" in ended.stderr
