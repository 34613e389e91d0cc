"""The server's end of the spawn helper, and processes that are not its children."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import marshal
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fastapi_app.engine import spawner
from fastapi_app.engine.cookies import RUN_ID
from fastapi_app.engine.identity import is_alive
from fastapi_app.errors import SpawnFailedError

_PACKAGES = Path(__file__).parents[1]
# Imported, it comes compiled; from a bare package, so without what the server's own imports.
_HELPER = """
import sys, types
package = sys.modules["fastapi_app"] = types.ModuleType("fastapi_app")
package.__path__ = [sys.argv[2]]
from fastapi_app.engine.spawner import main
main()
"""
NOT_FOUND, NOT_EXECUTABLE = 127, 126  # what a shell answers (POSIX 2.8.2)
HELPERS = 2
"""As measured (docs/decisions/0004)."""
KILLED_WITHIN = 1.0
"""Seconds the kernel gets to take away a group that was killed."""
_HEADER = 4
_AT_ONCE = 16
"""Frames taken in one turn of the loop."""


@dataclass(frozen=True, slots=True)
class Launch:
    """What to start: the program, and where its input, output and traces lie (see `spawner`)."""

    path: str
    argv: Sequence[str]
    stdout: str
    stderr: str
    env: Mapping[str, str]
    cwd: str | None = None
    state: str | None = None
    last_state: str | None = None
    log_limit: int | None = None
    stdin: str | None = None
    asked_at: float = field(default_factory=time.monotonic)
    """Monotonic time; a run counts from here, not from when the helper's answer was read."""


@dataclass(frozen=True, slots=True)
class Spawned:
    """A started child: the leader of its own session and process group."""

    pid: int
    start_ticks: int
    exited: asyncio.Future[int | None]
    """Its exit code, negative for a signal; `None` when the helper died and took it along."""
    asked_at: float
    """Monotonic time of the request for it."""


class AlreadyStartedError(Exception):
    """The run's state file exists: it has been started before and must not be again."""


class Spawner:
    """Starts children through helper processes (see `spawner`).

    `log` is the file the helpers' own complaints go to. A helper sleeps until its latest child has
    become its program; with more than one, somebody is always there to start the next.
    `on_spawned` is told how many seconds each child has taken to start.
    """

    def __init__(
        self,
        log: Path,
        helpers: int = HELPERS,
        *,
        on_spawned: Callable[[float], None] | None = None,
    ) -> None:
        self._helpers = [_Helper(log, on_spawned) for _ in range(helpers)]

    async def start(self) -> None:
        """Start the helpers."""
        for helper in self._helpers:
            await helper.start()

    async def aclose(self) -> None:
        """Let the helpers go: each ends after its last child."""
        for helper in self._helpers:
            await helper.aclose()

    def spawn(self, run_id: str, launch: Launch) -> asyncio.Future[Spawned]:
        """Ask for a child; the future is done once it runs.

        Shield the future from cancellation: the helper starts the child all the same.

        Raises:
            SpawnFailedError: from the future: the operating system refused.
            AlreadyStartedError: from the future: the state file exists.
        """
        return min(self._helpers, key=_Helper.busy).spawn(run_id, launch)

    def signal(self, run_id: str, number: signal.Signals) -> None:
        """Signal the process group of a child of ours; nothing happens when it has ended."""
        for helper in self._helpers:
            helper.signal(run_id, number)

    @property
    def pids(self) -> list[int]:
        """The helpers' own."""
        return [helper.pid for helper in self._helpers]


