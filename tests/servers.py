"""Real servers for tests: those of the load tests, with what only a test does to a server."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import httpx
from websockets.sync.client import ClientConnection, connect

from loadtests import servers
from loadtests.servers import ROOT, StartError, environment
from tests.forked import Forked

__all__ = [
    "ROOT",
    "Server",
    "StartError",
    "environment",
    "start",
    "start_dual",
    "start_legacy",
    "start_new",
]


@dataclass
class Server(servers.Server):
    """A server process of ours; `new` and `legacy` are the base URLs it printed."""

    home: Path = Path()

    @property
    def new(self) -> str:
        return self.urls["new API"]

    @property
    def legacy(self) -> str:
        return self.urls.get("legacy API") or self.urls["legacy daemon"]

    @property
    def token(self) -> str:
        """The machine owner's, made at the first start."""
        return (self.home / "token").read_text(encoding="ascii").strip()

    @property
    def auth(self) -> dict[str, str]:
        """The header that lets its owner in."""
        return {"Authorization": f"Bearer {self.token}"}

    @property
    def auth_line(self) -> str:
        """The same, as it goes over the wire."""
        return f"Authorization: Bearer {self.token}"

    def client(self, timeout: float = 5) -> httpx.Client:
        """Its owner's client of the new API."""
        return httpx.Client(base_url=self.new, headers=self.auth, timeout=timeout)

    def following(self) -> ClientConnection:
        """Its owner's WebSocket on what happens to all runs."""
        url = f"ws{self.new[4:]}/ws/workflows"
        return connect(url, additional_headers=self.auth, proxy=None)

    @property
    def pid(self) -> int:
        return self.process.pid

    def kill(self) -> None:
        """End it the hard way: no chance to clean up."""
        self.process.kill()
        self.process.wait(servers.ENDED_WITHIN)

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            self.kill()


def start(argv: list[str], home: Path, names: set[str], **extra: str) -> Server:
    """Start `argv` and wait until it has printed one URL for each of `names`."""
    popen: type[subprocess.Popen[bytes]] = Forked if argv[0] == sys.executable else subprocess.Popen
    started = servers.start(argv, home, frozenset(names), popen, **extra)
    return Server(started.process, started.urls, started.printed, home)


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
