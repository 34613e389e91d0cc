"""A run while an engine watches it."""

from __future__ import annotations

import asyncio
import signal
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from fastapi_app.engine.process import Spawned
from fastapi_app.models import Run
from fastapi_app.storage.group_commit import Write

if TYPE_CHECKING:
    from fastapi_app.engine.stopping import StopOrder


@dataclass(slots=True, eq=False)
class Active:
    """A run this engine watches."""

    run: Run
    turn: asyncio.Future[None] | None = None
    """Done once a run that a client waits for has a slot; none when it got one at once."""
    timer: asyncio.TimerHandle | None = None
    """When the next attempt is due."""
    waited: bool = False
    """It could not start at once: others may have stopped it meanwhile."""
    launched: bool = False
    """Handed to the spawn helper: from here on it can only be stopped by a signal."""
    attended: bool = False
    """A client waits for it: it does not outlive the server."""
    fenced: bool = False
    """Another server may take it over until this one has committed that it is about to start it."""
    spawned: Spawned | None = None
    added: Write | None = None
    """The row of a run that somebody waits for, on its way to the database."""
    stopping: bool = False
    order: StopOrder | None = None
    """How it is to be stopped, once it has been said."""
    signalled: signal.Signals | None = None
    kill_at: float = 0.0
    """Monotonic time at which what is left of a stopped group is killed."""
    started: asyncio.Event = field(default_factory=asyncio.Event)
    """Set once it is committed that the child runs, or that it never will."""
    over: asyncio.Event = field(default_factory=asyncio.Event)
