"""`mclictl cutover`: which stack answers each legacy route, how well, and for whom."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from urllib.parse import quote

import click

from cli import output
from cli.client import Client, Json
from cli.old_routes import API, me, print_rows, rows_of, stage_text, styled
from cli.output import Column
from cli.prove import prove, record
from cli.quantities import read_by, some_seconds
from cli.rollout import rollout
from cli.verb import Noun, Target

# With this module all of these commands go.
__all__ = ["cutover", "prove", "record", "rollout"]

ROUTES = f"{API}/routes"
STAGES = ("legacy", "shadow", "canary", "new", "brownout", "gone")


def _share(value: float | None) -> str:
    return "" if value is None else f"{value:.3%}"


def _side(row: Json, side: str) -> object:
    """What one stack answered there, in the latest sample."""
    return row["samples"][-1]["differs"][side] if row["samples"] else None


def _begin(text: str) -> str:
    """Read an ISO 8601 time, local without a zone; the server wants one with a zone."""
    try:
        return datetime.fromisoformat(text).astimezone().isoformat()
    except (ValueError, OverflowError) as failure:
        raise ValueError(f"'{text}' is not a time such as 2026-12-01T09:00.") from failure


SHOWN = [
    Column("ROUTE", "route"),
    Column("STAGE", stage_text),
    Column("PERCENT", "percent", right=True),
    Column("SINCE", lambda row: output.moment(row["changed_at"])),
    Column("ROLLOUT", "rollout", shrinks=True),
    Column("SUCCESSOR", "successor", shrinks=True),
    Column("SUNSET", lambda row: row["sunset"][:10]),
]
SIDES = (("old: ", "control"), ("new: ", "candidate"))
STACKS = ("legacy", "new", "shadow")
STATS = [
    Column("ROUTE", "route"),
    Column("STAGE", stage_text),
    Column("STACK", lambda row: styled(row["stack"])),
    Column("CALLS", "requests", right=True),
    Column("ERRORS", "errors", right=True),
    Column("P50 MS", "p50_ms", right=True),
    Column("P95 MS", "p95_ms", right=True),
    Column("P99 MS", "p99_ms", right=True),
    Column("COMPARED", "compared", right=True),
    Column("PARITY", lambda row: _share(row.get("parity")), right=True),
    Column("DROPPED", "dropped", right=True),
]
MISMATCHES = [
    Column("ROUTE", "route"),
    Column("WHERE", lambda row: row["pointer"] or "body", shrinks=True),
    Column("KIND", "kind"),
    Column("COUNT", "count", right=True),
    Column("LAST", lambda row: output.moment(row["last_seen"])),
    Column("OLD", lambda row: _side(row, "control"), shrinks=True),
    Column("NEW", lambda row: _side(row, "candidate"), shrinks=True),
]
CALLERS = [
    Column("CLIENT", "label", shrinks=True),
    Column("ADDRESS", "address"),
    Column("USER AGENT", "user_agent", shrinks=True),
    Column("ROUTE", "route"),
    Column("STAGE", "stage"),
    Column("CALLS", "count", right=True),
    Column("LAST", lambda row: output.moment(row["last_seen"])),
]
AUDIT = [
    Column("WHEN", lambda row: output.moment(row["at"])),
    Column("BY", "by", shrinks=True),
    Column("WHAT", "subject"),
    Column("FROM", "before"),
    Column("TO", "after"),
    Column("WHY", "reason", shrinks=True),
]
READY = [
    Column("ROUTE", "route"),
    Column("STAGE", "stage"),
    Column("DAYS", lambda row: "" if row["days"] is None else f"{row['days']:.1f}", right=True),
    Column("PARITY", lambda row: _share(row["parity"]), right=True),
    Column("CALLERS", "callers", right=True),
    Column("SUNSET", lambda row: row["sunset"][:10]),
    Column("READY", "ready"),
]


@click.group(
    cls=Noun,
    examples=["mclictl cutover show", 'mclictl cutover set "POST /execute" canary --percent 10'],
)
def cutover() -> None:
    """Show and move legacy routes between the old and the new stack."""


@cutover.command(
    "show", examples=["mclictl cutover show", "mclictl cutover show --json | jq '.[].stage'"]
)
@click.pass_obj
def show(target: Target) -> None:
    """List every legacy route with its stage."""
    print_rows(target, rows_of(target, "routes"), SHOWN, empty="no legacy routes")


@cutover.command(
    "set",
    examples=[
        'mclictl cutover set "GET /status" shadow --reason "first look"',
        'mclictl cutover set "GET /status" canary --percent 10',
        'mclictl cutover set "GET /status" brownout --lasts 5m --every 1h --percent 20',
    ],
)
@click.argument("route")
@click.argument("stage", metavar="STAGE", type=click.Choice(STAGES))
@click.option(
    "--percent", type=click.IntRange(0, 100), help="Share of clients: of canary, or brownout."
)
@click.option("--reason", default="", help="Why, for the audit log.")
@click.option("--revision", type=int, help="Only if it still is at this one.  [default: as read]")
@click.option(
    "--lasts", metavar="TIME", callback=read_by(some_seconds), help="Length of a brown-out: 5m…"
)
@click.option(
    "--every", metavar="TIME", callback=read_by(some_seconds), help="From one to the next: 1h…"
)
@click.option(
    "--begins", metavar="TIME", callback=read_by(_begin), help="First one, ISO.  [default: now]"
)
@click.pass_obj
def set_(target: Target, /, route: str, stage: str, **given: Any) -> None:  # noqa: ANN401
    """Move ROUTE, such as "POST /execute", to STAGE, from the next call on."""
    body: Json = {"route": route, "stage": stage, "reason": given["reason"], "by": me()}
    body |= _details(stage, **given)
    with Client(target.url) as client:
        known = {row["route"]: row["revision"] for row in client.rows(ROUTES)}
        revision = known.get(route) if given["revision"] is None else given["revision"]
        moved = client.send("PUT", ROUTES, body | {"revision": revision})
    if target.json:
        output.print_json(moved)
    else:
        output.table([moved], SHOWN, empty="")


def _details(stage: str, percent: int | None, **given: Any) -> Json:  # noqa: ANN401
    """What a stage is told besides, once it fits the stage."""
    schedule = {name: given[name] for name in ("lasts", "every", "begins") if given[name]}
    if (stage == "brownout") != ("lasts" in schedule) or (schedule and "lasts" not in schedule):
        raise click.UsageError(
            "--lasts belongs to brownout, which needs it; --every and --begins go with it."
        )
    if stage == "canary" and percent is None:
        raise click.UsageError("A canary needs --percent N.")
    if stage == "brownout":
        if percent == 0:
            raise click.UsageError("A brown-out of nobody is none: --percent 1 to 100.")
        if schedule.get("every", 0) and schedule["every"] <= schedule["lasts"]:
            raise click.UsageError("--every must be longer than --lasts.")
        return {"brownout": schedule | {"percent": 100 if percent is None else percent}}
    if percent is not None and stage != "canary":
        raise click.UsageError("--percent belongs to canary and brownout.")
    return {} if percent is None else {"percent": percent}


@cutover.command("stats", examples=["mclictl cutover stats", 'mclictl cutover stats "GET /status"'])
@click.argument("route", required=False)
@click.pass_obj
def stats(target: Target, route: str | None) -> None:
    """Show how both stacks answered since each route stands where it does, and their parity.

    A line for each stack that answered; `shadow` is the new one behind the old one's back.
    """
    rows = rows_of(target, "stats", route=route)
    if target.json:
        output.print_json(rows)
        return
    lines = [
        {**row, **row[stack], "stack": stack}
        for row in rows
        for stack in STACKS
        if any(row[stack].get(count) for count in ("requests", "compared", "dropped", "skipped"))
    ]
    output.table(lines, STATS, empty="nobody has called " + (route or "a legacy route"))


@cutover.command(
    "mismatches",
    examples=["mclictl cutover mismatches", 'mclictl cutover mismatches "GET /status" --clear'],
)
@click.argument("route", required=False)
@click.option("--clear", is_flag=True, help="Forget them.")
@click.pass_obj
def mismatches(target: Target, route: str | None, clear: bool) -> None:
    """Show where the stacks differ, the most frequent first; --json has whole samples.

    With a ROUTE the latest request of each is shown with both answers.
    """
    rows = rows_of(target, "mismatches", route=route)
    if clear:
        with Client(target.url) as client:
            client.send("DELETE", f"{API}/mismatches" + (f"?route={quote(route)}" if route else ""))
    print_rows(target, rows, MISMATCHES, empty="no mismatches")
    if route and not target.json:
        for row in rows:
            _print_samples(row)


def _print_samples(row: Json) -> None:
    """Show the latest call of a group with both answers."""
    for sample in row["samples"][-1:]:
        asked = sample["request"]
        lines = (
            f"{row['kind']} at {row['pointer'] or 'the body'}, {row['count']} times",
            f"  call: {asked['method']} {asked['target']}  {asked['body']}",
            *(f"  {name}  {_answer(sample[side])}" for name, side in SIDES),
        )
        click.echo("\n" + "\n".join(output.plain(line).plain.rstrip() for line in lines))


def _answer(found: Json | None) -> str:
    return "no answer" if found is None else f"{found['status']}  {found['body']}"


@cutover.command(
    "callers", examples=["mclictl cutover callers", "mclictl cutover callers --days 1"]
)
@click.argument("route", required=False)
@click.option("--days", type=click.FloatRange(0, 3650, min_open=True), help="[default: 30]")
@click.pass_obj
def callers(target: Target, route: str | None, days: float | None) -> None:
    """Show who still calls what, the latest first."""
    rows = rows_of(target, "callers", route=route, days=days)
    print_rows(target, rows, CALLERS, empty="nobody")


@cutover.command("audit", examples=["mclictl cutover audit", 'mclictl cutover audit "GET /status"'])
@click.argument("subject", required=False)
@click.option("--limit", type=click.IntRange(1, 10_000), help="How many.  [default: 100]")
@click.pass_obj
def audit(target: Target, subject: str | None, limit: int | None) -> None:
    """Show who moved what, when and why, the newest first; SUBJECT is a route or a rollout."""
    print_rows(
        target, rows_of(target, "audit", subject=subject, limit=limit), AUDIT, empty="no moves"
    )


@cutover.command("ready", examples=["mclictl cutover ready", "mclictl cutover ready --days 30"])
@click.option("--days", type=click.FloatRange(0, 3650, min_open=True), help="[default: 7]")
@click.pass_obj
def ready(target: Target, days: float | None) -> None:
    """Answer whether the old stack can be deleted, and because; the exit code is 1 for no."""
    with Client(target.url) as client:
        found = client.get(f"{API}/ready", days=days)
    if target.json:
        output.print_json(found)
    else:
        output.table(found["routes"], READY, empty="no legacy routes")
        word = "yes" if found["ready"] else "no"
        click.echo(f"\n{word}, because")
        for reason in found["because"]:
            click.echo(f"  {output.plain(reason).plain}")
    raise click.exceptions.Exit(0 if found["ready"] else 1)
