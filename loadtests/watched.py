"""`mclictl serve` with a burden or a witness: memory it holds, the lag of its event loop.

Arguments that are not named here go to `mclictl serve`.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from pathlib import Path

from starlette.types import ASGIApp

import compat.serve
from cli.main import cli
from fastapi_app.serve import Opened, Plan, run

MEGABYTE = 1_000_000
INTERVAL = 0.01
"""Seconds between the moments at which the loop is to wake up."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Serve until SIGTERM or SIGINT, and exit as `mclictl` does."""
    options, serve = _parser().parse_known_args(arguments)
    # Not zeros: the kernel lends no memory for those.
    held = b"x" * (options.resident * MEGABYTE)
    if options.lag is not None:
        vars(compat.serve)["run"] = _runs_watched(options.lag)
    cli(["serve", *serve], prog_name="mclictl")
    del held


def _runs_watched(report: Path) -> Callable[[Callable[[], Plan]], int]:
    def run_watched(make_plan: Callable[[], Plan]) -> int:
        def plan() -> Plan:
            made = make_plan()
            return replace(made, application=_watched(made.application, report))

        return run(plan)

    return run_watched


@asynccontextmanager
async def _watched(application: Opened, report: Path) -> AsyncIterator[ASGIApp]:
    samples: list[tuple[float, float]] = []
    async with application as app:
        watching = asyncio.create_task(_watch(samples))
        try:
            yield app
        finally:
            watching.cancel()
            with suppress(asyncio.CancelledError):
                await watching
            _write(report, samples)


async def _watch(samples: list[tuple[float, float]]) -> None:
    """Wake up again and again, and note how late: (monotonic time it was due, seconds late).

    A moment that passed while the loop was busy counts as well, as late as the loop was for it: a
    single long stall must not hide as a single sample.
    """
    due = time.monotonic() + INTERVAL
    while True:
        await asyncio.sleep(due - time.monotonic())
        now = time.monotonic()
        while due <= now:
            samples.append((due, now - due))
            due += INTERVAL


def _write(report: Path, samples: list[tuple[float, float]]) -> None:
    report.write_text(json.dumps(samples), encoding="utf-8")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="loadtests.watched", description=__doc__, allow_abbrev=False
    )
    add = parser.add_argument
    add("--resident", type=int, default=0, metavar="MB", help="memory to hold besides its own")
    add("--lag", type=Path, metavar="FILE", help="gets the lag of the event loop at the end")
    return parser


if __name__ == "__main__":
    main()
