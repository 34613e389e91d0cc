"""`mclictl rollout`: old routes go over by a plan, and an operator watches and steps in."""

from __future__ import annotations

import time
from collections import Counter
from contextlib import nullcontext
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from cli import output
from cli.client import Client, ClientError, Json, NotReachable, is_run_id
from cli.old_routes import API, me, print_rows, rows_of, stage_text, styled
from cli.output import Column
from cli.verb import Noun, Target

if TYPE_CHECKING:
    from collections.abc import Callable

ROLLOUTS = f"{API}/rollouts"
OVER = ("completed", "rolled_back", "aborted")
LOOK = 0.5  # seconds between two looks at a rollout
PATIENCE = 60.0  # seconds a server may be gone while a rollout is watched
NOT_NOW = 503  # the server is there, but not what it needs
BAR = 20
LISTED = [
    Column("ID", "id"),
    Column("NAME", "name", shrinks=True),
    Column("PHASE", lambda row: styled(row["phase"])),
    Column("STEP", lambda row: f"{row['step'] + 1}/{len(row['steps'])}"),
    Column("STARTED", lambda row: output.moment(row["started_at"])),
    Column("BY", "started_by"),
    Column("WHY", "reason", shrinks=True),
]


@click.group(cls=Noun, examples=["mclictl rollout start plan.toml -w", "mclictl rollout status -w"])
def rollout() -> None:
    """Let routes go over by a plan: start, list, status, pause, resume, promote, abort."""


_watch = click.option("-w", "--watch", is_flag=True, help="Show it live, to its end.")


