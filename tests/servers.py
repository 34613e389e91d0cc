"""Real servers for tests: started as child processes, ready when they say so, ended by pid."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Self

ROOT = Path(__file__).resolve().parent.parent
URL = re.compile(rb"^\W*(?P<name>new API|legacy API|legacy daemon)\s+(?P<url>http://\S+)")
READY_WITHIN = 20.0


@dataclass
class Server:
    """A server process of ours; `new` and `legacy` are the base URLs it printed."""

    process: subprocess.Popen[bytes]
    home: Path
    urls: dict[str, str]
    printed: list[bytes] = field(default_factory=list)

    @property
    def new(self) -> str:
        return self.urls["new API"]

    @property
    def legacy(self) -> str:
        return self.urls.get("legacy API") or self.urls["legacy daemon"]

    @property
    def pid(self) -> int:
        return self.process.pid

    def stop(self) -> int:
        """Ask it to end, as `systemctl stop` would, and return its exit code."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(30)

    def kill(self) -> None:
        """End it the hard way: no chance to clean up."""
        self.process.kill()
        self.process.wait(30)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait(30)


def environment(home: Path, **extra: str) -> dict[str, str]:
    """The caller's environment without any MCLI_ setting but ours."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith("MCLI_")}
    return kept | {"MCLI_HOME": str(home), "PYTHONUNBUFFERED": "1"} | extra


def start(argv: list[str], home: Path, names: set[str], **extra: str) -> Server:
    """Start `argv` and wait until it has printed one URL for each of `names`."""
    process = subprocess.Popen(
        argv,
        cwd=ROOT,
        env=environment(home, **extra),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    assert process.stdout is not None
    server = Server(process, home, {})
    ready = threading.Event()
    threading.Thread(target=_read, args=(process.stdout, server, names, ready), daemon=True).start()
    if not ready.wait(READY_WITHIN) or not names <= server.urls.keys():
        process.kill()
        process.wait()
        raise AssertionError(f"{argv} did not start:\n{b''.join(server.printed).decode()}")
    return server


def start_dual(home: Path, *args: str, **extra: str) -> Server:
    """Both stacks in one process, each on a free port."""
    argv = [sys.executable, "-m", "cli", "serve", "--port", "0", "--legacy-port", "0", *args]
    return start(argv, home, {"new API", "legacy API"}, **extra)


def start_new(home: Path, *args: str, **extra: str) -> Server:
    """The new app alone, on a free port: what is left when the compatibility layer is deleted."""
    argv = [sys.executable, "-m", "cli", "serve", "--port", "0", *args]
    return start(argv, home, {"new API"}, **extra)


def start_legacy(home: Path, *args: str, **extra: str) -> Server:
    """The old daemon alone, on a free port."""
    argv = [sys.executable, "-m", "legacy_flask", "--port", "0", "--home", str(home), *args]
    return start(argv, home, {"legacy daemon"}, **extra)


def _read(stream: IO[bytes], server: Server, names: set[str], ready: threading.Event) -> None:
    """Collect what the server prints, until it closes its output, so that it never blocks."""
    with stream:
        for line in stream:
            server.printed.append(line)
            if found := URL.match(line):
                server.urls[found["name"].decode()] = found["url"].decode()
            if names <= server.urls.keys():
                ready.set()
    ready.set()
