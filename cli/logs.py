"""`mclictl logs`: what a run has printed."""

from __future__ import annotations

import re

import click

from cli import names, output
from cli.client import Client, run_path
from cli.live import Position, follow
from cli.runs import existing
from cli.verb import Target, Verb


def _offset(_ctx: click.Context, _param: click.Parameter, value: str | None) -> str | None:
    if value is not None and not re.fullmatch(r"[0-9]+(,[0-9]+)?", value):
        raise click.BadParameter("must be a number of bytes, N, or N,M for stdout and stderr.")
    return value


offset_option = click.option(
    "--offset",
    metavar="N[,M]",
    callback=_offset,
    help="Start behind byte N of the stream, or of stdout (and M of stderr).",
)


@click.command(
    cls=Verb,
    examples=[
        "mclictl logs 01938e5c-6f4e-7cc2-9c4e-0d5d0f2a8b11",
        "mclictl logs -f --stream stderr 01938e5c-6f4e-7cc2-9c4e-0d5d0f2a8b11",
    ],
)
@click.argument("run_id", metavar="ID", shell_complete=names.runs)
@click.option("--follow", "-f", "following", is_flag=True, help="Go on until the run is over.")
@click.option(
    "--stream",
    type=click.Choice(["stdout", "stderr", "all"]),
    default="all",
    show_default=True,
    help="With `all`, what went to stderr is written to stderr.",
)
@offset_option
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
