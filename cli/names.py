"""Names for the shell to complete, from the server; none when it does not answer at once."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cli.client import Client
from cli.verb import Target

if TYPE_CHECKING:
    from collections.abc import Callable

    import click

    Complete = Callable[[click.Context, click.Parameter, str], list[str]]

WITHIN = 1.0
"""Seconds: somebody waits for the tab key."""
MOST = 200


def _of(path: str, field: str) -> Complete:
    def complete(ctx: click.Context, _param: click.Parameter, incomplete: str) -> list[str]:
        target = ctx.find_object(Target) or Target()
        try:
            with Client(target.url, WITHIN) as client:
                found = client.get(path)["items"]
        except Exception:
            return []
        names = dict.fromkeys(str(item[field]) for item in found if item[field] is not None)
        return [name for name in names if name.startswith(incomplete)]

    return complete


runs = _of(f"/api/v1/workflows/list?limit={MOST}", "id")
commands = _of(f"/api/v1/commands/list?all=true&limit={MOST}", "name")
command_groups = _of(f"/api/v1/commands/list?all=true&limit={MOST}", "group")
tags = _of("/api/v1/commands/tags", "tag")
groups = _of("/api/v1/groups", "name")
processes = _of(f"/api/v1/daemon/processes?limit={MOST}", "name")
jobs = _of(f"/api/v1/scheduler/jobs?limit={MOST}", "name")
users = _of("/api/v1/auth/users", "name")
keys = _of("/api/v1/auth/keys", "id")


def commands_and_processes(
    ctx: click.Context, param: click.Parameter, incomplete: str
) -> list[str]:
    """What a run may be named after."""
    return [*commands(ctx, param, incomplete), *processes(ctx, param, incomplete)]
