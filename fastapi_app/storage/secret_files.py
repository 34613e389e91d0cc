"""Secrets in files that only their owner can read."""

from __future__ import annotations

import logging
import os
import stat
from collections.abc import Callable
from pathlib import Path

from fastapi_app.errors import StartupError

log = logging.getLogger(__name__)


def read_or_make(path: Path, make: Callable[[], str], *, at_least: int) -> str:
    """The secret in the file, which is made when it is missing; `at_least` is characters.

    Raises:
        StartupError: it cannot be read or made, or is too short to be a secret.
    """
    try:
        try:
            _make(path, make())
        except FileExistsError:
            _close_to_others(path)
        secret = path.read_text(encoding="ascii").strip()
    except (OSError, ValueError) as error:
        raise StartupError(
            f"{path} cannot be used: {error}. Mend its rights, or delete it."
        ) from error
    if len(secret) < at_least:
        raise StartupError(
            f"{path} has less than {at_least} characters: delete it to get a new one."
        )
    return secret


def _make(path: Path, secret: str) -> None:
    """Write it beside the place and link it there, so that nobody ever reads half of it."""
    if path.exists():
        raise FileExistsError(path)
    new = path.with_name(f".{path.name}.{os.getpid()}")
    descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    try:
        with os.fdopen(descriptor, "w", encoding="ascii") as file:
            file.write(f"{secret}\n")
            file.flush()
            os.fsync(file.fileno())
        os.link(new, path)
    finally:
        new.unlink()


def _close_to_others(path: Path) -> None:
    mode = path.stat().st_mode
    if mode & (stat.S_IRWXG | stat.S_IRWXO):
        path.chmod(0o600)
        log.warning("%s could be read by others: its mode is 0600 now; consider a new one", path)
