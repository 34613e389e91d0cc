"""The options that say when a job is due, what it does, and how its slots are treated."""

from __future__ import annotations

import os
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from cli import names
from cli.options import env_option, pairs_option, together
from cli.quantities import read_by, seconds, some_seconds

if TYPE_CHECKING:
    from cli.client import Json

WHEN = (
    click.option("--cron", help="5 fields, 6 with seconds first, or @daily and the like."),
    click.option("--every", help="A period: 30s, 5m, 1h30m, 1d."),
    click.option("--at", help="Once: 2026-12-24T18:00."),
    click.option(
        "--timezone", metavar="ZONE", help="IANA's name.  [default: that of this machine]"
    ),
)
TASK = (
    click.option(
        "--command",
        "command_name",
        metavar="NAME",
        shell_complete=names.commands,
        help="Run this stored command.",
    ),
    click.option(
        "--workflow",
        metavar="NAME",
        shell_complete=names.commands,
        help="Run this stored document of steps.",
    ),
    click.option("--arg", "args", multiple=True, help="An argument of it; may be repeated."),
    click.option("--http", metavar="URL", help="Make an HTTP call."),
    click.option("--method", help="Of the call.  [default: GET]"),
    pairs_option("--header", "headers", help="Of the call; may be repeated."),
    click.option("--body", help="Of the call."),
    click.option(
        "--clean-up",
        metavar="TIME",
        callback=read_by(some_seconds),
        help="Forget runs that ended so long ago.",
    ),
    click.option(
        "--timeout", metavar="TIME", callback=read_by(some_seconds), help="End it after: 90s, 2m…"
    ),
    env_option,
    click.option("--cwd", type=click.Path(), help="Working folder.  [default: the server's]"),
    click.option(
        "--group", shell_complete=names.groups, help="Group of runs whose slots it shares."
    ),
    click.option("--retries", type=click.IntRange(0, 100), help="Try again so often."),
)
POLICY = (
    click.option(
        "--catch-up",
        type=click.Choice(["none", "latest", "all"]),
        help="Which moments to make up for that passed while no server ran.  [default: latest]",
    ),
    click.option(
        "--window",
        "catch_up_window",
        metavar="TIME",
        callback=read_by(seconds),
        help="But none that is older.  [default: 1d]",
    ),
    click.option(
        "--overlap",
        type=click.Choice(["skip", "queue", "allow"]),
        help="What to do when the run before has not ended.  [default: skip]",
    ),
    click.option("--jitter", metavar="TIME", callback=read_by(seconds), help="Put off by up to."),
    click.option("--start", metavar="MOMENT", help="Not before: 2026-12-01T00:00."),
    click.option("--end", metavar="MOMENT", help="Not after."),
    click.option("--max-runs", type=click.IntRange(1), help="No more after so many."),
    click.option("--description", help="What it is for."),
    click.option("--on-failure", metavar="URL", help="Tell failures there."),
    click.option(
        "--secret",
        help="Sign what is told: whsec_ and a key in base64, or any 16 characters and more.",
    ),
)


schedule_options = together(*WHEN)
"""When; `schedule_body` makes a body of their values."""
job_options = together(*WHEN, *TASK, *POLICY)
"""When, what and how; `task_body` and `policy_body` make bodies of the others."""


def local_zone() -> str:
    """IANA's name of this machine's time zone, if it has one; else UTC."""
    if name := os.environ.get("TZ", "").removeprefix(":"):
        return name
    _, found, name = str(Path("/etc/localtime").resolve()).partition("/zoneinfo/")
    return name if found else "UTC"


def schedule_body(given: Json) -> Json | None:
    """The schedule that the options give; `None` when they give none.

    Raises:
        click.UsageError: they give several, or half of one.
    """
    kinds = [kind for kind in ("cron", "every", "at") if given[kind] is not None]
    if not kinds:
        if given["timezone"] is not None:
            raise click.UsageError("--timezone needs --cron, --every or --at.")
        return None
    if len(kinds) > 1:
        raise click.UsageError("Give one of --cron, --every and --at.")
    return {kinds[0]: given[kinds[0]], "timezone": given["timezone"] or local_zone()}


def task_body(text: str | None, given: Json) -> Json | None:
    """The task that shell text or the options give; `None` when they give none.

    Raises:
        click.UsageError: they give several, or what belongs to none.
    """
    tasks: list[Json] = []
    if text is not None:
        tasks.append({"type": "shell", "command": text})
    if given["command_name"] is not None:
        tasks.append({"type": "command", "name": given["command_name"]})
    if given["workflow"] is not None:
        tasks.append({"type": "workflow", "name": given["workflow"]})
    if given["http"] is not None:
        tasks.append({"type": "http", "url": given["http"]})
    if given["clean_up"] is not None:
        tasks.append({"type": "cleanup", "older_than": given["clean_up"]})
    if len(tasks) > 1:
        raise click.UsageError("Give one thing to do, not several.")
    fields = {
        "args": list(given["args"]),
        "method": given["method"],
        "headers": given["headers"],
        "body": given["body"],
        "timeout": given["timeout"],
        "env": given["env"],
        "cwd": given["cwd"],
        "run_group": given["group"],
        "retries": given["retries"],
    }
    more = {name: value for name, value in fields.items() if value not in (None, {}, [])}
    if not tasks:
        if more:
            raise click.UsageError(f"--{next(iter(more))} needs the task it is for, too.")
        return None
    return tasks[0] | more


def policy_body(given: Json) -> Json:
    """How its slots are treated, and whom failures are told, as far as the options say.

    Raises:
        click.UsageError: they say half of it.
    """
    names = ("catch_up", "catch_up_window", "overlap", "jitter", "max_runs", "description")
    found = {name: given[name] for name in names if given[name] is not None}
    for name in ("start", "end"):
        if given[name] is not None:
            found[name] = _aware(name, given[name])
    if given["on_failure"] is not None:
        found["on_failure"] = {"url": given["on_failure"], "secret": given["secret"]}
    elif given["secret"] is not None:
        raise click.UsageError("--secret needs --on-failure URL.")
    return found


def _aware(name: str, text: str) -> str:
    try:
        return datetime.fromisoformat(text).astimezone().isoformat()
    except (ValueError, OverflowError) as failure:
        raise click.BadParameter(
            f"'{text}' is no moment such as 2026-12-01T00:00.", param_hint=f"--{name}"
        ) from failure
