"""What slow clients cost everybody else: `python -m loadtests.hostile`.

Others ask a read route in a closed loop: first alone, then while two thousand clients connect to
both listeners, send the half of a head or of a body, and are ended. Both on the same server, one
after the other, so that what the machine does besides is in both.
"""

from __future__ import annotations

import argparse
import asyncio
import subprocess
import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import urlsplit

import psutil
import uvloop

from loadtests.hammer import Figures, Plan, hammer, request_bytes
from loadtests.homes import new_home
from loadtests.servers import Server, dual
from loadtests.slow import SlowClients

READ = "/api/v1/commands/list"
PATIENCE = 3
"""Seconds the server has for a head or a body."""
AT_MOST = 2.0
"""The 99th percentile of the others, over that of before."""
MIB = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Outcome:
    """How the others fared `before` and `during`, how the slow ones ended, and what it took."""

    before: Figures
    during: Figures
    ended: Counter[str]
    grown: int
    """Bytes of resident memory, at the peak."""

    @property
    def ratio(self) -> float:
        return self.during.p99_ms / self.before.p99_ms

    @property
    def met(self) -> bool:
        """Whether the others fared well enough, and all slow ones were ended."""
        return (
            self.ratio <= AT_MOST and self.ended.keys() <= {"408", "cut"} and not self.during.errors
        )

    def lines(self) -> list[str]:
        """What to print."""
        ends = ", ".join(f"{number} {how}" for how, number in self.ended.most_common())
        return [
            "others   requests/s   p50 ms   p99 ms   max ms   errors",
            _row("before", self.before),
            _row("during", self.during),
            f"p99 during / before: {self.ratio:.2f} (at most {AT_MOST:g})",
            f"slow clients ended: {ends}",
            f"resident memory grew by {self.grown / MIB:.1f} MiB at most",
        ]


def _row(name: str, figures: Figures) -> str:
    return (
        f"{name} {figures.throughput:12.0f} {figures.p50_ms:8.2f} {figures.p99_ms:8.2f}"
        f" {figures.max_ms:8.2f} {figures.errors:8d}"
    )


async def measure(server: Server, number: int, connections: int, seconds: float) -> Outcome:
    """Both phases, each as long as it takes to open the slow ones and to see them ended."""
    new, legacy = server.urls["new API"], server.urls["legacy API"]
    url = urlsplit(new + READ)
    plan = Plan(
        host=url.hostname or "",
        port=url.port or 80,
        request=request_bytes(url, "GET", None),
        connections=connections,
        seconds=seconds,
    )
    await hammer(plan)  # what is done for the first time is no one's fault
    before = await hammer(plan)
    process = psutil.Process(server.process.pid)
    peaks = [process.memory_info().rss]
    watching = asyncio.create_task(_watch(process, peaks))
    during, ended = await asyncio.gather(
        hammer(plan), asyncio.to_thread(_be_slow, [new, legacy], number)
    )
    watching.cancel()
    return Outcome(before, during, ended, max(peaks) - peaks[0])


async def _watch(process: psutil.Process, peaks: list[int]) -> None:
    while True:
        peaks.append(process.memory_info().rss)
        await asyncio.sleep(0.05)


def _be_slow(urls: Sequence[str], number: int) -> Counter[str]:
    with SlowClients(urls, number) as slow:
        try:
            return slow.wait(60)
        except subprocess.TimeoutExpired:
            return Counter({"not ended": number})


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the figures; 1 when one is not met."""
    parser = argparse.ArgumentParser(
        prog="loadtests.hostile", description=(__doc__ or "").partition("\n")[0]
    )
    parser.add_argument("--slow", type=int, default=2000, help="slow clients (2000)")
    parser.add_argument("--connections", type=int, default=4, help="of the others (4)")
    parser.add_argument("--seconds", type=float, default=8.0, help="of each phase (8)")
    options = parser.parse_args(arguments)
    timeouts = {"MCLI_HEADER_TIMEOUT": str(PATIENCE), "MCLI_BODY_TIMEOUT": str(PATIENCE)}
    with dual("new", **timeouts).start(new_home("hostile")) as server:
        outcome = uvloop.run(measure(server, options.slow, options.connections, options.seconds))
    print("\n".join(outcome.lines()))
    return 0 if outcome.met else 1


if __name__ == "__main__":
    sys.exit(main())
