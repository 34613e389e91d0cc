"""The servers under proof: the old daemon alone, and the shim in each stage, each with its home."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import re
import signal
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from urllib.parse import urlsplit

from compat.prove import guarded
from fastapi_app.factory import TOKEN_FILE

STARTED_WITHIN = 60.0
ENDED_WITHIN = 30.0
KEPT_LINES = 200
CONTROL = (sys.executable, "-m", "legacy_flask")
SHIM = (sys.executable, "-m", "cli", "serve")
_URL = re.compile(rb"^\W*(new API|legacy API|legacy daemon)\s+(http://\S+)")


class StartError(RuntimeError):
    """A server did not say where it listens; the message is what it printed."""


@dataclass(frozen=True, slots=True)
class Under:
    """A stage in which the shim is tried; `percent` of the clients where it is a canary."""

    stage: str
    percent: int | None = None

    def __str__(self) -> str:
        return self.stage if self.percent is None else f"{self.stage} {self.percent}"


STAGES = (Under("legacy"), Under("shadow"), Under("canary", 50), Under("new"))


@dataclass(frozen=True, slots=True)
class Server:
    """A server that listens: the old contract at `address`, the new API at `api` if it has one.

    `printed` are the last lines it has written.
    """

    name: str
    home: Path
    address: tuple[str, int]
    api: str | None
    printed: deque[bytes]

    @property
    def is_guarded(self) -> bool:
        """Whether it is the shim, whose guard refuses what the old daemon answers."""
        return self.api is not None

    def call(self, method: str, path: str, body: object = None) -> Any:  # noqa: ANN401 - any JSON
        """Ask the new API; returns the JSON it answers.

        Raises:
            StartError: it refuses.
        """
        url = urlsplit(self.api or "")
        connection = http.client.HTTPConnection(url.hostname or "", url.port, timeout=30)
        with contextlib.closing(connection):
            token = (self.home / TOKEN_FILE).read_text(encoding="ascii").strip()
            headers = {"Content-Type": "application/json", "Authorization": f"Bearer {token}"}
            connection.request(method, path, json.dumps(body) if body else None, headers)
            answer = connection.getresponse()
            text = answer.read()
        if answer.status != 200:
            log = b"".join(self.printed).decode(errors="replace")
            raise StartError(
                f"{self.name}: {method} {path}: {answer.status} {text.decode()}\n{log}"
            )
        return json.loads(text)


@contextmanager
def started(
    stages: Sequence[Under], shim: Sequence[str] = SHIM, control: Sequence[str] = CONTROL
) -> Iterator[list[Server]]:
    """The old daemon first, then the shim in each stage, until the context ends.

    `shim` is the command that starts it, without ports and home.

    Raises:
        StartError: one does not start.
    """
    with ExitStack() as stack:
        folder = Path(stack.enter_context(TemporaryDirectory(prefix="prove-")))
        starting: list[_Starting] = []

        def start(name: str, argv: list[str], home: str, settings: dict[str, str]) -> None:
            starting.append(_Starting(name, argv, folder / home, settings))
            stack.callback(starting[-1].stop)

        start("old daemon", [*control, "--port", "0"], "old", {})
        for under in stages:
            argv = [*shim, "--port", "0", "--legacy-port", "0"]
            start(str(under), argv, str(under).replace(" ", "-"), _settings(under))
        servers = [one.server() for one in starting]
        for under, server in zip(stages, servers[1:], strict=True):
            if under.percent is not None:
                _set_percent(server, under)
        yield servers


def _settings(under: Under) -> dict[str, str]:
    # A canary is no stage to begin with; and whatever is shadowed shall be compared.
    stage = "legacy" if under.percent is not None else under.stage
    return {"MCLI_DEFAULT_STAGE": stage, "MCLI_SHADOW_QUEUE": "100000", **guarded.SETTINGS}


def _set_percent(server: Server, under: Under) -> None:
    for row in server.call("GET", "/api/v1/cutover/routes"):
        body = {"route": row["route"], "stage": under.stage, "percent": under.percent}
        server.call("PUT", "/api/v1/cutover/routes", body)


class _Starting:
    """A child process that will say where it listens."""

    def __init__(self, name: str, argv: list[str], home: Path, settings: dict[str, str]) -> None:
        home.mkdir()
        self._name, self._home = name, home
        self._urls: dict[str, str] = {}
        self._printed: deque[bytes] = deque(maxlen=KEPT_LINES)
        self._silent = threading.Event()
        kept = {k: v for k, v in os.environ.items() if not k.startswith("MCLI_")}
        self._process = subprocess.Popen(
            argv,
            env=kept | {"MCLI_HOME": str(home), "PYTHONUNBUFFERED": "1"} | settings,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            # Ctrl-C is for the one who proves, and he ends the servers himself.
            process_group=0,
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def server(self) -> Server:
        """Wait until it listens."""
        self._silent.wait(STARTED_WITHIN)
        old = self._urls.get("legacy API") or self._urls.get("legacy daemon")
        if old is None:
            printed = b"".join(self._printed).decode(errors="replace")
            raise StartError(f"{self._name} does not start:\n{printed}")
        url = urlsplit(old)
        address = (url.hostname or "", url.port or 80)
        return Server(self._name, self._home, address, self._urls.get("new API"), self._printed)

    def stop(self) -> None:
        """End it, gently if it can be."""
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)
        try:
            self._process.wait(ENDED_WITHIN)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._reader.join(1.0)

    def _read(self) -> None:
        stream = self._process.stdout
        if stream is None:
            return
        with stream:
            for line in stream:
                self._printed.append(line)
                if found := _URL.match(line):
                    self._urls[found[1].decode()] = found[2].decode()
                if self._urls.keys() & {"legacy API", "legacy daemon"}:
                    self._silent.set()
        self._silent.set()
