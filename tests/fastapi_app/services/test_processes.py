"""Managed processes, which have no route of their own in the new API."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from fastapi_app.errors import ProcessNotFoundError, ProcessRunningError
from fastapi_app.factory import Services, open_services
from fastapi_app.models import RunStatus, Stream
from fastapi_app.settings import Settings

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from fastapi_app.services.processes import ProcessService


@pytest.fixture
async def services(home: Path) -> AsyncIterator[Services]:
    """Everything wired as the server wires it."""
    async with open_services(Settings.load(home=home, stop_grace=0.3)) as found:
        yield found


@pytest.fixture
def processes(services: Services) -> ProcessService:
    """Managed processes."""
    return services.processes


async def test_a_process_lives_through_many_runs(processes: ProcessService) -> None:
    process = await processes.create("p", "echo $X; echo err >&2; exit 3", environment={"X": "ä"})
    assert (await processes.get(process.id)).run is None
    first = await processes.wait(await processes.start(process.id))
    second = await processes.wait(await processes.start(process.id))
    assert first.id != second.id
    for run in (first, second):
        assert (run.status, run.returncode, run.name) == (RunStatus.FAILED, 3, "p")
    managed = await processes.get(process.id)
    assert (managed.run, managed.running) == (second, False)
    assert processes.log_tail(managed, Stream.STDOUT, 10) == "ä\n"
    assert processes.log_tail(managed, Stream.STDERR, 10) == "err\n"


async def test_with_arguments_no_shell_is_involved(
    processes: ProcessService, tmp_path: Path
) -> None:
    process = await processes.create(
        "p", "printf", ["%s;", "$HOME", "a b"], working_dir=str(tmp_path)
    )
    await processes.wait(await processes.start(process.id))
    assert processes.log_tail(await processes.get(process.id), Stream.STDOUT, 1) == "$HOME;a b;"


async def test_starts_at_once_make_one_run(processes: ProcessService) -> None:
    process = await processes.create("p", "sleep 60")
    runs = await asyncio.gather(*(processes.start(process.id) for _ in range(5)))
    assert len({run.id for run in runs}) == 1
    await processes.stop(process.id)
    await processes.stop(process.id)
    managed = await processes.get(process.id)
    assert managed.run is not None
    assert (managed.run.status, managed.run.returncode) == (RunStatus.CANCELLED, -15)


async def test_kill_is_on_record(processes: ProcessService) -> None:
    process = await processes.create("p", "trap '' TERM; while :; do sleep 0.02; done")
    run = await processes.start(process.id)
    await processes.stop(process.id, kill=True)
    ended = await processes.wait(run)
    assert (ended.status, ended.reason, ended.returncode) == (RunStatus.CANCELLED, "killed", -9)


async def test_what_runs_is_removed_only_by_force(processes: ProcessService) -> None:
    process = await processes.create("p", "sleep 60")
    await processes.start(process.id)
    with pytest.raises(ProcessRunningError):
        await processes.remove(process.id)
    await processes.remove(process.id, force=True)
    for call in (processes.get, processes.start, processes.stop, processes.remove):
        with pytest.raises(ProcessNotFoundError):
            await call(process.id)


async def test_what_runs_costs_something_and_what_is_over_nothing(
    processes: ProcessService,
) -> None:
    process = await processes.create("p", "while :; do :; done")
    run = await processes.start(process.id)
    usage = None
    async with asyncio.timeout(10):
        while usage is None or not usage.cpu_percent:
            usage = processes.usage(await processes.get(process.id))
            await asyncio.sleep(0.02)
    assert usage.memory_mb > 0.1
    await processes.stop(process.id, kill=True)
    await processes.wait(run)
    assert processes.usage(await processes.get(process.id)) is None


async def test_all_are_listed_with_their_latest_run(processes: ProcessService) -> None:
    first, second = [await processes.create(name, "true") for name in ("a", "b")]
    run = await processes.wait(await processes.start(second.id))
    managed = await processes.all()
    assert [(m.process.id, m.run) for m in managed] == [(first.id, None), (second.id, run)]
