"""How promptly many jobs fire that are due at once: `python -m loadtests.planner`.

Ten thousand jobs are scheduled, a thousand of them for the same second. What counts is the time
from that second to when the run of each was accepted, and to when its child ran. The same on a
server without other jobs stands beside it.
"""

from __future__ import annotations

import argparse
import sqlite3
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from loadtests.api import Api
from loadtests.hammer import percentile
from loadtests.homes import new_home
from loadtests.servers import dual

JOBS = "/api/v1/scheduler/jobs"
WITHIN = 2.0
"""Seconds in which the runs of all slots are to be accepted."""
TOGETHER = 10
"""Clients that schedule."""
FOUND = """
SELECT s.at, s.state, r.created_at, r.started_at, r.status
FROM slots AS s LEFT JOIN runs AS r ON r.id = s.id WHERE s.at = ?
"""


@dataclass(frozen=True, slots=True)
class Outcome:
    """Seconds from the slot to the acceptance of each run, and to the start of its child."""

    accepted: Sequence[float]
    started: Sequence[float]
    slots: int

    def line(self, wanted: int) -> str:
        """What to print."""
        accepted, started = sorted(self.accepted), sorted(self.started)
        return (
            f"{len(accepted)} of {wanted} slots fired, {self.slots} rows; accepted after"
            f" p50 {percentile(accepted, 0.5) / 1000:.2f} s, last {accepted[-1]:.2f} s;"
            f" started after p50 {percentile(started, 0.5) / 1000:.2f} s, last {started[-1]:.2f} s"
        )


def schedule(url: str, count: int, prefix: str, when: dict[str, str]) -> None:
    """Make so many jobs, by several clients."""

    def some(numbers: range) -> None:
        with Api(url) as api:
            for number in numbers:
                body = {
                    "name": f"{prefix}-{number}",
                    "schedule": when,
                    "task": {"type": "shell", "command": "true"},
                }
                api.call("POST", JOBS, body).json(201)

    with ThreadPoolExecutor(TOGETHER) as pool:
        list(pool.map(some, [range(start, count, TOGETHER) for start in range(TOGETHER)]))


def measure(others: int, wanted: int, lead: float) -> Outcome:
    """Schedule and wait; `lead` is seconds for scheduling those that are due at once."""
    home = new_home("planner")
    settings = {"MCLI_MAX_QUEUED_RUNS": str(wanted + 1000)}
    with dual("new", **settings).start(home) as server:
        url = server.urls["new API"]
        schedule(url, others, "other", {"cron": "0 0 1 1 *"})
        at = float(int(time.time() + lead))
        moment = datetime.fromtimestamp(at, UTC).isoformat()
        schedule(url, wanted, "due", {"at": moment})
        if time.time() > at:
            raise ValueError("scheduling took too long; give it a longer --lead")
        return _outcome(home / "mcli.db", at, wanted)


def _outcome(database: Path, at: float, wanted: int) -> Outcome:
    """Read the runs once all of them are over."""
    deadline = at + 120
    while True:
        with sqlite3.connect(f"file:{database}?mode=ro", uri=True) as connection:
            rows = connection.execute(FOUND, (at,)).fetchall()
        over = [row for row in rows if row[4] == "completed"]
        if len(over) >= wanted or time.time() > deadline:
            return Outcome([row[2] - at for row in over], [row[3] - at for row in over], len(rows))
        time.sleep(0.5)


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the figures; 1 when the last slot was too late, or not each fired once."""
    parser = argparse.ArgumentParser(
        prog="loadtests.planner", description=(__doc__ or "").partition("\n")[0]
    )
    parser.add_argument("--jobs", type=int, default=10_000, help="in all (10,000)")
    parser.add_argument("--due", type=int, default=1000, help="of them at once (1,000)")
    parser.add_argument("--lead", type=float, default=15.0, help="seconds to schedule these (15)")
    options = parser.parse_args(arguments)
    met = True
    for others in (options.jobs - options.due, 0):
        found = measure(others, options.due, options.lead)
        print(f"beside {others} other jobs: {found.line(options.due)}", flush=True)
        once = len(found.accepted) == found.slots == options.due
        met = met and once and max(found.accepted) <= WITHIN
    return 0 if met else 1


if __name__ == "__main__":
    sys.exit(main())
