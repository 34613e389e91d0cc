"""Logs that grow beyond their limit, while the server is there and when it is gone."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from fastapi_app.engine.traces import read_trace
from tests.fastapi_app.engine.bed import SHELL, Bed

if TYPE_CHECKING:
    from pathlib import Path

    from fastapi_app.engine.process import Spawner

LIMIT = 100_000
TWICE = f"head -c {2 * LIMIT} /dev/zero"


@pytest.fixture
def bed(spawner: Spawner, tmp_path: Path) -> Bed:
    """A place to run children in."""
    return Bed(spawner, tmp_path)


@pytest.mark.parametrize("served", [True, False])
async def test_both_logs_of_a_run_are_cut_again_and_again(bed: Bed, served: bool) -> None:
    state = f"{bed.folder}/run.state"
    script = f"{TWICE}; {TWICE} >&2; touch full; while [ -e full ]; do sleep 0.01; done; {TWICE}"
    spawned = await bed.start(
        [SHELL, "-c", script], log_limit=LIMIT, state=state, cwd=str(bed.folder)
    )
    if not served:
        await bed.spawner.aclose()
    out, err, full = (bed.folder / name for name in ("run.out", "run.err", "full"))
    async with asyncio.timeout(10):
        while not full.exists() or {out.stat().st_size, err.stat().st_size} != {LIMIT + 1}:
            await asyncio.sleep(0.01)
        full.unlink()
        while not ((trace := read_trace(state)) and trace.ended):
            await asyncio.sleep(0.01)
    assert trace.exit_code == 0
    assert (trace.pid, out.stat().st_size) == (spawned.pid, LIMIT + 1)


async def test_a_log_at_its_limit_is_not_cut(bed: Bed) -> None:
    assert await bed.run(f"head -c {LIMIT} /dev/zero", log_limit=LIMIT) == 0
    assert (bed.folder / "run.out").stat().st_size == LIMIT


async def test_a_short_run_is_cut_at_its_end(bed: Bed) -> None:
    assert await bed.run(f"echo begin; {TWICE}", log_limit=LIMIT) == 0
    log = (bed.folder / "run.out").read_bytes()
    assert (len(log), log[:6]) == (LIMIT + 1, b"begin\n")


async def test_a_log_without_a_limit_grows_on(bed: Bed) -> None:
    assert await bed.run(TWICE) == 0
    assert (bed.folder / "run.out").stat().st_size == 2 * LIMIT
