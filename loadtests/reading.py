"""Runs whose logs are read while they are written, and readers that check every piece."""

from __future__ import annotations

import asyncio
import http.client
import shlex
import time
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from loadtests.api import RUNS, Api
from loadtests.followers import Text, follow, sleepers
from loadtests.owner import authorization

LINE = 50  # characters, with the newline
BURST = 100  # lines
PAUSE = 0.01  # seconds between bursts: written while it is read, but faster than it can be
CHUNK = 256 * 1024


@dataclass(frozen=True)
class Times:
    """Seconds from the first byte until a follower had all."""

    live: float
    late: float


async def many_followers(
    api: Api, url: str, gate: Path, numbers: tuple[int, int, int], within: float
) -> float:
    """Seconds from the first line of a log until the last follower has all of them.

    `numbers` are followers, lines, and followers that never read. The run waits for the file
    `gate`; a follower that misses anything raises ValueError.
    """
    followers, lines, idle = numbers
    text = "".join(f"line {number:05d} ".ljust(LINE - 1, "-") + "\n" for number in range(lines))
    source = gate.with_suffix(".txt")
    source.write_text(text, encoding="ascii")
    run_id = api.background(f"{_wait_for(gate)}; {_in_bursts(source, lines)}")
    asleep = sleepers(url, run_id, idle)
    try:
        reading = await follow(url, run_id, Text(text, len(text)), followers)
        begun = time.monotonic()
        _open(gate)
        async with asyncio.timeout(within):
            ended = await asyncio.gather(*(follower.over for follower in reading))
    finally:
        for wire in asleep:
            wire.close()
    api.until_idle(within)
    return max(ended) - begun


async def big_log(api: Api, url: str, gate: Path, size: int, within: float) -> Times:
    """Follow `size` bytes live, and from the start again when half of them have been read."""
    period = "0123456789abcdef" * 3 + "0123456789abcde\n"
    command = f"{_wait_for(gate)}; yes {period.strip()} | head -c {size}"
    run_id = api.background(command)
    (live,) = await follow(url, run_id, Text(period, size), 1)
    begun = time.monotonic()
    _open(gate)
    async with asyncio.timeout(within):
        while live.read < size // 2 and not live.over.done():
            await asyncio.sleep(0.01)
        late = asyncio.create_task(asyncio.to_thread(_read_all, url, run_id, period, size))
        joined = time.monotonic()
        ended = await live.over
        return Times(ended - begun, await late - joined)


def _read_all(url: str, run_id: str, period: str, size: int) -> float:
    """Read a log from its start to its end over HTTP; the monotonic time of the end.

    Raises:
        ValueError: it is not what was printed.
    """
    block = (period * (CHUNK // len(period) + 2)).encode()
    parts = urlsplit(url)
    wire = http.client.HTTPConnection(parts.hostname or "", parts.port or 80, timeout=60)
    read = 0
    try:
        path = f"{RUNS}/{run_id}/logs?stream=stdout&follow=true"
        wire.request("GET", path, headers=authorization(path))
        answer = wire.getresponse()
        while piece := answer.read1(CHUNK):
            if not block.startswith(piece, read % len(period)):
                raise ValueError(f"not what was printed, after {read} bytes")
            read += len(piece)
    finally:
        wire.close()
    if read != size:
        raise ValueError(f"{read} bytes instead of {size}")
    return time.monotonic()


def _open(gate: Path) -> None:
    gate.touch()


def _wait_for(gate: Path) -> str:
    # A scenario that failed takes its folder away, and nobody will open the gate.
    file, folder = shlex.quote(str(gate)), shlex.quote(str(gate.parent))
    return f"while [ ! -e {file} ]; do [ -d {folder} ] || exit 1; sleep 0.01; done"


def _in_bursts(source: Path, lines: int) -> str:
    bursts = -(-lines // BURST)
    return (
        f"n=0; while [ $n -lt {bursts} ]; do "
        f"dd if={shlex.quote(str(source))} bs={LINE * BURST} skip=$n count=1 2>/dev/null; "
        f"n=$((n+1)); sleep {PAUSE:g}; done"
    )
