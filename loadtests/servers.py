"""The servers under load: started as child processes, ready when they say so, ended by pid."""

from __future__ import annotations

import os
import re
import shlex
import signal
import subprocess
import sys
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Self

from loadtests.homes import place
from loadtests.owner import own

ROOT = Path(__file__).resolve().parent.parent
URL = re.compile(rb"^\W*(?P<name>new API|legacy API|legacy daemon|limit)\s+(?P<url>http://\S+)")
READY_WITHIN = 30.0
ENDED_WITHIN = 30.0
BY_HAND = {"port": "8000", "legacy_port": "5005", "home": str(place() / "mcli-by-hand")}


class StartError(RuntimeError):
    """A server ended, or stayed silent, instead of saying where it listens."""


@dataclass(frozen=True)
class Launch:
    """How one server is started. `module` holds {port}, {legacy_port} and {home} where they go."""

    module: str
    says: frozenset[str]
    settings: Mapping[str, str] = field(default_factory=dict)

    def start(self, home: Path) -> Server:
        """Start it on free ports with its state in `home`, and wait until it listens."""
        values = {"port": "0", "legacy_port": "0", "home": shlex.quote(str(home))}
        argv = [sys.executable, "-m", *shlex.split(self.module.format(**values))]
        own(home)
        return start(argv, home, self.says, **self.settings)

    def by_hand(self) -> str:
        """The same as a line for the shell, on the usual ports."""
        settings = "".join(f"{name}={value} " for name, value in self.settings.items())
        fresh = f"rm -rf {BY_HAND['home']}; " if "{home}" in self.module else ""
        return f"{fresh}{settings}python -m {self.module.format(**BY_HAND)}"


OLD_DAEMON = Launch("legacy_flask --port {legacy_port} --home {home}", frozenset({"legacy daemon"}))
GUNICORN = Launch(
    "gunicorn --config python:loadtests.gthread --bind 127.0.0.1:{legacy_port}"
    " --env MCLI_HOME={home} 'loadtests.gthread:app()'",
    frozenset({"legacy daemon"}),
)
LIMIT = Launch("loadtests.limit --port {port}", frozenset({"limit"}))
SERVE = "cli serve"
RESIDENT = "loadtests.watched --resident 500"
WATCHED = "loadtests.watched --lag {home}/lag.json"


def dual(stage: str, serve: str = SERVE, **settings: str) -> Launch:
    """Both stacks in one process, every old route in that stage."""
    return Launch(
        serve + " --port {port} --legacy-port {legacy_port} --home {home}",
        frozenset({"new API", "legacy API"}),
        {"MCLI_DEFAULT_STAGE": stage, **settings},
    )


@dataclass
class Server:
    """A server process of ours; `urls` are the base URLs it printed, by what it calls them."""

    process: subprocess.Popen[bytes]
    urls: dict[str, str] = field(default_factory=dict)
    printed: list[bytes] = field(default_factory=list)

    def stop(self) -> int:
        """Ask it to end, as `systemctl stop` would, and return its exit code."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(ENDED_WITHIN)

    def kill(self) -> None:
        """End it the hard way: no chance to clean up."""
        self.process.kill()
        self.process.wait(ENDED_WITHIN)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        try:
            self.stop()
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


def environment(home: Path, **settings: str) -> dict[str, str]:
    """The caller's environment without any MCLI_ setting but these.

    Clients of one address that send as fast as they can are to meet the server, not its limit.
    """
    kept = {k: v for k, v in os.environ.items() if not k.startswith("MCLI_")}
    unlimited = {"MCLI_RATE_LIMIT": "off", "MCLI_LOGIN_RATE_LIMIT": "off"}
    # The scripts of whoever runs this are none of ours.
    folder = {"MCLI_WORKFLOWS_DIR": str(home / "workflows")}
    own = {"MCLI_HOME": str(home), "PYTHONUNBUFFERED": "1", **unlimited, **folder}
    return kept | own | settings


def start(
    argv: list[str],
    home: Path,
    names: frozenset[str],
    popen: type[subprocess.Popen[bytes]] = subprocess.Popen,
    /,
    **settings: str,
) -> Server:
    """Start `argv` and wait until it has printed one URL for each of `names`.

    Raises:
        StartError: with all it printed.
    """
    process = popen(
        argv,
        cwd=ROOT,
        env=environment(home, **settings),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        # Ctrl-C must not reach it before the load on it has ended.
        process_group=0,
    )
    assert process.stdout is not None
    server = Server(process)
    ready = threading.Event()
    threading.Thread(target=_read, args=(process.stdout, server, names, ready), daemon=True).start()
    try:
        heard = ready.wait(READY_WITHIN)
    except BaseException:
        process.kill()
        process.wait()
        raise
    if not heard or not names <= server.urls.keys():
        process.kill()
        process.wait()
        raise StartError(f"{shlex.join(argv)} did not start:\n{b''.join(server.printed).decode()}")
    return server


def _read(stream: IO[bytes], server: Server, names: frozenset[str], ready: threading.Event) -> None:
    """Collect what the server prints, until it closes its output, so that it never blocks."""
    with stream:
        for line in stream:
            server.printed.append(line)
            if found := URL.match(line):
                server.urls[found["name"].decode()] = found["url"].decode()
            if names <= server.urls.keys():
                ready.set()
    ready.set()
