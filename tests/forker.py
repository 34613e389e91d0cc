"""Starts Python programs of ours by forking: a process that has imported them all already.

To import the server takes a second or two, and the tests start hundreds of servers and two thousand
times `mclictl`. Each child is a process of its own all the same, with its own arguments,
environment, folder and files, and it ends as an interpreter ends. `tests/forked.py` asks for them.
"""

from __future__ import annotations

import atexit
import gc
import importlib
import importlib.util
import json
import os
import runpy
import selectors
import signal
import socket
import struct
import sys
import threading
import time
from typing import Any, NoReturn

PID, STATUS = struct.Struct("i"), struct.Struct("i")
FILES = 5
"""Sent with each order: what to start, where to report, standard input, output and errors."""
PACKAGES = {
    "cli": ["cli.main", "httpcore", "h11", "certifi", "encodings.idna", "websockets.sync.client"],
    "fastapi_app": ["fastapi_app.serve", "alembic.command"],
    "compat": ["compat.serve"],
    "legacy_flask": ["legacy_flask.app"],
}
"""By the package that has to be there, which it need not be when the migration has ended."""


def import_all() -> None:
    """Load what the children would."""
    for package, modules in PACKAGES.items():
        if importlib.util.find_spec(package):
            for module in modules:
                importlib.import_module(module)
    commands = importlib.import_module("cli.main").COMMANDS
    for module, *_ in commands.values():
        if importlib.util.find_spec(module):
            importlib.import_module(module)


def wait_for_orders(asked: socket.socket) -> tuple[dict[str, Any], list[int]]:
    """Fork for each order, and report how each child ends; returns in the children alone."""
    selector = selectors.DefaultSelector()
    selector.register(asked, selectors.EVENT_READ)
    while True:
        for key, _ in selector.select():
            if key.data is not None:
                selector.unregister(key.fd)
                report_end(key.fd, *key.data)
                continue
            said, sent, _, _ = socket.recv_fds(asked, 1, FILES)
            if not said:
                sys.exit()
            order, report, *files = sent
            pid = os.fork()
            if not pid:
                forget_others(selector)
                asked.close()
                os.close(report)
                with os.fdopen(order, "rb") as wanted:
                    return json.load(wanted), files
            os.write(report, PID.pack(pid))
            selector.register(os.pidfd_open(pid), selectors.EVENT_READ, (pid, report))
            for file in (order, *files):
                os.close(file)


def report_end(pidfd: int, pid: int, report: int) -> None:
    """Tell how a child has ended."""
    os.write(report, STATUS.pack(os.waitpid(pid, 0)[1]))
    os.close(report)
    os.close(pidfd)


def forget_others(selector: selectors.BaseSelector) -> None:
    """Close what a child has of its parent's other children."""
    for key in selector.get_map().values():
        if key.data is not None:
            os.close(key.fd)
            os.close(key.data[1])
    selector.close()


def become(wanted: dict[str, Any], files: list[int]) -> None:
    """Be the program of the order: `-m MODULE ARG…` or `-c CODE ARG…`."""
    if wanted["group"] is not None:
        os.setpgid(0, wanted["group"])
    for standard, file in enumerate(files):
        os.dup2(file, standard)
        os.close(file)
    os.chdir(wanted["cwd"])
    os.environ.clear()
    os.environ.update(wanted["env"])
    time.tzset()
    kind, program, *args = wanted["args"]
    try:
        if kind == "-m":
            sys.argv = [program, *args]
            runpy.run_module(program, run_name="__main__", alter_sys=True)
        else:
            sys.argv = ["-c", *args]
            exec(program, {"__name__": "__main__"})  # noqa: S102 - as python -c does
    except SystemExit as ended:
        leave(ended.code)
    leave(0)


def leave(code: str | int | None) -> NoReturn:
    """End as a child of `multiprocessing` does: without taking apart all that was imported."""
    if isinstance(code, str):
        print(code, file=sys.stderr)
    threading._shutdown()  # type: ignore[attr-defined]
    atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    os._exit(code if isinstance(code, int) else int(code is not None))


def main() -> None:
    """Take orders from the socket whose number is the argument."""
    asked = socket.socket(fileno=int(sys.argv[1]))
    signal.signal(signal.SIGINT, signal.default_int_handler)
    import_all()
    assert threading.active_count() == 1, "a thread would be gone in every child"
    gc.freeze()
    become(*wait_for_orders(asked))


if __name__ == "__main__":
    main()
