"""Chromium, driven over its DevTools protocol: no driver to install, no browser to download.

The protocol: https://chromedevtools.github.io/devtools-protocol/
"""

from __future__ import annotations

import base64
import json
import os
import re
import shutil
import signal
import subprocess
import threading
from collections import deque
from contextlib import contextmanager, suppress
from queue import Queue
from typing import IO, TYPE_CHECKING, Any

import pytest
from websockets.sync.client import ClientConnection, connect

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
LISTENS = re.compile(rb"^DevTools listening on (ws://\S+)")
WITHIN = 60.0  # seconds; only a hang takes that long
QUIET = (
    *("--headless=new", "--remote-debugging-port=0", "--no-first-run", "--disable-gpu"),
    *("--disable-dev-shm-usage", "--disable-background-networking", "--disable-component-update"),
    *("--disable-sync", "--hide-scrollbars", "--force-color-profile=srgb"),
)


def chromium() -> str | None:
    """Where it is: CHROMIUM, or the first of the usual names."""
    return os.environ.get("CHROMIUM") or next(filter(None, map(shutil.which, NAMES)), None)


def needed() -> str:
    """The same; where there is none the test is skipped, and in CI it fails."""
    program = chromium()
    if program is None:
        reason = "needs a browser: install Debian's package chromium, or name one in CHROMIUM"
        if os.environ.get("CI") == "true":
            pytest.fail(reason)
        pytest.skip(reason)
    return program


@contextmanager
def browsing(program: str, home: Path, *flags: str) -> Iterator[Browser]:
    """Start a browser with its state in `home` and these flags besides the usual, and end it."""
    argv = [program, *QUIET, *flags, f"--user-data-dir={home}", "about:blank"]
    if os.geteuid() == 0:
        argv.insert(1, "--no-sandbox")  # it refuses to run as root with one
    process = subprocess.Popen(argv, stderr=subprocess.PIPE, process_group=0)
    assert process.stderr is not None
    address: Queue[str | None] = Queue()
    reader = threading.Thread(target=_read, args=(process.stderr, address), daemon=True)
    reader.start()
    try:
        url = address.get(timeout=WITHIN)
        assert url, f"{program} did not start"
        # Without a bound: events that nobody asked for must not hide that the browser has ended.
        with connect(url, max_size=None, max_queue=None) as wire:
            yield Browser(wire)
            wire.send(json.dumps({"id": 0, "method": "Browser.close"}))
            process.wait(WITHIN)
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        reader.join()


def _read(lines: IO[bytes], address: Queue[str | None]) -> None:
    """Find where it listens; go on reading, so that it never blocks."""
    with lines:
        for line in lines:
            if match := LISTENS.match(line):
                address.put(match[1].decode())
    address.put(None)


class Browser:
    """A page in a browser. What goes wrong in the page is collected in `problems`."""

    def __init__(self, wire: ClientConnection) -> None:
        self.problems: list[str] = []
        self._wire = wire
        self._events: deque[dict[str, Any]] = deque()
        self._asked = 0
        self._session: str | None = None
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        attached = self.call("Target.attachToTarget", targetId=target, flatten=True)
        self._session = attached["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(f"{domain}.enable")

    def call(self, method: str, **params: object) -> dict[str, Any]:
        """Send one command; events that come before its answer are taken on the way."""
        self._asked += 1
        message = {"id": self._asked, "method": method, "params": params}
        if self._session:
            message["sessionId"] = self._session
        self._wire.send(json.dumps(message))
        while True:
            answer = self._next()
            if answer.get("id") == self._asked:
                assert "error" not in answer, f"{method}: {answer['error']}"
                result: dict[str, Any] = answer["result"]
                return result

    def goto(self, url: str) -> None:
        """Open it, and wait until all of it has been loaded."""
        self._events.clear()
        answer = self.call("Page.navigate", url=url)
        assert "errorText" not in answer, f"{url}: {answer['errorText']}"
        self._wait_for_load()

    def leave(self, expression: str) -> None:
        """Have the page go elsewhere by itself, and wait until all of that has been loaded."""
        self._events.clear()
        self.call("Runtime.evaluate", expression=expression)
        self._wait_for_load()

    def _wait_for_load(self) -> None:
        while not any(event["method"] == "Page.loadEventFired" for event in self._events):
            self._next()

    def evaluate(self, expression: str) -> Any:  # noqa: ANN401
        """Return what an expression, or the promise it is, comes to."""
        answer = self.call(
            "Runtime.evaluate", expression=expression, awaitPromise=True, returnByValue=True
        )
        assert "exceptionDetails" not in answer, answer["exceptionDetails"]
        return answer["result"].get("value")

    def until(self, condition: str) -> None:
        """Look at each frame that is drawn, until the condition holds."""
        self.evaluate(
            "new Promise((hold, fail) => {"
            f"  const look = () => ({condition}) ? hold() : requestAnimationFrame(look);"
            f"  setTimeout(() => fail(new Error(document.body.innerText)), {WITHIN * 1000});"
            "  look();"
            "})"
        )

    def prefer(self, scheme: str) -> None:
        """Be light or dark, as a system may ask pages to be."""
        features = [{"name": "prefers-color-scheme", "value": scheme}]
        self.call("Emulation.setEmulatedMedia", features=features)

    def screenshot(self, path: Path, width: int, height: int) -> None:
        """A picture of the top of the page, as PNG."""
        self.resize(width, height)
        shot = self.call("Page.captureScreenshot", format="png")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(base64.b64decode(shot["data"]))

    def resize(self, width: int, height: int) -> None:
        """Give the page that much room."""
        self.call(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=1,
            mobile=False,
        )

    def _next(self) -> dict[str, Any]:
        message: dict[str, Any] = json.loads(self._wire.recv(WITHIN + 10))
        if "method" in message:
            self._events.append(message)
            if problem := _problem(message["method"], message["params"]):
                self.problems.append(problem)
        return message


def _problem(method: str, params: dict[str, Any]) -> str | None:
    """What an event says went wrong in the page."""
    match method:
        case "Runtime.exceptionThrown":
            return f"exception: {params['exceptionDetails']}"
        case "Runtime.consoleAPICalled" if params["type"] in {"error", "warning", "assert"}:
            return f"console: {[argument.get('value') for argument in params['args']]}"
        case "Log.entryAdded" if params["entry"]["level"] in {"error", "warning"}:
            return f"log: {params['entry']['text']} {params['entry'].get('url', '')}"
        case "Network.loadingFailed" if not params.get("canceled"):
            return f"not loaded: {params['errorText']}"
        case "Network.responseReceived" if params["response"]["status"] >= 400:
            return f"status {params['response']['status']}: {params['response']['url']}"
    return None
