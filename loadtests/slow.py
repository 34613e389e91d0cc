"""Clients that begin a request and never end it, in a process of their own."""

from __future__ import annotations

import asyncio
import json
import os
import resource
import subprocess
import sys
from collections import Counter
from collections.abc import Sequence
from typing import Self
from urllib.parse import urlsplit

import uvloop

from loadtests.owner import TOKEN
from loadtests.servers import ROOT

HEAD = f" HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {TOKEN}\r\n".encode()
JSON = HEAD + b"Content-Type: application/json\r\nContent-Length: 1000\r\n\r\n{"
HALVES = (
    b"GET /api/v1/commands/list" + HEAD + b"X-Slow:",
    b"POST /api/v1/workflows/execute" + JSON,
    b"POST /execute" + JSON,
)
READY = "connected"
EACH = 0.0005
"""Seconds between two."""
NICE = 19
"""They come from elsewhere: what they compute is not to be taken from who is measured."""
ROOM = 200
"""File descriptors for what is no connection."""


class SlowClients:
    """So many, spread over `urls`, from when the context is entered."""

    def __init__(self, urls: Sequence[str], number: int) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "loadtests.slow", str(number), *urls],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            text=True,
        )

    def __enter__(self) -> Self:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        assert line.strip() == READY, line
        return self

    def wait(self, seconds: float) -> Counter[str]:
        """How they ended: by the status they were answered, or `cut` without one.

        Raises:
            subprocess.TimeoutExpired: some are still connected then.
        """
        assert self._process.stdout is not None
        self._process.wait(seconds)
        return Counter(json.loads(self._process.stdout.read()))

    def __exit__(self, *_: object) -> None:
        assert self._process.stdout is not None
        self._process.kill()
        self._process.wait()
        self._process.stdout.close()


async def be_slow(urls: Sequence[str], number: int) -> Counter[str]:
    """Open all, say so, and see how each ends."""
    opened = []
    for index in range(number):
        url = urlsplit(urls[index % len(urls)])
        half = HALVES[index % len(HALVES)]
        reader, writer = await asyncio.open_connection(url.hostname, url.port)
        writer.write(half)
        opened.append((reader, writer))
        await asyncio.sleep(EACH)
    print(READY, flush=True)
    return Counter(await asyncio.gather(*(_end(*pair) for pair in opened)))


async def _end(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> str:
    try:
        answer = await reader.read(-1)
    except ConnectionError:
        answer = b""
    writer.close()
    return answer.split(b" ", 2)[1].decode() if answer.startswith(b"HTTP/1.1 ") else "cut"


def main(arguments: Sequence[str]) -> None:
    """`number url...`: print how they ended, as JSON."""
    number, urls = int(arguments[0]), arguments[1:]
    os.nice(NICE)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, min(hard, number + ROOM)), hard))
    print(json.dumps(uvloop.run(be_slow(urls, number))), flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
