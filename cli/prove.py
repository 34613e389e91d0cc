"""`mclictl prove` and `record`: show that the new stack answers as the old one, byte for byte."""

from __future__ import annotations

import importlib
import json
import os
import signal
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

import click
from rich.console import Console
from rich.progress import Progress

from cli import output
from cli.client import Client, Json
from cli.confirm import confirm, yes_option
from cli.old_routes import API
from cli.output import Column
from cli.verb import Target, Verb

if TYPE_CHECKING:
    from collections.abc import Sequence

STAGES = ("legacy", "shadow", "canary", "new")
PROOF = [
    Column("ROUTE", "route"),
    Column("STAGE", "stage"),
    Column("REQUESTS", "requests", right=True),
    Column("EXPLAINED", lambda part: sum(part["explained"].values()), right=True),
    Column("DIFFERENT", "unexplained", right=True),
]


@click.command(
    cls=Verb,
    examples=[
        "mclictl prove --requests 1000",
        'mclictl prove --route "POST /execute" --seed 7',
        "mclictl prove --corpus recorded.jsonl --stage new",
    ],
)
@click.option("--route", "routes", multiple=True, help="Only this one; may be repeated.")
@click.option(
    "--requests", type=click.IntRange(1), default=10_000, show_default=True, help="For each route."
)
@click.option("--seed", type=int, default=0, show_default=True, help="The same makes the same.")
@click.option(
    "--corpus",
    multiple=True,
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Play these saved or recorded cases instead; may be repeated.",
)
@click.option(
    "--stage", "stages", type=click.Choice(STAGES), multiple=True, help="Only this one; repeatable."
)
@click.pass_obj
def prove(
    target: Target,
    /,
    routes: Sequence[str],
    stages: Sequence[str],
    **given: Any,  # noqa: ANN401
) -> None:
    """Prove that old routes answer the same in every stage; needs no server, and asks none.

    Starts the old daemon and both stacks, each on a fresh home of its own, sends the same bytes to
    all of them, valid ones and hostile ones, and shows each difference with the smallest request
    that has it. The exit code is 1 when there is one without an explanation.
    """
    # Its servers are to end with it, not to be left behind.
    signal.signal(signal.SIGTERM, _leave)
    # By name: this takes a while to import, and may have been deleted.
    engine, servers = map(importlib.import_module, ("compat.prove.run", "compat.prove.servers"))
    refused = importlib.import_module("fastapi_app.errors").AppError
    wanted = [under for under in servers.STAGES if not stages or under.stage in stages]
    console = Console(stderr=True, highlight=False)
    with Progress(console=console, disable=not console.is_terminal) as bar:
        task = bar.add_task("", total=None)

        def tell(now: Any) -> None:  # noqa: ANN401 - of a module that may not be there
            found = f"{now.route}  {now.unexplained} different"
            bar.update(task, description=found, completed=now.played, total=now.total)

        options = engine.Options(routes=routes, stages=wanted, progress=tell, **given)
        try:
            report = engine.prove(options)
        except (OSError, ValueError, RuntimeError, refused) as failure:
            raise click.ClickException(str(failure)) from failure
    print_report(target, report.as_json())
    raise click.exceptions.Exit(0 if report.proven else 1)


def _leave(number: int, _frame: object) -> None:
    raise SystemExit(128 + number)


def print_report(target: Target, report: Json) -> None:
    """Show what each route was in each stage, and every difference with its smallest request."""
    if target.json:
        output.print_json(report)
        return
    output.table(report["parts"], PROOF, empty="nothing was sent")
    for reason, count in report["explained"].items():
        click.echo(f"explained, {count} times: {reason}")
    for found in report["findings"]:
        where = f"{found['kind']} at {found['pointer'] or 'the body'}"
        lines = (
            f"{found['route']} in {found['stage']}, {found['count']} times: {where}",
            f"  old:  {found['control']}",
            f"  new:  {found['candidate']}",
            f"  case: {json.dumps(found['case'])}" if found["case"] else "",
            "" if found["alone"] else "  (alone this case does not show it: those before it count)",
        )
        # Answers to hostile requests must not act on the terminal.
        click.echo("\n" + "\n".join(output.plain(line).plain for line in lines if line))
    proven = "the same in all of them" if report["proven"] else "DIFFERENT"
    click.echo(f"{report['requests']} requests, seed {report['seed']}: {proven}")


@click.command(
    cls=Verb,
    examples=[
        "mclictl record traffic.jsonl --limit 1000",
        'mclictl record traffic.jsonl --route "GET /status"',
    ],
)
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
@click.option("--route", help="Only this one.")
@click.option("--limit", type=click.IntRange(1), help="End after so many calls.")
@click.option("--commands", is_flag=True, help="Keep the commands, too: a replay will run them.")
@yes_option
@click.pass_obj
def record(
    target: Target, file: Path, route: str | None, limit: int | None, commands: bool, yes: bool
) -> None:
    """Record live calls of old routes into FILE, without secrets, until Ctrl-C.

    `mclictl prove --corpus FILE` plays them. What was to be run is left out, unless asked for.
    Asks before it overwrites a file.
    """
    count = 0
    with Client(target.url) as client:
        # Who cannot be asked must not cost what an older recording holds.
        client.rows(f"{API}/stats", route=route)
        if file.is_file() and file.stat().st_size:
            confirm(f"{file} is not empty. Overwrite it?", yes=yes)
        out = _private(file)
        try:
            wanted = commands or None
            cases = client.events("GET", f"{API}/record", route=route, limit=limit, commands=wanted)
            for case in cases:
                out.write(json.dumps(case) + "\n")
                out.flush()
                count += 1
        except KeyboardInterrupt:
            pass  # the way to end it
        finally:
            out.close()
    if target.json:
        output.print_json({"file": str(file), "calls": count})
    else:
        click.echo(f"{count} calls in {file}")


def _private(file: Path) -> TextIO:
    """Open a file anew for its owner alone, whoever could read it before."""
    opened = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    os.fchmod(opened, 0o600)
    return os.fdopen(opened, "w", encoding="utf-8")
