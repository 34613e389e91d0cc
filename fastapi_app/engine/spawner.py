"""The spawn helper: a small process beside the server that is the parent of every child.

It is run as a program, with nothing but the standard library, and stays small so that a spawn
costs what the kernel costs, however big the server has grown, and never stalls the event loop.
It outlives the server: when the server goes away, however it does, the helper goes on waiting for
its children, writes down how each one ended, and ends with the last of them.

Frames in both directions are a 4-byte big-endian length and a JSON array:

    server → helper   ["spawn", id, path, argv, env, cwd, stdout, stderr, state]
                      ["signal", id, number]           to the whole group
    helper → server   ["spawned", id, pid, start ticks]
                      ["refused", id, stage, errno, message]                 stage: log cwd exec
                      ["exited", id, exit code]                              negative: a signal

`env` is added to the environment of the helper. `state` is a path, or null for no such file; it
gets the lines `start`, then
`pid <pid> <start ticks>`, then `exit <code> <unix time>` or `refused <errno>`; it is created
exclusively, so a run whose file exists is never started a second time.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import json
import os
import select
import signal
import socket
import sys
import time
from typing import NamedTuple

DUPLICATE = "duplicate"
_HEADER = 4
_READ = 256 * 1024
_PR_SET_CHILD_SUBREAPER = 36  # linux/prctl.h
_LOG_FLAGS = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC
# Python ignores the first two, and whoever started the server in the background some of the others;
# a child starts with the defaults.
_DEFAULT_SIGNALS = [
    signal.SIGPIPE,
    signal.SIGXFSZ,
    signal.SIGHUP,
    signal.SIGINT,
    signal.SIGQUIT,
    signal.SIGTERM,
    signal.SIGUSR1,
    signal.SIGUSR2,
    signal.SIGALRM,
    signal.SIGCHLD,
    signal.SIGTSTP,
    signal.SIGTTIN,
    signal.SIGTTOU,
]


def start_ticks(pid: int) -> int:
    """Field 22 of `/proc/<pid>/stat`: when the process started, in clock ticks since boot."""
    fd = os.open(f"/proc/{pid}/stat", os.O_RDONLY)
    try:
        # The name in field 2 may hold anything, spaces and parentheses too: count behind it.
        return int(os.read(fd, 4096).rpartition(b")")[2].split()[19])
    finally:
        os.close(fd)


class Helper:
    """The children of one server."""

    def __init__(self, server: socket.socket) -> None:
        self._server: socket.socket | None = server
        self._buffer = bytearray()
        self._children: dict[int, Child] = {}
        self._pids: dict[str, int] = {}
        self._cwd = os.open(".", os.O_RDONLY | os.O_DIRECTORY)
        self._env = dict(os.environb)

    def serve(self) -> None:
        """Work until the server is gone and the last child has ended."""
        woken, wake = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.set_wakeup_fd(wake, warn_on_full_buffer=False)
        poll = select.epoll()
        poll.register(woken, select.EPOLLIN)
        if self._server is not None:
            poll.register(self._server, select.EPOLLIN)
        while self._server is not None or self._children:
            for fd, _ in poll.poll():
                if fd == woken:
                    with contextlib.suppress(BlockingIOError):
                        os.read(woken, 4096)
                    self._reap()
                elif not self._receive():
                    self._lose_server()

    def _receive(self) -> bool:
        server = self._server
        if server is None:
            return False
        try:
            data = server.recv(_READ)
        except OSError:
            return False
        self._buffer += data
        while len(self._buffer) >= _HEADER:
            end = _HEADER + int.from_bytes(self._buffer[:_HEADER], "big")
            if len(self._buffer) < end:
                break
            frame = json.loads(self._buffer[_HEADER:end])
            del self._buffer[:end]
            if frame[0] == "spawn":
                self._spawn(*frame[1:])
            else:
                self._signal(*frame[1:])
        return bool(data)

    def _send(self, *frame: object) -> None:
        if self._server is None:
            return
        payload = json.dumps(frame).encode()
        try:
            self._server.sendall(len(payload).to_bytes(_HEADER, "big") + payload)
        except OSError:
            self._lose_server()

    def _lose_server(self) -> None:
        """From here on the files are the only ones to tell."""
        if self._server is not None:
            self._server.close()
            self._server = None

    def _spawn(
        self,
        run_id: str,
        path: str,
        argv: list[str],
        env: dict[str, str],
        cwd: str | None,
        stdout: str,
        stderr: str,
        state: str | None,
    ) -> None:
        if state is not None:
            try:
                _create(state)
            except OSError as error:
                stage = DUPLICATE if error.errno == errno.EEXIST else "log"
                self._refuse(run_id, stage, error)
                return
        try:
            pid = self._start(path, argv, env, cwd, (stdout, stderr))
        except Refused as refused:
            if state is not None:
                _append(state, f"refused {refused.error.errno}")
            self._refuse(run_id, refused.stage, refused.error)
            return
        ticks = start_ticks(pid)
        if state is not None:
            _append(state, f"pid {pid} {ticks}")
        self._children[pid] = Child(run_id, state, f"{stdout.rpartition('.')[0]}.state")
        self._pids[run_id] = pid
        self._send("spawned", run_id, pid, ticks)

    def _refuse(self, run_id: str, stage: str, error: OSError) -> None:
        self._send("refused", run_id, stage, error.errno, error.strerror)

    def _start(
        self,
        path: str,
        argv: list[str],
        env: dict[str, str],
        cwd: str | None,
        output: tuple[str, str],
    ) -> int:
        """Start one child in a session of its own; its pid is the group's and the session's."""
        stage = "log"
        fds: list[int] = []
        try:
            for name in output:
                fds.append(os.open(name, _LOG_FLAGS, 0o600))  # noqa: PERF401 - each is to be closed
            stage = "cwd"
            if cwd is not None:
                # One spawn at a time, so the helper itself can stand where the child is to start.
                os.chdir(cwd)
            stage = "exec"
            return os.posix_spawn(
                path,
                argv,
                self._env | {os.fsencode(k): os.fsencode(v) for k, v in env.items()},
                file_actions=[
                    (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
                    (os.POSIX_SPAWN_DUP2, fds[0], 1),
                    (os.POSIX_SPAWN_DUP2, fds[1], 2),
                ],
                setsid=True,
                setsigdef=_DEFAULT_SIGNALS,
                setsigmask=[],
            )
        except OSError as error:
            raise Refused(stage, error) from error
        except ValueError as error:  # a NUL in an argument
            raise Refused(stage, OSError(errno.EINVAL, str(error))) from error
        finally:
            for fd in fds:
                os.close(fd)
            if cwd is not None:
                os.fchdir(self._cwd)

    def _signal(self, run_id: str, number: int) -> None:
        """Signal the group of a child that has not been waited for: its pid cannot be reused."""
        pid = self._pids.get(run_id)
        if pid is not None:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(pid, number)

    def _reap(self) -> None:
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            child = self._children.pop(pid, None)
            if child is None:  # a child of a child that is gone
                continue
            del self._pids[child.run_id]
            code = os.waitstatus_to_exitcode(status)
            # A run that somebody waits for leaves a file only when that somebody is gone.
            state = child.state if self._server is not None else child.fallback_state
            if state is not None:
                _append(state, f"exit {code} {time.time()}")
            self._send("exited", child.run_id, code)


class Child(NamedTuple):
    """What the helper remembers of a child until it ends."""

    run_id: str
    state: str | None
    fallback_state: str


class Refused(Exception):  # noqa: N818 - an answer, not a failure of this program
    """The operating system refused a spawn at one of its stages."""

    def __init__(self, at: str, error: OSError) -> None:
        super().__init__(at)
        self.stage = at
        self.error = error


def _create(path: str) -> None:
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    os.write(fd, b"start\n")
    os.close(fd)


def _append(path: str, line: str) -> None:
    # A full disk must not cost the child, nor keep the server from being told.
    with contextlib.suppress(OSError):
        fd = os.open(path, _LOG_FLAGS, 0o600)
        try:
            os.write(fd, line.encode() + b"\n")
        finally:
            os.close(fd)


def main() -> None:
    """Serve the socket whose descriptor is the first argument."""
    fd = int(sys.argv[1])
    os.set_inheritable(fd, False)
    # What children leave behind is ours to reap: not every process 1 does that, or soon.
    ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    Helper(socket.socket(fileno=fd)).serve()


if __name__ == "__main__":
    main()
