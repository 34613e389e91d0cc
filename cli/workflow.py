"""`mclictl workflow`: runs of stored commands."""

from __future__ import annotations

import click

from cli import output
from cli.client import RUNS, Client, ClientError, Json, is_run_id
from cli.follow import Position, follow
from cli.run import exit_code, explain, show_until_end
from cli.runs import LIMIT, STATUSES, existing, print_runs, print_stopped
from cli.verb import Noun, Target, env_option


@click.group(cls=Noun, examples=["mclictl workflow start report 2026-11", "mclictl workflow list"])
def workflow() -> None:
    """Start, list and stop runs of stored commands."""


@workflow.command(
    "start",
    examples=[
        "mclictl workflow start report 2026-11 --env STAGE=test",
        "mclictl workflow start report --wait -- --verbose",
    ],
)
@click.argument("name")
@click.argument("args", nargs=-1)
@env_option
@click.option("--timeout", type=click.FloatRange(0, min_open=True), help="End it after seconds.")
@click.option(
    "--wait", "--follow", "-f", "wait", is_flag=True, help="Show its output until it is over."
)
@click.pass_context
def start(
    ctx: click.Context,
    name: str,
    args: tuple[str, ...],
    env: dict[str, str],
    timeout: float | None,
    wait: bool,
) -> None:
    """Run the stored command NAME with ARGS; options for it go behind `--`.

    Prints the run's id. With --wait, prints its output instead, and exits as `mclictl run` does;
    Ctrl-C then leaves the run going. With --wait and --json, prints the run once it is over.
    """
    target = ctx.ensure_object(Target)
    body: Json = {"name": name, "args": list(args), "env": env}
    if timeout is not None:
        body["timeout"] = timeout
    with Client(target.url) as client:
        started = client.send("POST", f"{RUNS}/start", body)
        if wait:
            ctx.exit(_wait(client, started["job_id"], target))
    if target.json:
        output.print_json(started)
    else:
        click.echo(started["job_id"])


def _wait(client: Client, run_id: str, target: Target) -> int:
    events = follow(client, run_id, Position("all"))
    if target.json:
        for _ in events:
            pass
        ended = existing(client, run_id)
        output.print_json(ended)
    else:
        ended = show_until_end(events)
    explain(ended)
    return exit_code(ended)


@workflow.command(
    "list", examples=["mclictl workflow list", "mclictl workflow list --status running --json"]
)
@click.option("--status", type=click.Choice(STATUSES), multiple=True, help="May be repeated.")
@click.option("--name", help="Only runs of this stored command.")
@click.option("--limit", type=click.IntRange(1), default=LIMIT, show_default=True)
@click.option("--all", "everything", is_flag=True, help="All there are, whatever the limit.")
@click.pass_obj
def list_(
    target: Target, status: tuple[str, ...], name: str | None, limit: int, everything: bool
) -> None:
    """List runs of stored commands, newest first; --json prints a list."""
    with Client(target.url) as client:
        found, more = client.collect(
            f"{RUNS}/list",
            None if everything else limit,
            kind="workflow",
            status=status or None,
            name=name,
        )
    print_runs(target, found, more=more)


@workflow.command(
    "stop",
    examples=[
        "mclictl workflow stop report",
        "mclictl workflow stop 01938e5c-6f4e-7cc2-9c4e-0d5d0f2a8b11",
    ],
)
@click.argument("id_or_name")
@click.pass_obj
def stop(target: Target, id_or_name: str) -> None:
    """Stop a run by its id, or the most recently started one of a stored command."""
    with Client(target.url) as client:
        run_id = id_or_name if is_run_id(id_or_name) else _latest(client, id_or_name)
        print_stopped(target, existing(client, run_id, "POST", "/stop"))


def _latest(client: Client, name: str) -> str:
    found, _ = client.collect(
        f"{RUNS}/list", 2, kind="workflow", name=name, status=("queued", "running")
    )
    if not found:
        raise ClientError(f"No run of '{name}' is going on.", status=404)
    if len(found) > 1:
        click.echo(f"More than one run of '{name}' is going on; stopping the latest.", err=True)
    return str(found[0]["id"])
