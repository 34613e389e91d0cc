"""`make loadtest`: the old daemon, the dual server and Locust together, and nothing left behind.

Arguments that are not named here go to Locust, such as `--headless -u 20 -r 10 -t 10s`.
"""

from __future__ import annotations

import argparse
import os
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack, suppress
from pathlib import Path

import psutil
import requests

from loadtests import seed
from loadtests.servers import OLD_DAEMON, ROOT, StartError, dual

LOCUSTFILE = "loadtests/locustfile.py"
LOOPBACK = "127.0.0.1"
SIGNALS = (signal.SIGTERM, signal.SIGINT)
LOCUST_ENDS_WITHIN = 15.0  # seconds; its users finish their tasks and stop their workflows
WORKERS_END_WITHIN = 1.0


class Stopped(BaseException):
    """SIGTERM or Ctrl-C; `number` tells which."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number


def main(arguments: Sequence[str] | None = None) -> int:
    """Run until Locust ends, or Ctrl-C; Locust's exit code."""
    options, extra = _parser().parse_known_args(arguments)
    for number in SIGNALS:
        signal.signal(number, _stop)
    try:
        with ExitStack() as stack:
            urls = _start_servers(stack, options.stage)
            stack.callback(_end_workflows, urls)
            stack.callback(_ignore_signals)
            return _locust(options, extra, urls)
    except Stopped:
        return 130  # as shells say it
    except StartError as error:
        print(f"loadtests.run: {error}", file=sys.stderr)
        return 1


def _start_servers(stack: ExitStack, stage: str) -> dict[str, str]:
    """Both servers on homes of their own; their URLs by the variable that Locust reads."""
    root = stack.enter_context(
        tempfile.TemporaryDirectory(prefix="loadtest-", ignore_cleanup_errors=True)
    )
    homes = {name: Path(root) / name for name in ("old", "dual")}
    old = stack.enter_context(OLD_DAEMON.start(homes["old"]))
    both = stack.enter_context(dual(stage).start(homes["dual"]))
    for home in homes.values():
        seed.plant(home)
    urls = {
        "LOADTEST_LEGACY_URL": old.urls["legacy daemon"],
        "LOADTEST_SHIM_URL": both.urls["legacy API"],
        "LOADTEST_NEW_URL": both.urls["new API"],
    }
    _say(f"LegacyScript  {urls['LOADTEST_LEGACY_URL']}   the old daemon")
    _say(f"ShimScript    {urls['LOADTEST_SHIM_URL']}   the shim, stage {stage}")
    _say(f"NewClient     {urls['LOADTEST_NEW_URL']}   /api/v1")
    return urls


def _locust(options: argparse.Namespace, extra: Sequence[str], urls: dict[str, str]) -> int:
    """Run Locust to its end."""
    argv = [sys.executable, "-m", "locust", "-f", LOCUSTFILE, *_meeting(), *extra]
    if options.headless:
        argv.append("--headless")
    else:
        argv += ["--web-host", options.web_host, "--web-port", str(options.web_port)]
        argv.append("--class-picker")
        url = f"http://{options.web_host}:{options.web_port}"
        _say(f"Locust        {url}   Ctrl-C ends it all")
        _say(f"Compare       {url}/compare/   the stacks side by side, also a tab of Locust")
    settings = {"LOADTEST_WORKFLOW": seed.WORKFLOW, **urls}
    locust = subprocess.Popen(argv, cwd=ROOT, env=os.environ | settings)
    try:
        return locust.wait()
    except Stopped as stopped:
        workers = _children(locust)
        # The terminal sends Ctrl-C to Locust as well; told twice, it would end in a hurry.
        if stopped.number != signal.SIGINT:
            locust.send_signal(stopped.number)
        try:
            return _ended(locust)
        finally:
            _end(workers)


def _meeting() -> list[str]:
    """Where workers of `--processes` meet their master: on loopback, at a port of their own.

    Locust's own choice is port 5557 on every interface, so that a second load test cannot start.
    """
    with socket.create_server((LOOPBACK, 0)) as free:
        port = str(free.getsockname()[1])
    bind = ["--master-bind-host", LOOPBACK, "--master-bind-port", port]
    return [*bind, "--master-host", LOOPBACK, "--master-port", port]


def _ended(locust: subprocess.Popen[bytes]) -> int:
    """Wait for Locust, which has been told, to end by itself, or make it."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        try:
            return locust.wait(LOCUST_ENDS_WITHIN)
        except subprocess.TimeoutExpired:
            locust.send_signal(number)
    return locust.wait()


def _children(locust: subprocess.Popen[bytes]) -> list[psutil.Process]:
    """The workers of `--processes`."""
    try:
        return psutil.Process(locust.pid).children(recursive=True)
    except psutil.NoSuchProcess:
        return []


def _end(workers: list[psutil.Process]) -> None:
    """End those that Locust leaves behind: for a while after a test it knows no worker."""
    _, left = psutil.wait_procs(workers, WORKERS_END_WITHIN)
    for signal_one in (psutil.Process.terminate, psutil.Process.kill):
        for worker in left:
            with suppress(psutil.NoSuchProcess):
                signal_one(worker)
        _, left = psutil.wait_procs(left, LOCUST_ENDS_WITHIN)


def _end_workflows(urls: dict[str, str]) -> None:
    """Stop what a Locust that was cut off has left running: runs outlive their server."""
    for name in ("LOADTEST_LEGACY_URL", "LOADTEST_SHIM_URL"):
        try:
            status = requests.get(f"{urls[name]}/status", timeout=10).json()
            for run in status["active_workflows"]:
                stop = {"id": run["id"]}
                requests.post(f"{urls[name]}/workflow/stop", json=stop, timeout=10)
        except requests.RequestException as error:
            _say(f"{urls[name]}: {error}")


def _stop(number: int, *_: object) -> None:
    _ignore_signals()
    raise Stopped(number)


def _ignore_signals() -> None:
    """From here on it ends anyway, and a second Ctrl-C must not leave a server behind."""
    for number in SIGNALS:
        signal.signal(number, signal.SIG_IGN)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="loadtests.run", description=__doc__, allow_abbrev=False)
    add = parser.add_argument
    add("--headless", action="store_true", help="without the web UI")
    add("--web-host", default=LOOPBACK, help="address of the web UI (%(default)s)")
    add("-P", "--web-port", type=int, default=8089, help="its port (%(default)s)")
    add(
        "--stage",
        choices=("legacy", "new"),
        default="new",
        help="which stack answers behind the shim (%(default)s)",
    )
    return parser


def _say(line: str) -> None:
    print(line, flush=True)


if __name__ == "__main__":
    sys.exit(main())
