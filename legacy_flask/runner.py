"""Runs children: in the foreground for `/execute`, in the background for everything else."""

from __future__ import annotations

import json
import shutil
import threading
import time
import uuid
from contextlib import contextmanager
from dataclasses import dataclass
from tempfile import TemporaryFile
from typing import IO, TYPE_CHECKING, Any

from sqlalchemy.exc import OperationalError

from legacy_flask import jobs, logs, pids
from legacy_flask.runs import LIVE

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Iterator
    from pathlib import Path

    from sqlalchemy import Row

    from legacy_flask.jobs import Job
    from legacy_flask.runs import RunStore
    from legacy_flask.store import ProcessStore

STOP_GRACE_SECONDS = 5.0
OTHER_WATCHER_SECONDS = 5.0
POLL_SECONDS = 0.01
RETRY_SECONDS = 1.0
TIMED_OUT = -1


@dataclass(frozen=True)
class Outcome:
    """How a foreground run ended; `seconds` is the time it took."""

    run_id: str
    status: str
    returncode: int
    output: str
    error: str
    seconds: float


class Runner:
    """Children below `home`, recorded in `runs`; at most `limit` in the foreground at once."""

    def __init__(self, runs: RunStore, processes: ProcessStore, home: Path, limit: int) -> None:
        self._runs = runs
        self._processes = processes
        self._logs = home / "logs"
        self._work = home / "work"
        self._slots = threading.BoundedSemaphore(limit)
        self._owner = pids.owner()
        self._foreground: dict[str, int] = {}
        self._waiters: dict[str, threading.Thread] = {}

    def execute(self, job: Job, timeout: float) -> Outcome:
        """Run it, wait at most `timeout` seconds, and end its whole group after that."""
        run_id = _new_id()
        with (
            self._slots,
            self._folder(run_id) as folder,
            TemporaryFile() as out,
            TemporaryFile() as err,
        ):
            return self._execute(run_id, job, timeout, folder, (out, err))

    def start(self, job: Job) -> Row[Any]:
        """Start it in the background and return its run, which may have ended already."""
        run_id = _new_id()
        self._runs.add(self._row(run_id, job, "queued"))
        self._launch(run_id, job)
        return self._run(run_id)

    def start_process(self, job: Job) -> str | None:
        """Start a managed process, unless it runs already; returns the id of the run begun."""
        run_id = _new_id()
        if not self._processes.begin_run(job.process_id or "", self._row(run_id, job, "queued")):
            return None
        self._launch(run_id, job)
        return run_id

    def wait(self, run_id: str) -> Row[Any]:
        """Wait for the end of a run that this server started."""
        if waiter := self._waiters.get(run_id):
            waiter.join()
        return self._run(run_id)

    def stop(self, run_id: str, *, kill: bool = False) -> None:
        """End a run of either stack, group and all; returns when its row is final."""
        run = self._runs.request_stop(run_id, "killed" if kill else None)
        if run is None or run.status not in LIVE:
            return
        if pids.is_alive(run.pid, run.pid_started, run.boot_id):
            pids.end_group(run.pid, run.pid_started, 0 if kill else STOP_GRACE_SECONDS)
        if waiter := self._waiters.get(run_id):
            waiter.join()
            return
        if run.owner and pids.owner_is_alive(run.owner):
            self._await_other_watcher(run_id)
        self._runs.finish(run_id, "cancelled", sizes=self._sizes(run_id))

    def recover(self) -> None:
        """End the rows of a server that is gone, and watch those of its children that are not."""
        for run in self._runs.owned_and_live():
            if pids.owner_is_alive(run.owner):
                continue
            if (self._logs / f"{run.id}.state").exists():
                continue  # The new stack started it, and alone can tell how it ended.
            if pids.is_alive(run.pid, run.pid_started, run.boot_id):
                self._watch(run.id, self._watch_orphan, run.id, run.pid, run.pid_started)
            elif self._runs.is_local or run.boot_id == pids.BOOT_ID:
                # A shared database may hold the rows of other machines; those are not ours.
                self._runs.finish(run.id, "lost", reason="the server that watched it is gone")

    def close(self) -> None:
        """End what runs in the foreground; background runs go on without us."""
        deadline = time.monotonic() + STOP_GRACE_SECONDS
        for run_id, pid in list(self._foreground.items()):
            self._runs.request_stop(run_id, "the server was stopped")
            pids.end_group(pid, None, 0)
        while self._foreground and time.monotonic() < deadline:
            time.sleep(POLL_SECONDS)

    def _execute(
        self,
        run_id: str,
        job: Job,
        timeout: float,
        folder: Path,
        files: tuple[IO[bytes], IO[bytes]],
    ) -> Outcome:
        clock = time.perf_counter()
        row = self._row(run_id, job, "running") | {"timeout": timeout}
        row["started_at"] = row["created_at"]
        try:
            process = jobs.start(job, folder, *files)
        except jobs.CannotStartError as error:
            ended = {"returncode": error.returncode, "finished_at": time.time(), "started_at": None}
            self._runs.add(row | ended | {"status": "failed", "reason": error.message})
            seconds = time.perf_counter() - clock
            return Outcome(run_id, "failed", error.returncode, "", error.message, seconds)
        self._foreground[run_id] = process.pid
        try:
            with _ended_on_error(process):
                self._runs.add(row | _identity(process.pid))
                status, returncode = _wait(process, timeout)
            seconds = time.perf_counter() - clock
            output, error_output = map(logs.content, files)
            sizes = (len(output), len(error_output))
            self._runs.finish(run_id, status, returncode=returncode, sizes=sizes)
        finally:
            del self._foreground[run_id]
        return Outcome(run_id, status, returncode, _text(output), _text(error_output), seconds)

    def _launch(self, run_id: str, job: Job) -> None:
        """Start the child of a queued run, and a thread that waits for its end."""
        folder = self._work / run_id
        with self._log(run_id, "out").open("ab") as out, self._log(run_id, "err").open("ab") as err:
            try:
                process = jobs.start(job, folder, out, err)
            except jobs.CannotStartError as error:
                err.write(f"{error.message}\n".encode())
                err.flush()
                self._end(run_id, "failed", returncode=error.returncode, reason=error.message)
                return
        with _ended_on_error(process):
            known = _identity(process.pid)
            kept = self._runs.mark_running(run_id, started_at=time.time(), **known)
        if not kept:  # Stopped between its row and its child.
            pids.end_group(process.pid, None, 0)
            process.wait()
        self._watch(run_id, self._watch_child, run_id, process)

    def _watch(self, run_id: str, target: Any, *args: object) -> None:  # noqa: ANN401 - bound method
        waiter = threading.Thread(target=target, args=args, name=f"run {run_id}", daemon=True)
        self._waiters[run_id] = waiter
        waiter.start()

    def _watch_child(self, run_id: str, process: subprocess.Popen[bytes]) -> None:
        returncode = process.wait()
        self._end(run_id, "completed" if returncode == 0 else "failed", returncode=returncode)

    def _watch_orphan(self, run_id: str, pid: int, ticks: int) -> None:
        pids.wait_for_end(pid, ticks, None)
        self._end(run_id, "lost", reason="ended while nobody could see its exit code")

    def _end(
        self,
        run_id: str,
        status: str,
        returncode: int | None = None,
        reason: str | None = None,
    ) -> None:
        shutil.rmtree(self._work / run_id, ignore_errors=True)
        while True:
            try:
                self._runs.finish(
                    run_id,
                    status,
                    returncode=returncode,
                    reason=reason,
                    sizes=self._sizes(run_id),
                )
            except OperationalError:
                time.sleep(RETRY_SECONDS)  # A run must not stay `running` for a busy database.
            else:
                break
        self._waiters.pop(run_id, None)

    def _await_other_watcher(self, run_id: str) -> None:
        """Leave the end of a run to the server that watches it, as it knows the exit code."""
        deadline = time.monotonic() + OTHER_WATCHER_SECONDS
        while self._runs.is_live(run_id) and time.monotonic() < deadline:
            time.sleep(POLL_SECONDS)

    def _run(self, run_id: str) -> Row[Any]:
        run = self._runs.get(run_id)
        if run is None:
            raise LookupError(f"run {run_id} was deleted")
        return run

    def _log(self, run_id: str, ending: str) -> Path:
        return self._logs / f"{run_id}.{ending}"

    def _sizes(self, run_id: str) -> tuple[int, int]:
        return _size(self._log(run_id, "out")), _size(self._log(run_id, "err"))

    @contextmanager
    def _folder(self, run_id: str) -> Iterator[Path]:
        """Lend the temporary folder of a stored command; gone afterwards if it came to exist."""
        folder = self._work / run_id
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def _row(self, run_id: str, job: Job, status: str) -> dict[str, Any]:
        return {
            "id": run_id,
            "kind": job.kind,
            "name": job.name,
            "command": job.command,
            "command_id": job.command_id,
            "process_id": job.process_id,
            "args": json.dumps(job.args),
            "env": json.dumps(job.env),
            "cwd": job.cwd,
            "status": status,
            "boot_id": pids.BOOT_ID,
            "owner": self._owner,
            "created_at": time.time(),
        }


def _new_id() -> str:
    return str(uuid.uuid4())


def _text(output: bytes) -> str:
    return output.decode(errors="replace")


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _identity(pid: int) -> dict[str, int]:
    # A child that nobody has waited for is there, if only as a zombie.
    return {"pid": pid, "pid_started": pids.start_ticks(pid) or 0}


def _wait(process: subprocess.Popen[bytes], timeout: float) -> tuple[str, int]:
    """Status and exit code of a child that may run for `timeout` seconds."""
    if not pids.wait_for_end(process.pid, None, timeout):
        pids.end_group(process.pid, None, 0)
        process.wait()
        return "timed_out", TIMED_OUT
    returncode = process.wait()
    return "completed" if returncode == 0 else "failed", returncode


@contextmanager
def _ended_on_error(process: subprocess.Popen[bytes]) -> Iterator[None]:
    """No child without a row: what could not be recorded does not go on."""
    try:
        yield
    except BaseException:
        pids.end_group(process.pid, None, 0)
        process.wait()
        raise
