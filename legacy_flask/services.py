"""What the routes of one app share."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import cast

from flask import current_app

from legacy_flask.runner import Runner
from legacy_flask.runs import RunStore
from legacy_flask.store import CommandStore, ProcessStore, StateStore

EXTENSION = "legacy"


class UnknownError(Exception):
    """Something that does not exist: 404."""


class StoppedError(Exception):
    """The daemon was told to stop: 503."""

    def __init__(self) -> None:
        super().__init__("daemon is stopped")


@dataclass(frozen=True)
class Services:
    """The stores and the runner of one app; `started` is monotonic seconds."""

    state: StateStore
    commands: CommandStore
    runs: RunStore
    processes: ProcessStore
    runner: Runner
    started: float = field(default_factory=time.monotonic)

    def check_running(self) -> None:
        """Raise StoppedError when the daemon was told to stop."""
        if not self.state.is_running():
            raise StoppedError


def services() -> Services:
    """Those of the app that handles this request."""
    return cast("Services", current_app.extensions[EXTENSION])
