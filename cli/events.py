"""`mclictl events`: what happens to runs, as it happens."""

from __future__ import annotations

import click
from rich.console import Console
from rich.text import Text

from cli import output
from cli.client import Client, Json
from cli.live import status_events
from cli.runs import KINDS, STATUSES, of_group_option, of_name_option
from cli.verb import Target, Verb

STATUS_WIDTH = max(map(len, STATUSES))


@click.command(
    cls=Verb,
    examples=[
        "mclictl events",
        "mclictl events --status failed --status lost --group nightly",
        "mclictl events --since 0 --json | jq -r .job_id",
    ],
)
@click.option("--status", type=click.Choice(STATUSES), multiple=True, help="May be repeated.")
@of_group_option
@of_name_option
@click.option("--kind", type=click.Choice(KINDS), help="Only runs of this kind.")
@click.option(
    "--since",
    metavar="SEQ",
    type=click.IntRange(0),
    help="Begin behind the event of this number.  [default: with what happens next]",
)
@click.pass_obj
def events(
    target: Target,
    status: tuple[str, ...],
    group: str | None,
    name: str | None,
    kind: str | None,
    since: int | None,
) -> None:
    """Print each change of a run's status, until Ctrl-C; --json prints one event on each line.

    It goes on across restarts of the server, from the last event it saw.
    """
    with Client(target.url) as client:
        for event in status_events(client, since, status=status, group=group, name=name, kind=kind):
            if target.json:
                output.print_json_line(event)
            else:
                _print(event)


def _print(event: Json) -> None:
    status = output.status_text(event)
    status.pad_right(STATUS_WIDTH - len(status))
    line = Text(" ").join(
        [
            output.plain(event["timestamp"]),
            output.plain(event["job_id"]),
            status,
            output.plain(event.get("name")),
            *([output.plain(event["reason"])] if event.get("reason") else []),
        ]
    )
    if output.terminal():
        Console(highlight=False, soft_wrap=True).print(line)
    else:
        click.echo(line.plain)
