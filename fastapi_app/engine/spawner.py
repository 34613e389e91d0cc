"""The spawn helper: a small process beside the server that is the parent of every child.

It is run as a program, with nothing but the standard library, and stays small so that a spawn
costs what the kernel costs, however big the server has grown, and never stalls the event loop.
It outlives the server: when the server goes away, however it does, the helper goes on waiting for
its children, writes down how each one ended, and ends with the last of them.

Each frame is a 4-byte big-endian length and a marshalled tuple:

    server → helper   ("spawn", id, path, argv, env, cwd, (stdout, stderr), log limit, state,
                       last state, stdin)
                      ("signal", id, number)           to the whole group
    helper → server   ("spawned", id, pid, start ticks)
                      ("refused", id, stage, errno, message)     stage: state log stdin cwd exec
                      ("exited", id, exit code)                              negative: a signal

`env` is added to the environment of the helper.

`state` is the path of the child's state file, or None for none. It is created exclusively, so a run
whose file exists is never started a second time, and at its full size, so that a disk that fills up
later still takes the end of the run. Its first 64 bytes become `pid <pid> <start ticks> <unix
time>`, the next 64 `exit <code> <unix time>` or `refused <errno>`. A child without one gets
`last state` instead if the server is gone when it ends.

A log that grows beyond `log limit` bytes is cut to one byte more, again and again.

`stdin` is the path of a named pipe to be made for the child's standard input, or None for an empty
one. It is held open until the child ends, or a file of its name with the suffix `.eof` appears.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import marshal
import os
import resource
import select
import signal
import socket
import sys
import time
from collections import deque
from typing import Any

from fastapi_app.engine.child import Child, Input, StateFile, write_end

DUPLICATE = "duplicate"
LOOK = 0.25
"""Seconds between looks at logs, and for the ends of standard inputs."""
_HEADER = 4
_READ = 256 * 1024
_TURN = 8  # children started before the ended ones are reaped and the server is told
_RESERVE = 32  # descriptors kept for what a spawn needs for a moment
_PR_SET_CHILD_SUBREAPER = 36  # linux/prctl.h
_LOG_FLAGS = os.O_WRONLY | os.O_CREAT | os.O_APPEND
_TICK = 1_000_000_000 // os.sysconf("SC_CLK_TCK")  # nanoseconds
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
        return int(os.read(fd, 4096).rpartition(b")")[2].split(None, 20)[19])
    finally:
        os.close(fd)


class Refused(Exception):  # noqa: N818 - an answer, not a failure of this program
    """The operating system refused a spawn at one of its stages."""

    def __init__(self, at: str, error: OSError) -> None:
        super().__init__(at)
        self.stage = at
        self.error = error


class Helper:
    """The children of one server."""

    def __init__(self, server: socket.socket) -> None:
        server.setblocking(False)
        self._server: socket.socket | None = server
        self._poll = select.epoll()
        self._poll.register(server, select.EPOLLIN)
        self._received = bytearray()
        self._requests: deque[tuple[Any, ...]] = deque()
        self._answers: list[tuple[str | int | None, ...]] = []
        self._unsent = bytearray()
        self._children: dict[int, Child] = {}
        self._pids: dict[str, int] = {}
        self._watched: dict[int, Child] = {}
        self._look_at = 0.0
        self._clock_is_right = False
        self._cwd = os.open(".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        self._empty = os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)
        self._env = dict(os.environb)
        self._most_files = resource.getrlimit(resource.RLIMIT_NOFILE)[0]

    def serve(self) -> None:
        """Work until the server is gone and the last child has ended."""
        woken, wake = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.set_wakeup_fd(wake, warn_on_full_buffer=False)
        self._poll.register(woken, select.EPOLLIN)
        while self._server is not None or self._children:
            for fd, events in self._poll.poll(self._patience()):
                if fd == woken:
                    with contextlib.suppress(BlockingIOError):
                        os.read(woken, 4096)
                    self._reap()
                elif events & ~select.EPOLLOUT and not self._receive():
                    self._lose_server()
            for _ in range(min(_TURN, len(self._requests))):
                self._handle(*self._requests.popleft())
            if self._watched and time.monotonic() >= self._look_at:
                self._look()
            self._send()

    def _patience(self) -> float | None:
        if self._requests:
            return 0
        return max(0.0, self._look_at - time.monotonic()) if self._watched else None

    def _receive(self) -> bool:
        server = self._server
        if server is None:
            return False
        try:
            data = server.recv(_READ)
        except BlockingIOError:
            return True
        except OSError:
            return False
        received = self._received
        received += data
        while len(received) >= _HEADER:
            end = _HEADER + int.from_bytes(received[:_HEADER], "big")
            if len(received) < end:
                break
            self._requests.append(marshal.loads(received[_HEADER:end]))  # noqa: S302 - our server's
            del received[:end]
        return bool(data)

    def _send(self) -> None:
        """Tell what there is to tell. A server that does not read must not hold anything up."""
        waiting = bool(self._unsent)
        if self._server is None or not (self._answers or waiting):
            return
        for answer in self._answers:
            payload = marshal.dumps(answer)
            self._unsent += len(payload).to_bytes(_HEADER, "big") + payload
        self._answers.clear()
        try:
            del self._unsent[: self._server.send(self._unsent)]
        except BlockingIOError:
            pass
        except OSError:
            self._lose_server()
            return
        if waiting != bool(self._unsent):
            wanted = select.EPOLLIN | (select.EPOLLOUT if self._unsent else 0)
            self._poll.modify(self._server, wanted)

    def _lose_server(self) -> None:
        """From here on the files are the only ones to tell; the next server asks anew."""
        if self._server is not None:
            self._server.close()
            self._server = None
        self._requests.clear()
        self._answers.clear()

    def _handle(self, what: str, run_id: str, *details: Any) -> None:  # noqa: ANN401
        if what == "spawn":
            self._spawn(run_id, *details)
        else:
            self._signal(run_id, *details)

    def _spawn(
        self,
        run_id: str,
        path: str,
        argv: list[str],
        env: dict[str, str],
        cwd: str | None,
        logs: tuple[str, str],
        log_limit: int | None,
        state: str | None,
        last_state: str | None,
        stdin: str | None,
    ) -> None:
        try:
            record = StateFile(state)
        except OSError as error:
            self._refuse(run_id, DUPLICATE if error.errno == errno.EEXIST else "state", error)
            return
        child = Child(run_id, logs, log_limit, state, last_state)
        try:
            if stdin is not None:
                child.input = self._make_input(stdin)
            self._start(child, path, argv, env, cwd)
        except Refused as refused:
            record.refused(refused.error.errno or 0)
            self._refuse(run_id, refused.stage, refused.error)
            if child.input is not None:
                child.input.remove()
            return
        self._keep(child)
        record.started(child)
        self._answers.append(("spawned", run_id, child.pid, child.ticks))

    def _refuse(self, run_id: str, stage: str, error: OSError) -> None:
        self._answers.append(("refused", run_id, stage, error.errno, error.strerror))

    def _make_input(self, path: str) -> Input:
        made = Input(path)
        try:
            made.open()
            if made.writer >= self._most_files - _RESERVE:
                raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))
        except OSError as error:
            made.remove()
            raise Refused("stdin", error) from error
        return made

    def _start(
        self, child: Child, path: str, argv: list[str], env: dict[str, str], cwd: str | None
    ) -> None:
        """Start one child in a session of its own; its pid is the group's and the session's."""
        stage = "cwd"
        out, err = child.logs
        try:
            if cwd is not None:
                # One spawn at a time, so the helper itself can stand where the child is to start.
                os.chdir(cwd)
            stage = "exec"
            before = time.clock_gettime_ns(time.CLOCK_BOOTTIME)
            child.pid = os.posix_spawn(
                path,
                argv,
                self._env | {os.fsencode(k): os.fsencode(v) for k, v in env.items()},
                file_actions=[
                    (os.POSIX_SPAWN_DUP2, child.input.reader if child.input else self._empty, 0),
                    (os.POSIX_SPAWN_OPEN, 1, out, _LOG_FLAGS, 0o600),
                    (os.POSIX_SPAWN_OPEN, 2, err, _LOG_FLAGS, 0o600),
                ],
                setsid=True,
                setsigdef=_DEFAULT_SIGNALS,
                setsigmask=[],
            )
            child.ticks = self._ticks(child.pid, before)
        except OSError as error:
            if stage == "exec":
                _require_logs(child.logs)
            raise Refused(stage, error) from error
        except ValueError as error:  # a NUL in an argument
            raise Refused(stage, OSError(errno.EINVAL, str(error))) from error
        finally:
            if cwd is not None:
                os.fchdir(self._cwd)

    def _ticks(self, pid: int, before: int) -> int:
        """When a process started, by the clock of the kernel, read just before and just after.

        To look at the process costs more than half as much as to start it. That is left for when
        a tick has passed between, and shows each time whether the clock is the right one.
        """
        first, last = before // _TICK, time.clock_gettime_ns(time.CLOCK_BOOTTIME) // _TICK
        if first == last and self._clock_is_right:
            return first
        try:
            ticks = start_ticks(pid)
        except OSError:  # the system may have run out of files just now
            return first
        self._clock_is_right = first <= ticks <= last
        return ticks

    def _keep(self, child: Child) -> None:
        self._children[child.pid] = child
        self._pids[child.run_id] = child.pid
        if child.input is not None:
            child.input.hand_over()
        if child.input is not None or child.log_limit is not None:
            if not self._watched:
                self._look_at = time.monotonic() + LOOK
            self._watched[child.pid] = child

    def _signal(self, run_id: str, number: int) -> None:
        """Signal the group of a child that has not been waited for: its pid cannot be reused."""
        pid = self._pids.get(run_id)
        if pid is not None:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(pid, number)

    def _look(self) -> None:
        """See to the logs that may have grown too long, and to the inputs that are to end."""
        now = time.monotonic()
        for child in self._watched.values():
            if child.due <= now:
                child.cut_logs(now)
            if child.input is not None:
                child.input.look()
        self._look_at = now + LOOK

    def _reap(self) -> None:
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            child = self._children.pop(pid, None)
            if child is not None:  # else a child of a child that is gone
                self._end(child, os.waitstatus_to_exitcode(status))

    def _end(self, child: Child, code: int) -> None:
        del self._pids[child.run_id]
        self._watched.pop(child.pid, None)
        if child.due <= (now := time.monotonic()):
            child.cut_logs(now)
        if child.input is not None:
            child.input.remove()
        # A run that somebody waits for leaves a file only when that somebody is gone.
        state = child.last_state if child.state is None and self._server is None else child.state
        if state is not None:
            write_end(state, child, code)
        self._answers.append(("exited", child.run_id, code))


def _require_logs(paths: tuple[str, str]) -> None:
    """Find out whether it is its logs that a child could not open."""
    try:
        for path in paths:
            os.close(os.open(path, _LOG_FLAGS | os.O_CLOEXEC, 0o600))
    except OSError as error:
        raise Refused("log", error) from error


def main() -> None:
    """Serve the socket whose descriptor is the first argument."""
    fd = int(sys.argv[1])
    os.set_inheritable(fd, False)
    # What children leave behind is ours to reap: not every process 1 does that, or soon.
    ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    Helper(socket.socket(fileno=fd)).serve()
