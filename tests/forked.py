"""Child processes that need not import what they run: forked by `tests/forker.py`."""

from __future__ import annotations

import atexit
import functools
import json
import os
import select
import socket
import subprocess
import sys
import threading
from typing import TYPE_CHECKING, Any

from loadtests.servers import ROOT
from tests.forker import PID, STATUS

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_ONE_AT_A_TIME = threading.Lock()


@functools.cache
def _forker() -> socket.socket:
    """Start it; it ends with the tests, when nobody can send it anything any more."""
    ours, its = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with its:
        process = subprocess.Popen(
            [sys.executable, "-m", "tests.forker", str(its.fileno())],
            cwd=ROOT,
            env={k: v for k, v in os.environ.items() if not k.startswith("MCLI_")}
            | {"PYTHONUNBUFFERED": "1"},
            pass_fds=[its.fileno()],
            process_group=0,
        )

    def end() -> None:
        ours.close()
        process.wait()

    atexit.register(end)
    return ours


class Forked(subprocess.Popen[Any]):
    """`subprocess.Popen` of `[sys.executable, "-m" or "-c", …]`, with an environment and a folder.

    It overrides how CPython (3.11 to 3.14) starts a child and learns of its end; pipes, time-outs
    and signals are those of the class above. The child is the forker's: no `os.waitpid`.
    """

    def _execute_child(
        self,
        args: Sequence[str],
        _executable: object,
        _preexec_fn: object,
        _close_fds: object,
        _pass_fds: object,
        cwd: str | os.PathLike[str],
        env: Mapping[str, str],
        _startupinfo: object,
        _creationflags: object,
        _shell: object,
        p2cread: int,
        p2cwrite: int,
        c2pread: int,
        c2pwrite: int,
        errread: int,
        errwrite: int,
        *rest: int,
    ) -> None:
        assert args[0] == sys.executable, args
        assert args[1] in {"-m", "-c"}, args
        group = None if rest[-1] == -1 else rest[-1]
        order = {"args": args[1:], "env": dict(env), "cwd": os.fspath(cwd), "group": group}
        self._report, report = os.pipe()
        files = [
            mine if theirs == -1 else theirs
            for mine, theirs in enumerate((p2cread, c2pwrite, errwrite))
        ]
        wanted = os.memfd_create("order")
        try:
            with open(wanted, "wb", closefd=False) as file:
                file.write(json.dumps(order).encode())
            os.lseek(wanted, 0, os.SEEK_SET)
            with _ONE_AT_A_TIME:
                socket.send_fds(_forker(), [b"!"], [wanted, report, *files])
        finally:
            os.close(wanted)
            os.close(report)
            self._close_pipe_fds(  # type: ignore[attr-defined]
                p2cread, p2cwrite, c2pread, c2pwrite, errread, errwrite
            )
        self.pid = PID.unpack(self._heard(PID.size))[0]
        self._child_created = True

    def _heard(self, size: int) -> bytes:
        said = os.read(self._report, size)
        if len(said) != size:
            raise ChildProcessError("the process that forks the others is gone")
        return said

    def _ended(self, within: float | None) -> bool:
        """Whether it has ended, waiting so many seconds for it."""
        if self.returncode is None:
            select.select([self._report], [], [], within)
        with self._waitpid_lock:  # type: ignore[attr-defined]
            if self.returncode is None and select.select([self._report], [], [], 0)[0]:
                status = STATUS.unpack(self._heard(STATUS.size))[0]
                self.returncode = os.waitstatus_to_exitcode(status)
        return self.returncode is not None

    def __del__(self) -> None:
        super().__del__()
        if self.returncode is not None:
            os.close(self._report)

    def _internal_poll(self, *_: object, **__: object) -> int | None:
        self._ended(0)
        return self.returncode

    def _wait(self, timeout: float | None) -> int:
        if not self._ended(timeout):
            assert timeout is not None
            raise subprocess.TimeoutExpired(self.args, timeout)
        return self.returncode