class _Helper:
    """One helper process, replaced by another when it ends before its time."""

    def __init__(self, log: Path, on_spawned: Callable[[float], None] | None) -> None:
        self._log = log
        self._on_spawned = on_spawned
        self._transport: asyncio.Transport | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._starting: dict[str, tuple[Launch, asyncio.Future[Spawned]]] = {}
        self._running: dict[str, asyncio.Future[int | None]] = {}
        self._postponed: list[tuple[str, Launch, asyncio.Future[Spawned]]] = []
        self._unsent: list[bytes] = []
        self._restart: asyncio.Task[None] | None = None
        self._closing = False

    @property
    def pid(self) -> int:
        return self._process.pid if self._process is not None else 0

    def busy(self) -> int:
        """How many children are yet to be started."""
        return len(self._starting)

    async def start(self) -> None:
        if self._process is not None:
            self._process.wait()
        ours, theirs = socket.socketpair()
        with theirs, self._log.open("ab") as log:
            # A session of its own: what ends the server's group must not end the helper.
            self._process = subprocess.Popen(
                [sys.executable, "-I", "-S", "-c", _HELPER, str(theirs.fileno()), str(_PACKAGES)],
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                # It is no part of a run, even when this server is.
                env={name: value for name, value in os.environ.items() if name != RUN_ID},
            )
        loop = asyncio.get_running_loop()
        self._transport, _ = await loop.create_connection(
            lambda: _Frames(self._on_frame, self._on_lost), sock=ours
        )
        postponed, self._postponed = self._postponed, []
        for run_id, launch, future in postponed:
            self._request(run_id, launch, future)

    async def aclose(self) -> None:
        self._closing = True
        self._flush()
        if self._transport is not None:
            self._transport.close()
        if self._process is not None:
            # Reap it if it is already over; otherwise it is to outlive us, which is no mistake.
            self._process.poll()
            self._process.returncode = self._process.returncode or 0

    def spawn(self, run_id: str, launch: Launch) -> asyncio.Future[Spawned]:
        future: asyncio.Future[Spawned] = asyncio.get_running_loop().create_future()
        if self._transport is None or self._closing:
            future.set_exception(SpawnFailedError("the spawn helper is gone", NOT_EXECUTABLE))
        elif self._transport.is_closing():  # it ended; the next one is on its way
            self._postponed.append((run_id, launch, future))
        else:
            self._request(run_id, launch, future)
        return future

    def signal(self, run_id: str, number: signal.Signals) -> None:
        if run_id in self._running or run_id in self._starting:
            self._send("signal", run_id, int(number))

    def _request(self, run_id: str, launch: Launch, future: asyncio.Future[Spawned]) -> None:
        self._starting[run_id] = (launch, future)
        self._send(
            "spawn",
            run_id,
            launch.path,
            list(launch.argv),
            dict(launch.env),
            launch.cwd,
            (launch.stdout, launch.stderr),
            launch.log_limit,
            launch.state,
            launch.last_state,
            launch.stdin,
        )

    def _send(self, *frame: Any) -> None:  # noqa: ANN401 - whatever can be marshalled
        payload = marshal.dumps(frame)
        if not self._unsent:
            # What is asked for in one turn of the loop goes out together.
            asyncio.get_running_loop().call_soon(self._flush)
        self._unsent += (len(payload).to_bytes(_HEADER, "big"), payload)

    def _flush(self) -> None:
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write(b"".join(self._unsent))
        self._unsent.clear()

    def _on_frame(self, what: str, run_id: str, *details: Any) -> None:  # noqa: ANN401
        if what == "exited":
            self._running.pop(run_id).set_result(*details)
            return
        launch, future = self._starting.pop(run_id)
        if what == "spawned":
            exited: asyncio.Future[int | None] = future.get_loop().create_future()
            self._running[run_id] = exited
            pid, ticks = details
            future.set_result(Spawned(pid, ticks, exited, launch.asked_at))
            if self._on_spawned is not None:
                self._on_spawned(time.monotonic() - launch.asked_at)
        elif details[0] == spawner.DUPLICATE:
            future.set_exception(AlreadyStartedError(run_id))
        else:
            future.set_exception(_refusal(launch, *details))

    def _on_lost(self) -> None:
        for run_id, (launch, starting) in self._starting.items():
            if not self._closing and _may_be_repeated(launch):
                self._postponed.append((run_id, launch, starting))
            else:
                starting.set_exception(SpawnFailedError("the spawn helper ended", NOT_EXECUTABLE))
        for running in self._running.values():
            if not running.done():
                running.set_result(None)
        self._starting.clear()
        self._running.clear()
        self._unsent.clear()
        if not self._closing:
            self._restart = asyncio.get_running_loop().create_task(self.start())


class _Frames(asyncio.Protocol):
    def __init__(self, on_frame: Callable[..., None], on_lost: Callable[[], None]) -> None:
        self._buffer = bytearray()
        self._on_frame = on_frame
        self._on_lost = on_lost
        self._due = False

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        if not self._due:
            self._go_on()

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio's signature
        while self._take(_AT_ONCE):
            pass
        self._on_lost()

    def _go_on(self) -> None:
        """Take some frames; when a thousand children end together, others get their turn too."""
        self._due = self._take(_AT_ONCE)
        if self._due:
            asyncio.get_running_loop().call_soon(self._go_on)

    def _take(self, most: int) -> bool:
        """Take at most so many frames; true when there may be more."""
        start = taken = 0
        while taken < most and len(self._buffer) >= start + _HEADER:
            end = start + _HEADER + int.from_bytes(self._buffer[start : start + _HEADER], "big")
            if len(self._buffer) < end:
                break
            self._on_frame(*marshal.loads(self._buffer[start + _HEADER : end]))  # noqa: S302 - ours
            start, taken = end, taken + 1
        del self._buffer[:start]
        return taken == most


def _may_be_repeated(launch: Launch) -> bool:
    """Whether a second request cannot start it twice: a state file, or no sign of the first."""
    return launch.state is not None or not os.path.exists(launch.stdout)  # noqa: PTH110


def _refusal(launch: Launch, stage: str, number: int, message: str) -> SpawnFailedError:
    places = {"state": launch.state, "log": launch.stdout, "stdin": launch.stdin, "cwd": launch.cwd}
    what = places.get(stage, launch.argv[0])
    code = NOT_FOUND if number == errno.ENOENT else NOT_EXECUTABLE
    return SpawnFailedError(f"{what}: {message}", code)


async def wait_for_exit(pid: int, started: int | None, boot: str | None) -> None:
    """Wait until a process that is not our child is over."""
    try:
        fd = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    loop = asyncio.get_running_loop()
    over = asyncio.Event()
    try:
        # Only now is it certain whom the descriptor names.
        if not is_alive(pid, started, boot):
            return
        loop.add_reader(fd, over.set)
        await over.wait()
    finally:
        loop.remove_reader(fd)
        os.close(fd)


def signal_group(
    pid: int | None, started: int | None, boot: str | None, number: signal.Signals
) -> bool:
    """Signal the group of a process that is not our child; false when it is over."""
    if pid is None or not is_alive(pid, started, boot):
        return False
    with contextlib.suppress(ProcessLookupError):
        os.killpg(pid, number)
        return True
    return False


def group_exists(group: int) -> bool:
    """Whether any process is left in the group of a leader that is gone."""
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    except PermissionError:  # what changed its user is still there
        return True
    return True


def kill_group(group: int) -> None:
    """SIGKILL to what a leader left behind."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(group, signal.SIGKILL)


async def until_group_gone(group: int, kill_at: float) -> None:
    """Wait for what a stopped leader left in its group; kill it at the monotonic time `kill_at`."""
    give_up = max(kill_at, time.monotonic()) + KILLED_WITHIN
    while group_exists(group) and time.monotonic() < give_up:
        if time.monotonic() >= kill_at:
            kill_group(group)
        await asyncio.sleep(0.01)
