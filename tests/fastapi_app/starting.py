"""The new app alone as a server process, and how to wait for what another process does."""

from __future__ import annotations

import json
import sys
import time
from typing import TYPE_CHECKING, TypeVar

from tests.servers import Server, start

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

T = TypeVar("T")

WITHIN = 15.0
"""Seconds; only a hang takes that long."""
SERVE = "import sys, json; from fastapi_app.serve import serve; sys.exit(serve(json.loads('{}')))"


def serving(**overrides: object) -> list[str]:
    """The command line that serves the new app with these settings, on a free port."""
    code = SERVE.replace("{}", json.dumps({"port": 0} | overrides))
    return [sys.executable, "-c", code]


def start_app(home: Path, **settings: str) -> Server:
    """Start the new app; `settings` as in the environment, without their prefix."""
    extra = {f"MCLI_{name.upper()}": value for name, value in settings.items()}
    return start(serving(), home, {"new API"}, **extra)


def until(probe: Callable[[], T], within: float = WITHIN) -> T:
    """What `probe` returns as soon as that is true; for what no event tells of."""
    deadline = time.monotonic() + within
    while not (found := probe()):
        assert time.monotonic() < deadline, f"not within {within} seconds: {probe}"
        time.sleep(0.01)
    return found
