"""`mclictl runs` and `show`: what ran, however it was started, and how it ended."""

from __future__ import annotations

import shlex
from datetime import UTC, datetime

import click

from cli import names, output
from cli.client import RUNS, Client, ClientError, Json, UnknownRun, run_path
from cli.output import Column
from cli.quantities import moment, read_by
from cli.verb import Target, Verb
from cli.watching import shown, watch_option

STATUSES = ("queued", "running", "completed", "failed", "cancelled", "timed_out", "lost")
KINDS = ("execute", "workflow", "step", "process")
LIMIT = 50

of_group_option = click.option(
    "--group", shell_complete=names.groups, help="Only runs of this group."
)
of_name_option = click.option(
    "--name",
    shell_complete=names.commands_and_processes,
    help="Only runs of the stored command or process of this name.",
)


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


def print_runs(target: Target, found: list[Json], *, more: bool, empty: str = "no runs") -> None:
    """Print runs as a table, or as a JSON list; `empty` is said when there are none."""
    if target.json:
        output.print_json(found)
        return
    output.table(found, COLUMNS, empty=empty)
    if more:
        click.echo("(there are more: --limit N or --all)", err=True)


@click.command(
    cls=Verb,
    examples=[
        "mclictl runs",
        "mclictl runs --status failed --status lost --limit 10",
        "mclictl runs --group nightly --since 2h",
        "mclictl runs --kind process --all --json | jq '.[].id'",
    ],
)
@click.option("--status", type=click.Choice(STATUSES), multiple=True, help="May be repeated.")
@of_name_option
@click.option(
    "--kind", type=click.Choice(KINDS), help="Steps and processes are listed only when asked for."
)
@of_group_option
@click.option(
    "--since",
    metavar="WHEN",
    callback=read_by(moment),
    help="Only runs accepted since then: 2h (ago), 2026-11-22, 2026-11-22T14:00Z…",
)
@click.option("--until", metavar="WHEN", callback=read_by(moment), help="Only runs until then.")
@click.option("--limit", type=click.IntRange(1), default=LIMIT, show_default=True)
@click.option("--all", "everything", is_flag=True, help="All there are, whatever the limit.")
@watch_option
@click.pass_obj
def runs(
    target: Target,
    status: tuple[str, ...],
    name: str | None,
    kind: str | None,
    group: str | None,
    since: float | None,
    until: float | None,
    limit: int,
    everything: bool,
    watch: bool,
) -> None:
    """List runs, newest first; --json prints a list."""
    hint = "" if kind else "; those of processes and steps have --kind process, --kind step"
    wanted = {
        "status": status or None,
        "name": name,
        "kind": kind,
        "group": group,
        "since": since,
        "until": until,
    }

    def show() -> None:
        with Client(target.url) as client:
            found, more = client.collect(f"{RUNS}/list", None if everything else limit, **wanted)
        print_runs(target, found, more=more, empty=f"no runs{hint}")

    shown(show, watch=watch)


def existing(
    client: Client,
    run_id: str,
    method: str = "GET",
    path: str = "",
    body: Json | None = None,
    *,
    patient: bool = False,
) -> Json:
    """Ask for something of one run; say clearly when there is no such run."""
    try:
        return client.send(method, run_path(run_id) + path, body, patient=patient)
    except ClientError as failure:
        if failure.status == 404 and not isinstance(failure, UnknownRun):
            raise UnknownRun(run_id) from failure
        raise


HISTORY = [
    Column("WHEN", lambda change: output.moment(change.get("at"))),
    Column("STATUS", output.status_text),
    Column("ATTEMPT", "attempt", right=True),
    Column("REASON", "reason", shrinks=True),
]
STEPS = [
    Column("STEP", "name"),
    Column("STATUS", output.status_text),
    Column("RC", "returncode", right=True),
    Column("TOOK", took, right=True),
    Column("ID", "id"),
    Column("REASON", "reason", shrinks=True),
]


@click.command(cls=Verb, examples=["mclictl show 01938e5c-6f4e-7cc2-9c4e-0d5d0f2a8b11"])
@click.argument("run_id", metavar="ID", shell_complete=names.runs)
@click.pass_obj
def show(target: Target, run_id: str) -> None:
    """Show everything about the run ID: how it is run, how far it is, its history and its steps.

    --json prints the run with its history, a list, and its step_runs, a list.
    """
    with Client(target.url) as client:
        found = existing(client, run_id)
        history = existing(client, run_id, path="/history")["items"]
        steps = client.collect(f"{run_path(run_id)}/steps")[0] if found.get("steps") else []
    if target.json:
        output.print_json(found | {"history": history, "step_runs": steps})
        return
    output.details(_shown(found))
    for rows, columns in ((history, HISTORY), (steps, STEPS)):
        if rows:
            click.echo()
            output.table(rows, columns, empty="")


def _shown(run: Json) -> Json:
    """The fields of a run as people read them; options that are not used are left out."""
    shown = dict(run)
    shown["status"] = output.status_text(run)
    shown["args"] = shlex.join(run.get("args") or [])
    for name in ("created_at", "started_at", "finished_at"):
        shown[name.removesuffix("_at")] = output.moment(shown.pop(name, None))
    shown.pop("duration_seconds", None)
    shown["took"] = took(run)
    for name in ("stdout", "stderr"):
        shown[name] = output.size(shown.pop(f"{name}_bytes", None))
    shown["not_before"] = output.moment(run.get("not_before"))
    shown["on"] = run.get("on") if run.get("after") else None
    shown["retries"] = _retries(run.get("retries") or {})
    shown["limits"] = _limits(run.get("limits") or {})
    shown["progress"] = _progress(run.get("progress") or {})
    for name in UNUSED:
        if not shown.get(name):
            shown.pop(name, None)
    return shown


UNUSED = (
    "env", "secrets", "priority", "after", "on", "retries", "limits", "stdin", "parent_id", "steps",
    "retry_of", "not_before", "progress",
)  # fmt: skip


def _retries(retry: Json) -> str:
    if not retry.get("times"):
        return ""
    first, longest = output.duration(retry["delay"]), output.duration(retry["longest"])
    return f"{retry['times']}, after {first}, each {retry['factor']:g} times longer up to {longest}"


def _limits(limits: Json) -> str:
    said = [
        f"nice {limits['nice']}" if limits.get("nice") else "",
        f"memory {output.size(limits['memory'])}" if limits.get("memory") else "",
        f"processor {output.duration(limits['cpu'])}" if limits.get("cpu") else "",
        f"processes {limits['processes']}" if limits.get("processes") else "",
    ]
    return ", ".join(filter(None, said))


def _progress(progress: Json) -> str:
    if not progress:
        return ""
    return f"{progress['percent']:g} % {progress.get('message') or ''}".rstrip()
