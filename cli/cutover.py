"""`mclictl cutover`: which stack answers each legacy route."""

from __future__ import annotations

import click

from cli import output
from cli.client import Client, ClientError, Json
from cli.output import Column
from cli.verb import Noun, Target

ROUTES = "/api/v1/cutover/routes"
STAGES = ("legacy", "new")

COLUMNS = [
    Column("ROUTE", "route"),
    Column("STAGE", "stage"),
    Column("PERCENT", "percent", right=True),
    Column("SUCCESSOR", "successor", shrinks=True),
    Column("DEPRECATED", "deprecated"),
    Column("SUNSET", "sunset"),
]


@click.group(
    cls=Noun,
    examples=["mclictl cutover show", 'mclictl cutover set "POST /execute" legacy'],
)
def cutover() -> None:
    """Show and move legacy routes between the old and the new stack."""


def _print(rows: list[Json]) -> None:
    output.table(rows, COLUMNS, empty="no legacy routes")


@cutover.command(
    "show", examples=["mclictl cutover show", "mclictl cutover show --json | jq '.[].stage'"]
)
@click.pass_obj
def show(target: Target) -> None:
    """List every legacy route with its stage."""
    with Client(target.url) as client:
        try:
            rows = client.rows(ROUTES)
        except ClientError as failure:
            if failure.status != 404:
                raise
            raise ClientError(f"{target.url} serves no legacy routes.") from failure
    if target.json:
        output.print_json(rows)
    else:
        _print(rows)


@cutover.command(
    "set",
    examples=[
        'mclictl cutover set "POST /execute" legacy',
        'mclictl cutover set "POST /execute" new --json',
    ],
)
@click.argument("route")
@click.argument("stage", metavar="STAGE", type=click.Choice(STAGES))
@click.pass_obj
def set_(target: Target, route: str, stage: str) -> None:
    """Move ROUTE, such as "POST /execute", to STAGE: legacy or new."""
    body: Json = {"route": route, "stage": stage}
    with Client(target.url) as client:
        row = client.send("PUT", ROUTES, body)
    if target.json:
        output.print_json(row)
    else:
        _print([row])
