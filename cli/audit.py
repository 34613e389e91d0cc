"""`mclictl audit`: who did what that matters for security."""

from __future__ import annotations

import click

from cli import output
from cli.client import Client
from cli.output import Column
from cli.quantities import moment, read_by
from cli.verb import Target, Verb

AUDIT = "/api/v1/audit"
OUTCOMES = ("done", "denied", "failed")
LIMIT = 50
COLUMNS = [
    Column("WHEN", lambda entry: output.moment(entry.get("at"))),
    Column("WHO", lambda entry: entry.get("name") or entry.get("principal")),
    Column("FROM", "address"),
    Column("ACTION", "action"),
    Column("ON", "subject", shrinks=True),
    Column("OUTCOME", "outcome"),
    Column("DETAIL", "detail", shrinks=True),
]


@click.command(
    cls=Verb,
    examples=[
        "mclictl audit",
        "mclictl audit --action command.delete --since 7d",
        "mclictl audit --outcome denied --json | jq -r '.[].address'",
    ],
)
@click.option("--action", metavar="ACTION", help="Only this, such as command.create.")
@click.option("--subject", metavar="NAME", help="Only what was done to this.")
@click.option("--principal", metavar="KEY", help="Only what this one did, such as user:ann.")
@click.option("--outcome", type=click.Choice(OUTCOMES), help="Only what went like this.")
@click.option(
    "--since",
    metavar="WHEN",
    callback=read_by(moment),
    help="Only what was done since then: 2h (ago), 2026-11-22, 2026-11-22T14:00Z…",
)
@click.option("--until", metavar="WHEN", callback=read_by(moment), help="Only until then.")
@click.option("--limit", type=click.IntRange(1), default=LIMIT, show_default=True)
@click.pass_obj
def audit(
    target: Target,
    action: str | None,
    subject: str | None,
    principal: str | None,
    outcome: str | None,
    since: float | None,
    until: float | None,
    limit: int,
) -> None:
    """List what was done that matters for security, newest first; --json prints a list.

    Moves of legacy routes have a log of their own: `mclictl cutover audit`.
    """
    with Client(target.url) as client:
        found, more = client.collect(
            AUDIT,
            limit,
            action=action,
            subject=subject,
            principal=principal,
            outcome=outcome,
            since=since,
            until=until,
        )
    if target.json:
        output.print_json(found)
        return
    output.table(found, COLUMNS, empty="no entries")
    if more:
        click.echo("(there are more: --limit N)", err=True)
