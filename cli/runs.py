"""`mclictl runs`, `show`, `logs` and `stop`: look after runs, however they were started."""

from __future__ import annotations

import re
import shlex
from datetime import UTC, datetime

import click

from cli import output
from cli.client import RUNS, Client, ClientError, Json, UnknownRun, run_path
from cli.follow import Position, follow
from cli.output import Column
from cli.verb import Target, Verb

STATUSES = ("queued", "running", "completed", "failed", "cancelled", "timed_out", "lost")
KINDS = ("execute", "workflow", "process")
LIMIT = 50


def took(run: Json) -> str:
    """Say how long a run took, or has been going on."""
    seconds = run.get("duration_seconds")
    started = run.get("started_at")
    if seconds is None and started and run.get("status") == "running":
        seconds = (datetime.now(UTC) - datetime.fromisoformat(started)).total_seconds()
    return output.duration(seconds)


def what(run: Json) -> str:
    """Name a run: a stored command by its call, anything else by its shell text."""
    args: list[str] = run.get("args") or []
    if run.get("kind") == "workflow" and run.get("name"):
        return shlex.join([run["name"], *args])
    return str(run.get("command") or run.get("name") or "")


COLUMNS = [
    Column("ID", "id"),
    Column("STATUS", output.status_text),
    Column("COMMAND", what, shrinks=True),
    Column("RC", "returncode", right=True),
    Column("STARTED", lambda run: output.moment(run.get("started_at"))),
    Column("TOOK", took, right=True),
]


def print_runs(target: Target, found: list[Json], *, more: bool) -> None:
    """Print runs as a table, or as a JSON list."""
    if target.json:
        output.print_json(found)
        return
    output.table(found, COLUMNS, empty="no runs")
    if more:
        click.echo("(there are more: --limit N or --all)", err=True)


@click.command(
    cls=Verb,
    examples=[
        "mclictl runs",
        "mclictl runs --status failed --status lost --limit 10",
        "mclictl runs --kind process --all --json | jq '.[].id'",
    ],
)
@click.option("--status", type=click.Choice(STATUSES), multiple=True, help="May be repeated.")
@click.option("--name", help="Only runs of the stored command or process of this name.")
@click.option("--kind", type=click.Choice(KINDS), help="Processes are listed only when asked for.")
@click.option("--limit", type=click.IntRange(1), default=LIMIT, show_default=True)
@click.option("--all", "everything", is_flag=True, help="All there are, whatever the limit.")
@click.pass_obj
def runs(
    target: Target,
    status: tuple[str, ...],
    name: str | None,
    kind: str | None,
    limit: int,
    everything: bool,
) -> None:
    """List runs, newest first; --json prints a list."""
    with Client(target.url) as client:
        found, more = client.collect(
            f"{RUNS}/list",
            None if everything else limit,
            status=status or None,
            name=name,
            kind=kind,
        )
    print_runs(target, found, more=more)


def existing(client: Client, run_id: str, method: str = "GET", path: str = "") -> Json:
    """GET or POST something of one run; say clearly when there is no such run."""
    try:
        return client.send(method, run_path(run_id) + path)
    except ClientError as failure:
        if failure.status == 404 and not isinstance(failure, UnknownRun):
            raise UnknownRun(run_id) from failure
        raise


@click.command(cls=Verb, examples=["mclictl show 01938e5c-6f4e-7cc2-9c4e-0d5d0f2a8b11"])
@click.argument("run_id", metavar="ID")
@click.pass_obj
def show(target: Target, run_id: str) -> None:
    """Show everything about the run ID."""
    with Client(target.url) as client:
        found = existing(client, run_id)
    if target.json:
        output.print_json(found)
        return
    shown = dict(found)
    shown["status"] = output.status_text(found)
    shown["args"] = shlex.join(found.get("args") or [])
    for name in ("created_at", "started_at", "finished_at"):
        shown[name.removesuffix("_at")] = output.moment(shown.pop(name, None))
    shown.pop("duration_seconds", None)
    shown["took"] = took(found)
    for name in ("stdout", "stderr"):
        shown[name] = output.size(shown.pop(f"{name}_bytes", None))
    output.details(shown)


def _offset(_ctx: click.Context, _param: click.Parameter, value: str | None) -> str | None:
    if value is not None and not re.fullmatch(r"[0-9]+(,[0-9]+)?", value):
        raise click.BadParameter("must be a number of bytes, N, or N,M for stdout and stderr.")
    return value


@click.command(
    cls=Verb,
    examples=[
        "mclictl logs 01938e5c-6f4e-7cc2-9c4e-0d5d0f2a8b11",
        "mclictl logs -f --stream stderr 01938e5c-6f4e-7cc2-9c4e-0d5d0f2a8b11",
    ],
)
@click.argument("run_id", metavar="ID")
@click.option("--follow", "-f", "following", is_flag=True, help="Go on until the run is over.")
@click.option(
    "--stream",
    type=click.Choice(["stdout", "stderr", "all"]),
    default="all",
    show_default=True,
    help="With `all`, what went to stderr is written to stderr.",
)
@click.option(
    "--offset",
    metavar="N[,M]",
    callback=_offset,
    help="Start behind byte N of the stream, or of stdout (and M of stderr).",
)
@click.pass_obj
def logs(target: Target, run_id: str, following: bool, stream: str, offset: str | None) -> None:
    """Print the output of the run ID, or follow it, across restarts of the server too.

    --json prints a list of log events; with --follow, one event on each line.
    """
    with Client(target.url) as client:
        if following:
            events = follow(client, run_id, Position.parse(stream, offset))
        else:
            existing(client, run_id)
            path = f"{run_path(run_id)}/logs"
            events = client.events("GET", path, stream=stream, offset=offset)
        if target.json and not following:
            output.print_json_list(events)
            return
        for event in events:
            if target.json:
                output.print_json_line(event)
            elif event.get("type") == "log":
                output.write_log(event, split=stream == "all")


@click.command(cls=Verb, examples=["mclictl stop 01938e5c-6f4e-7cc2-9c4e-0d5d0f2a8b11"])
@click.argument("run_id", metavar="ID")
@click.pass_obj
def stop(target: Target, run_id: str) -> None:
    """Stop the run ID, and say which signal it took."""
    with Client(target.url) as client:
        print_stopped(target, existing(client, run_id, "POST", "/stop"))


def print_stopped(target: Target, stopped: Json) -> None:
    """Print how a stop went."""
    if target.json:
        output.print_json(stopped)
    elif stopped.get("signal"):
        click.echo(f"{stopped['id']} {stopped['status']}: ended by {stopped['signal']}")
    else:
        click.echo(f"{stopped['id']} was over already: {stopped['status']}")
