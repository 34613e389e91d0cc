"""How a run ended, as an exit code and in words."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from collections.abc import Iterable

    from cli.client import Json

FINAL = ("completed", "failed", "cancelled", "timed_out", "lost")
ALIVE = ("starting", "running", "backoff")  # a process that runs, or will by itself
EXIT_TIMED_OUT = 124  # as timeout(1) says it
EXIT_NOT_RUN = 125  # as docker, env and timeout say that they, not the command, failed
EXIT_SIGNAL = 128  # as shells say it: 128 + number


def exit_code(ended: Json) -> int:
    """Give the exit code a shell would give for how a run ended."""
    if ended.get("status") == "timed_out":
        return EXIT_TIMED_OUT
    code = ended.get("returncode")
    if not isinstance(code, int):
        return EXIT_NOT_RUN
    return code if code >= 0 else EXIT_SIGNAL - code


def explain(ended: Json, label: str = "") -> None:
    """Say why a run has no exit code of its own."""
    if exit_code(ended) in (EXIT_TIMED_OUT, EXIT_NOT_RUN):
        reason = ended.get("reason") or ended.get("error") or ""
        named = f"{label}: " if label else ""
        click.echo(f"mclictl: {named}{ended.get('status')}{reason and f': {reason}'}", err=True)


def first_failure(codes: Iterable[int]) -> int:
    """The first exit code that is not 0."""
    return next((code for code in codes if code), 0)
