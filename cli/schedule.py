"""`mclictl schedule`: jobs that are due again and again, or once."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from urllib.parse import quote

import click
from rich.text import Text

from cli import names, output
from cli.client import Client, Json
from cli.confirm import confirm, yes_option
from cli.output import Column
from cli.schedule_options import (
    job_options,
    policy_body,
    schedule_body,
    schedule_options,
    task_body,
)
from cli.verb import Noun, Target, json_option, url_option
from cli.watching import shown, watch_option

SCHEDULER = "/api/v1/scheduler"
JOBS = f"{SCHEDULER}/jobs"


def _when(job: Json) -> str:
    schedule = job["schedule"]
    kind = next(kind for kind in ("cron", "every", "at") if schedule.get(kind))
    text = schedule[kind] if kind == "cron" else f"{kind} {schedule[kind].removeprefix('every ')}"
    zone = schedule["timezone"]
    return text if kind == "every" or zone == "UTC" else f"{text} {zone}"


def _what(job: Json) -> str:
    task = job["task"]
    kind = task["type"]
    if kind == "shell":
        return str(task["command"])
    if kind == "http":
        return f"{task.get('method', 'GET')} {task['url']}"
    if kind == "cleanup":
        return f"clean up after {output.duration(task['older_than'])}"
    return " ".join([kind, task["name"], *task.get("args", [])])


def _next(job: Json) -> str:
    if job["paused"]:
        return "paused"
    return _moment(job["next_at"]) or "never"


def _result(last: Json | None) -> Text:
    """What became of the latest moment; while its run is there, how that stands."""
    word = "-" if last is None else last["status"] or last["state"]
    return Text(word, style=output.STYLES.get(word, ""))


def _moment(text: str | None) -> str:
    """A moment that may lie ahead: on the clock of this machine for a person."""
    if not text or not output.terminal():
        return text or ""
    return datetime.fromisoformat(text).astimezone().strftime("%Y-%m-%d %H:%M:%S")


COLUMNS = [
    Column("NAME", "name"),
    Column("SCHEDULE", _when),
    Column("NEXT", _next),
    Column("LAST", lambda job: output.moment(job["last"] and job["last"]["at"])),
    Column("RESULT", lambda job: _result(job["last"])),
    Column("FIRED", "fired", right=True),
    Column("TASK", _what, shrinks=True),
]
SLOTS = [
    Column("AT", lambda slot: _moment(slot["at"])),
    Column("STATE", "state"),
    Column("RUN", lambda slot: slot["id"] if slot["status"] else ""),
    Column("STATUS", output.status_text),
    Column("CODE", "returncode", right=True),
    Column("REASON", "reason", shrinks=True),
]


def job_path(name: str) -> str:
    """Path of one job."""
    return f"{JOBS}/{quote(name, safe='')}"


@click.group(
    cls=Noun,
    invoke_without_command=True,
    examples=[
        "mclictl schedule",
        'mclictl schedule add nightly --cron "30 2 * * *" "make report"',
        "mclictl schedule runs nightly",
    ],
)
@click.pass_context
def schedule(ctx: click.Context) -> None:
    """List scheduled jobs; make, change, run, pause and remove them."""
    if ctx.invoked_subcommand is None:
        _list(ctx.ensure_object(Target))


schedule.params += [json_option(), url_option()]


def _list(target: Target) -> None:
    with Client(target.url) as client:
        found, _ = client.collect(JOBS)
    if target.json:
        output.print_json(found)
    else:
        output.table(found, COLUMNS, empty="no jobs")


def _print(target: Target, job: Json) -> None:
    if target.json:
        output.print_json(job)
    else:
        output.table([job], COLUMNS, empty="")


@schedule.command("list", examples=["mclictl schedule list", "mclictl schedule list --json"])
@watch_option
@click.pass_obj
def list_(target: Target, watch: bool) -> None:
    """List the jobs by name; --json prints a list."""
    shown(lambda: _list(target), watch=watch)


@schedule.command(
    "add",
    examples=[
        'mclictl schedule add nightly --cron "30 2 * * *" --timezone Europe/Berlin "make report"',
        "mclictl schedule add poll --every 5m --http https://example.com/health",
        "mclictl schedule add release --at 2026-12-24T18:00 --command deploy --arg v2",
        "mclictl schedule add tidy --cron @daily --clean-up 30d",
    ],
)
@click.argument("name")
@click.argument("shell", required=False, metavar="[SHELL TEXT]")
@job_options
@click.pass_obj
def add(target: Target, /, name: str, shell: str | None, **given: Any) -> None:  # noqa: ANN401
    """Schedule the job NAME: when (--cron, --every, --at), and what.

    What is shell text, or one of --command, --workflow, --http and --clean-up.
    """
    when, task = schedule_body(given), task_body(shell, given)
    if when is None:
        raise click.UsageError("When? Give --cron, --every or --at.")
    if task is None:
        raise click.UsageError(
            "What? Give shell text, --command, --workflow, --http or --clean-up."
        )
    body = {"name": name, "schedule": when, "task": task, **policy_body(given)}
    with Client(target.url) as client:
        _print(target, client.send("POST", JOBS, body))


@schedule.command(
    "edit",
    examples=[
        'mclictl schedule edit nightly --cron "0 3 * * *"',
        "mclictl schedule edit nightly --overlap queue --rename nightly-report",
    ],
)
@click.argument("name", shell_complete=names.jobs)
@click.argument("shell", required=False, metavar="[SHELL TEXT]")
@click.option("--rename", metavar="NAME", help="Give it another name.")
@job_options
@click.pass_obj
def edit(
    target: Target,
    /,
    name: str,
    shell: str | None,
    rename: str | None,
    **given: Any,  # noqa: ANN401
) -> None:
    """Change the job NAME; what is not given stays."""
    body = policy_body(given)
    if (when := schedule_body(given)) is not None:
        body["schedule"] = when
    if (task := task_body(shell, given)) is not None:
        body["task"] = task
    if rename is not None:
        body["name"] = rename
    if not body:
        raise click.UsageError("Give what is to be changed; --help lists it.")
    with Client(target.url) as client:
        _print(target, client.send("PATCH", job_path(name), body))


@schedule.command("show", examples=["mclictl schedule show nightly"])
@click.argument("name", shell_complete=names.jobs)
@click.pass_obj
def show(target: Target, name: str) -> None:
    """Show the job NAME, an id or a name."""
    with Client(target.url) as client:
        job = client.get(job_path(name))
    if target.json:
        output.print_json(job)
        return
    task = {key: value for key, value in job["task"].items() if key != "type"}
    told = {"schedule": _when(job), "task": f"{job['task']['type']}", **task}
    plain = {name: value for name, value in job.items() if name not in {"schedule", "task"}}
    output.details(plain | told)


@schedule.command("rm", examples=["mclictl schedule rm nightly", "mclictl schedule rm old --yes"])
@click.argument("names", nargs=-1, required=True, metavar="NAME...", shell_complete=names.jobs)
@yes_option
@click.pass_obj
def rm(target: Target, names: tuple[str, ...], yes: bool) -> None:
    """Forget jobs, and what became of their moments; runs stay, and go on."""
    confirm(f"Forget {', '.join(names)}?", yes=yes)
    with Client(target.url) as client:
        for name in names:
            client.send("DELETE", job_path(name))
            if not target.json:
                click.echo(f"removed {name}")
    if target.json:
        output.print_json({"removed": list(names)})


@schedule.command("run", examples=["mclictl schedule run nightly"])
@click.argument("name", shell_complete=names.jobs)
@click.pass_obj
def run(target: Target, name: str) -> None:
    """Do now what the job NAME does; prints the id of its run."""
    with Client(target.url) as client:
        slot = client.send("POST", f"{job_path(name)}/run")
    if target.json:
        output.print_json(slot)
    else:
        click.echo(slot["id"])


@schedule.command("pause", examples=["mclictl schedule pause nightly"])
@click.argument("name", shell_complete=names.jobs)
@click.pass_obj
def pause(target: Target, name: str) -> None:
    """Fire the job NAME no more; what runs goes on."""
    with Client(target.url) as client:
        _print(target, client.send("POST", f"{job_path(name)}/pause"))


@schedule.command("resume", examples=["mclictl schedule resume nightly"])
@click.argument("name", shell_complete=names.jobs)
@click.pass_obj
def resume(target: Target, name: str) -> None:
    """Fire the job NAME again, from now on."""
    with Client(target.url) as client:
        _print(target, client.send("POST", f"{job_path(name)}/resume"))


@schedule.command(
    "runs", examples=["mclictl schedule runs nightly", "mclictl schedule runs nightly -n 5 --json"]
)
@click.argument("name", shell_complete=names.jobs)
@click.option("-n", "--limit", type=click.IntRange(1), default=20, show_default=True)
@click.pass_obj
def runs(target: Target, name: str, limit: int) -> None:
    """Show what became of the moments of the job NAME, the latest first; --json prints a list."""
    with Client(target.url) as client:
        found, more = client.collect(f"{job_path(name)}/runs", limit=limit)
    if target.json:
        output.print_json(found)
        return
    output.table(found, SLOTS, empty="nothing yet")
    if more:
        click.echo(f"there are more; -n {2 * limit} shows them", err=True)


@schedule.command(
    "preview",
    examples=[
        'mclictl schedule preview --cron "30 2 * * *" --timezone Europe/Berlin',
        "mclictl schedule preview --every 90m -n 3",
    ],
)
@schedule_options
@click.option("-n", "--count", type=click.IntRange(1, 1000), default=5, show_default=True)
@click.pass_obj
def preview(target: Target, /, count: int, **given: Any) -> None:  # noqa: ANN401
    """Show the next moments of a schedule; nothing is stored. --json prints a list."""
    when = schedule_body(given)
    if when is None:
        raise click.UsageError("When? Give --cron, --every or --at.")
    with Client(target.url) as client:
        found = client.send("POST", f"{SCHEDULER}/preview", {"schedule": when, "count": count})
    if target.json:
        output.print_json(found["items"])
        return
    for item in found["items"]:
        click.echo(item["local"])
    if not found["items"]:
        click.echo("none", err=True)
