"""`mclictl workflow`: runs of stored commands."""

from __future__ import annotations

from typing import Any

import click

from cli import names
from cli.client import RUNS, Client, ClientError, Json, is_run_id
from cli.control import print_stopped
from cli.follow import print_started, require_wait, wait_option
from cli.options import params_option, progress_option, requested, run_options
from cli.runs import LIMIT, STATUSES, existing, print_runs
from cli.verb import Noun, Target


@click.group(cls=Noun, examples=["mclictl workflow start report 2026-11", "mclictl workflow list"])
def workflow() -> None:
    """Start, list and stop runs of stored commands."""


@workflow.command(
    "start",
    examples=[
        "mclictl workflow start report 2026-11 --env STAGE=test",
        "mclictl workflow start report --wait --progress -- --verbose",
        "mclictl workflow start report --group nightly --retries 3 --retry-delay 10s",
        "mclictl workflow start report --param month=2026-11 --param format=pdf",
    ],
)
@click.argument("name", shell_complete=names.commands)
@click.argument("args", nargs=-1)
@params_option
@run_options
@wait_option
@progress_option
@click.pass_context
def start(
    ctx: click.Context,
    /,
    name: str,
    args: tuple[str, ...],
    wait: bool,
    progress: bool,
    **given: Any,  # noqa: ANN401 - the values of the options that all runs share
) -> None:
    """Run the stored command NAME with ARGS; options for it go behind `--`.

    Prints the run's id. With --wait, prints its output instead, and exits as `mclictl run` does;
    Ctrl-C then leaves the run going. With --wait and --json, prints the run once it is over.
    """
    target = ctx.ensure_object(Target)
    require_wait(target, wait=wait, progress=progress)
    body: Json = {"name": name, "args": list(args)} | requested(given)
    with Client(target.url) as client:
        started = client.send("POST", f"{RUNS}/start", body)
        ctx.exit(print_started(client, started, target, wait=wait, progress=progress))


@workflow.command(
    "list", examples=["mclictl workflow list", "mclictl workflow list --status running --json"]
)
@click.option("--status", type=click.Choice(STATUSES), multiple=True, help="May be repeated.")
@click.option("--name", shell_complete=names.commands, help="Only runs of this stored command.")
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
@click.argument("id_or_name", shell_complete=names.commands)
@click.pass_obj
def stop(target: Target, id_or_name: str) -> None:
    """Stop a run by its id, or the most recently started one of a stored command."""
    with Client(target.url) as client:
        run_id = id_or_name if is_run_id(id_or_name) else _latest(client, id_or_name)
        print_stopped(target, [existing(client, run_id, "POST", "/stop", patient=True)])


def _latest(client: Client, name: str) -> str:
    found, _ = client.collect(
        f"{RUNS}/list", 2, kind="workflow", name=name, status=("queued", "running")
    )
    if not found:
        raise ClientError(f"No run of '{name}' is going on.", status=404)
    if len(found) > 1:
        click.echo(f"More than one run of '{name}' is going on; stopping the latest.", err=True)
    return str(found[0]["id"])
