"""Storing scripts as they are saved: the folder is watched, and each change is pushed."""

from __future__ import annotations

import asyncio
import importlib
from collections.abc import AsyncGenerator, Callable
from pathlib import Path, PurePath
from typing import Any

from fastapi_app.errors import FolderError
from fastapi_app.services.sync import SyncService
from fastapi_app.storage.script_lock import LOCK
from fastapi_app.sync_models import EVERYTHING, Order, Outcome

SETTLES = 100
"""Milliseconds without a change after which what was saved is stored."""
AT_MOST = 1000
"""Milliseconds after which it is, though the folder is never quiet."""


async def watch(
    sync: SyncService, order: Order = EVERYTHING, *, follow: bool = True
) -> AsyncGenerator[Outcome, None]:
    """Push, and again whenever something changes; yields what came of it when it is news.

    Without `follow` it ends after the first push.

    Raises:
        FolderError, FolderBusyError, LockTooNewError, InvalidSyncError: as `push`.
    """
    if not follow:
        yield await sync.push(order)
        return
    changed, stop = asyncio.Event(), _Stop()
    noticing = await _begin(sync, changed.set, stop)
    last: Outcome | None = None
    try:
        while True:
            outcome = await sync.push(order)
            if last is None or outcome.done or _left(outcome) != _left(last):
                yield outcome
            last = outcome
            waiting = asyncio.create_task(changed.wait())
            await asyncio.wait({waiting, noticing}, return_when=asyncio.FIRST_COMPLETED)
            waiting.cancel()
            if noticing.done():
                await noticing
                noticing = await _begin(sync, changed.set, stop)
            changed.clear()
    finally:
        stop.set()
        await asyncio.gather(noticing, return_exceptions=True)


async def _begin(sync: SyncService, tell: Callable[[], None], stop: _Stop) -> asyncio.Task[None]:
    """Watch the folder, which is made if it is not there."""
    await asyncio.to_thread(sync.folder.make)
    task = asyncio.create_task(_notice(sync, tell, stop))
    # Its first step sets up the watch: what is saved from then on is seen.
    await asyncio.sleep(0)
    return task


class _Stop:
    """What watchfiles looks at between two looks at the folder, from its own thread."""

    def __init__(self) -> None:
        self._set = False

    def set(self) -> None:
        self._set = True

    def is_set(self) -> bool:
        return self._set


async def _notice(sync: SyncService, tell: Callable[[], None], stop: _Stop) -> None:
    """Tell of every change of a script, until it is stopped, or another folder stands there."""
    watchfiles = importlib.import_module("watchfiles")  # few ever watch
    root = sync.folder.root
    try:
        watched = _identity(root)
        async for _ in watchfiles.awatch(
            root,
            watch_filter=_relevant(root),
            stop_event=stop,
            step=SETTLES,
            debounce=AT_MOST,
            rust_timeout=AT_MOST,
            recursive=True,
        ):
            tell()
            if await asyncio.to_thread(_identity, root) != watched:
                return
    except OSError as error:
        raise FolderError(str(root), error.strerror or str(error)) from error


def _identity(root: Path) -> tuple[int, int] | None:
    try:
        found = root.stat()
    except FileNotFoundError:
        return None
    return found.st_dev, found.st_ino


def _relevant(root: PurePath) -> Callable[[Any, str], bool]:
    """Whether a change is of a script, and not of the lock or of a hidden file."""

    def relevant(_change: object, path: str) -> bool:
        parts = PurePath(path).relative_to(root).parts
        return parts != (LOCK,) and not any(part.startswith(".") for part in parts)

    return relevant


def _left(outcome: Outcome) -> tuple[object, ...]:
    return outcome.kept, outcome.conflicts, outcome.problems