@rollout.command("start", examples=["mclictl rollout start plan.toml -w"])
@click.argument("plan", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@_watch
@click.pass_obj
def start(target: Target, plan: Path, watch: bool) -> None:
    """Begin the rollout that the file PLAN describes (docs/migration.md has every key)."""
    try:
        text = plan.read_text(encoding="utf-8")
    except UnicodeDecodeError as failure:
        raise click.ClickException(f"{plan} is not UTF-8, so it is no TOML.") from failure
    with Client(target.url) as client:
        begun = client.send("POST", ROLLOUTS, {"plan": text, "by": me()})
        _shown(target, client, begun, watch=watch)


@rollout.command("list", examples=["mclictl rollout list", "mclictl rollout list --json"])
@click.pass_obj
def list_(target: Target) -> None:
    """List the rollouts, newest first."""
    print_rows(target, rows_of(target, "rollouts"), LISTED, empty="no rollouts")


@rollout.command("status", examples=["mclictl rollout status", "mclictl rollout status -w"])
@click.argument("rollout_id", metavar="[ID]", required=False)
@_watch
@click.pass_obj
def status(target: Target, rollout_id: str | None, watch: bool) -> None:
    """Show one rollout: its steps, and what each gate says. With -w live, to its end."""
    with Client(target.url) as client:
        _shown(target, client, _chosen(client, rollout_id, latest=True), watch=watch)


def _word(name: str, text: str) -> None:
    @rollout.command(
        name, help=text, examples=[f"mclictl rollout {name}", f"mclictl rollout {name} ID --json"]
    )
    @click.argument("rollout_id", metavar="[ID]", required=False)
    @click.option("--reason", default="", help="Why, for the audit log.")
    @click.pass_obj
    def say(target: Target, rollout_id: str | None, reason: str) -> None:
        with Client(target.url) as client:
            found = _chosen(client, rollout_id)
            body: Json = {"by": me(), "reason": reason}
            if name == "promote":
                body["step"] = found["step"]
            said = client.send("POST", f"{ROLLOUTS}/{found['id']}/{name}", body)
            _shown(target, client, said, watch=False)


_word("pause", "Stay where it is, and look at no gate, until `resume`.")
_word("resume", "Go on after a pause.")
_word("promote", "Go to the next step now, whatever the gates say.")
_word("abort", "Take every route back to where it was at the start.")


def _chosen(client: Client, rollout_id: str | None, *, latest: bool = False) -> Json:
    """Get the rollout of that id, or the only one that is under way."""
    if rollout_id is not None:
        return _known(client, rollout_id)
    found = client.rows(ROLLOUTS)
    active = [one for one in found if one["phase"] not in OVER]
    if len(active) == 1 or (latest and not active and found):
        return (active or found)[0]
    if active:
        ids = ", ".join(f"{one['id']} ({one['name']})" for one in active)
        raise click.UsageError(f"Several rollouts are under way; name one: {ids}.")
    raise click.ClickException("No rollout is under way; `mclictl rollout start PLAN` begins one.")


def _known(client: Client, rollout_id: str) -> Json:
    """Get the rollout of that id; what cannot be one must not become another path."""
    try:
        if is_run_id(rollout_id):
            return client.get(f"{ROLLOUTS}/{rollout_id}")
    except ClientError as failure:
        if failure.status != 404:
            raise
    raise click.ClickException(
        f"There is no rollout '{rollout_id}'; `mclictl rollout list` shows their ids."
    )


def _shown(target: Target, client: Client, found: Json, *, watch: bool) -> None:
    """Print a rollout, once or until it is over; the exit code then tells how it went."""
    if not watch:
        output.print_json(found) if target.json else Console(highlight=False).print(_drawn(found))
        return
    person = output.terminal() and not target.json
    screen: Any = Live(_drawn(found), console=Console(highlight=False), refresh_per_second=8)
    told: object = None
    with screen if person else nullcontext():
        while True:
            if person:
                screen.update(_drawn(found))
            elif (now := _line(found)) != told:
                told = now
                output.print_json_line(found) if target.json else click.echo(now)
            if found["phase"] in OVER:
                break
            time.sleep(LOOK)
            found = _patiently(lambda i=found["id"]: client.get(f"{ROLLOUTS}/{i}"))  # type: ignore[misc]
    raise click.exceptions.Exit(0 if found["phase"] == "completed" else 1)


def _patiently(ask: Callable[[], Json]) -> Json:
    """Ask again while the server is restarted."""
    deadline = time.monotonic() + PATIENCE
    while True:
        try:
            return ask()
        except ClientError as failure:
            gone = isinstance(failure, NotReachable) or failure.status == NOT_NOW
            if not gone or time.monotonic() > deadline:
                raise
            time.sleep(LOOK)


def _line(found: Json) -> str:
    """A rollout in a line that changes when there is something to tell."""
    at = found["step"]
    step = f"step {at + 1}/{len(found['steps'])} {stage_text(found['steps'][at])}"
    verdicts = Counter(gate["verdict"] for route in found["routes"] for gate in route["gates"])
    gates = ", ".join(f"{count} {verdict}" for verdict, count in sorted(verdicts.items()))
    parts = (found["name"], found["phase"], step, f"gates: {gates or 'none yet'}", found["reason"])
    return "  ".join(output.plain(part).plain for part in parts)


def _drawn(found: Json) -> Group:
    """A rollout as an operator reads it: steps with their hold, routes with their gates."""
    over = found["phase"] in OVER
    at = f"step {found['step'] + 1}/{len(found['steps'])}"
    since = f"by {found['started_by']}, {output.moment(found['started_at'])}"
    called = Text(output.plain(found["name"]).plain, style="bold")
    head = Text("  ").join([called, styled(found["phase"]), Text(at), output.plain(since)])
    steps = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), show_header=False)
    for number, step in enumerate(found["steps"], 1):
        held = found["held"] if step["state"] == "current" else 0.0
        full = step["state"] == "done" or held >= step["hold"]
        filled = BAR if full else int(BAR * held / step["hold"])
        bar = "█" * filled + "░" * (BAR - filled) if step["state"] != "ahead" else "░" * BAR
        hold = output.duration(step["hold"])
        if step["state"] == "current" and not over:
            hold = f"{output.duration(min(held, step['hold']))} of {hold}"
        note = "waits for promote" if step["manual"] else ""
        steps.add_row(f"{number}", stage_text(step), styled(step["state"], bar), hold, note)
    gates = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    for title in ("ROUTE", "STAGE", "GATE", "VERDICT", "VALUE", "LIMIT", "SAMPLES"):
        number_like = title in {"VALUE", "LIMIT", "SAMPLES"}
        gates.add_column(title, justify="right" if number_like else "left", no_wrap=True)
    for route in found["routes"]:
        for gate in route["gates"] or [{"name": "-", "verdict": "-", "value": None}]:
            value = "-" if gate["value"] is None else f"{gate['value']:.4g}"
            limit, samples = str(gate.get("limit", "-")), str(gate.get("samples", "-"))
            verdict = styled(gate["verdict"])
            name = str(gate["name"])
            gates.add_row(route["route"], stage_text(route), name, verdict, value, limit, samples)
    reason = styled(found["phase"], output.plain(found["reason"]).plain)
    if over:
        took = datetime.fromisoformat(found["ended_at"]) - datetime.fromisoformat(
            found["started_at"]
        )
        reason.append(f"  (after {output.duration(took.total_seconds())})", style="dim")
    return Group(head, steps, gates, reason)
