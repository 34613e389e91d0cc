"""The options that say what a process runs, and how it is looked after."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from cli.options import pairs_option, together
from cli.quantities import read_by, seconds, some_seconds

if TYPE_CHECKING:
    from cli.client import Json

BACKOFF = ("delay", "longest", "reset_after")
HEALTH = {
    "health_command": "command",
    "health_url": "url",
    "health_interval": "interval",
    "health_timeout": "timeout",
    "health_retries": "retries",
    "health_grace": "grace",
}
FOR_EVER = 0

OPTIONS = (
    click.option("--cwd", metavar="FOLDER", help="Working folder.  [default: the server's]"),
    pairs_option("--env", help="Set a variable; repeatable."),
    click.option(
        "--restart",
        type=click.Choice(["no", "on-failure", "always"]),
        help="After which ends to start it again.  [default: no]",
    ),
    click.option(
        "--delay",
        metavar="TIME",
        callback=read_by(some_seconds),
        help="Before the first restart, then twice as long each.  [default: 1s]",
    ),
    click.option(
        "--longest",
        metavar="TIME",
        callback=read_by(some_seconds),
        help="A restart waits at most so long.  [default: 1m]",
    ),
    click.option(
        "--reset-after",
        metavar="TIME",
        callback=read_by(seconds),
        help="Once it was up so long, restarts are counted anew.  [default: 1m]",
    ),
    click.option(
        "--give-up-after",
        type=click.IntRange(FOR_EVER),
        metavar="N",
        help="Restarts in a row after which there is no other; 0: never give up.  [default: 10]",
    ),
    click.option("--health-command", metavar="TEXT", help="Healthy when this exits with 0."),
    click.option("--health-url", metavar="URL", help="Healthy when this answers 2xx or 3xx."),
    click.option(
        "--health-interval", metavar="TIME", callback=read_by(some_seconds), help="[default: 30s]"
    ),
    click.option(
        "--health-timeout", metavar="TIME", callback=read_by(some_seconds), help="[default: 5s]"
    ),
    click.option("--health-retries", type=click.IntRange(1, 1000), help="[default: 3]"),
    click.option(
        "--health-grace",
        metavar="TIME",
        callback=read_by(seconds),
        help="Failures so soon after the start do not count.  [default: 0s]",
    ),
    click.option(
        "--autostart/--no-autostart",
        default=None,
        help="Start it with the server, unless somebody has stopped it.",
    ),
)


process_options = together(*OPTIONS)
"""What says how a process is; `described` makes a body of their values."""


def described(given: Json, before: Json | None = None) -> dict[str, Any]:
    """The body that the options given ask for; a part of `before` that one changes stays else."""
    before = before or {}
    body: dict[str, Any] = {
        name: given[name] for name in ("cwd", "restart", "autostart") if given[name] is not None
    }
    if given["env"]:
        body["env"] = {**before.get("env", {}), **given["env"]}
    backoff = {name: given[name] for name in BACKOFF if given[name] is not None}
    if (most := given["give_up_after"]) is not None:
        backoff["give_up_after"] = None if most == FOR_EVER else most
    if backoff:
        body["backoff"] = {**before.get("backoff", {}), **backoff}
    health = {name: given[key] for key, name in HEALTH.items() if given[key] is not None}
    if health:
        known = dict(before.get("health_check") or {})
        if {"command", "url"} & health.keys():
            known.pop("command", None)
            known.pop("url", None)
        body["health"] = {k: v for k, v in {**known, **health}.items() if v is not None}
    return body
