"""`mclictl commands history`, `diff`, `rollback` and `stats`."""

from __future__ import annotations

import click
from rich.text import Text

from cli import output
from cli.client import Client, Json, command_path
from cli.output import Column
from cli.quantities import moment, read_by
from cli.verb import Target, Verb

LIMIT = 20
VERSIONS = [
    Column("VERSION", "version", right=True),
    Column("WHEN", lambda version: output.moment(version.get("at"))),
    Column("AUTHOR", "author"),
    Column("NAME", "name"),
    Column("NOTE", "note", shrinks=True),
]
STYLES = {"+": "green", "-": "red", "@": "cyan"}


@click.command(
    "history",
    cls=Verb,
    examples=["mclictl commands history hello", "mclictl commands history hello --version 2"],
)
@click.argument("name")
@click.option("--version", type=click.IntRange(1), help="Print the code it had then.")
@click.option("--limit", type=click.IntRange(1), default=LIMIT, show_default=True)
@click.pass_obj
def history(target: Target, name: str, version: int | None, limit: int) -> None:
    """List the versions of the stored command NAME, newest first; --json prints a list."""
    path = f"{command_path(name)}/versions"
    with Client(target.url) as client:
        if version is not None:
            found = client.get(f"{path}/{version}")
            if target.json:
                output.print_json(found)
            else:
                output.write_text(found["code"])
            return
        versions, more = client.collect(path, limit)
    if target.json:
        output.print_json(versions)
        return
    output.table(versions, VERSIONS, empty="no versions")
    if more:
        click.echo("There are more: add --limit N.", err=True)


@click.command(
    "diff",
    cls=Verb,
    examples=["mclictl commands diff hello", "mclictl commands diff hello 1 3"],
)
@click.argument("name")
@click.argument("old", type=click.IntRange(1), required=False)
@click.argument("new", type=click.IntRange(1), required=False)
@click.pass_obj
def diff(target: Target, name: str, old: int | None, new: int | None) -> None:
    """Show what changed in the stored command NAME from version OLD to NEW.

    Without NEW to the latest, without OLD from the one before it. `patch` takes what is printed.
    """
    with Client(target.url) as client:
        found = client.get(f"{command_path(name)}/diff", **{"from": old, "to": new})
    if target.json:
        output.print_json(found)
        return
    for change in found["fields"]:
        before, after = (output.plain(change[key]).plain for key in ("old", "new"))
        click.echo(f"# {change['field']}: {before} -> {after}")
    for line in found["diff"].splitlines(keepends=True):
        _print_line(line)
    if not found["fields"] and not found["diff"]:
        click.echo(f"versions {found['old']} and {found['new']} say the same", err=True)


def _print_line(line: str) -> None:
    style = STYLES.get(line[:1])
    if style is not None and output.terminal():
        line = click.style(line, fg=style)
    output.write_text(line)


@click.command(
    "rollback",
    cls=Verb,
    examples=["mclictl commands rollback hello 2"],
)
@click.argument("name")
@click.argument("version", type=click.IntRange(1))
@click.pass_obj
def rollback(target: Target, name: str, version: int) -> None:
    """Make VERSION of the stored command NAME the newest one; those in between are kept."""
    with Client(target.url) as client:
        command = client.send("POST", f"{command_path(name)}/rollback", {"version": version})
    if target.json:
        output.print_json(command)
    else:
        click.echo(f"{name} is as in version {version} again, now version {command['version']}")


@click.command(
    "stats",
    cls=Verb,
    examples=["mclictl commands stats hello", "mclictl commands stats hello --since 7d"],
)
@click.argument("name")
@click.option(
    "--since",
    metavar="TIME",
    callback=read_by(moment),
    help="Only runs of the last 90m, 2h, 7d… or since 2026-11-22T14:00.",
)
@click.pass_obj
def stats(target: Target, name: str, since: float | None) -> None:
    """Show how the runs of the stored command NAME went, those that are still known."""
    with Client(target.url) as client:
        found = client.get(f"{command_path(name)}/stats", since=since)
    if target.json:
        output.print_json(found)
    else:
        output.details(_shown(found))


def _shown(found: Json) -> Json:
    rate, failure = found["success_rate"], found["last_failure"]
    shown: Json = {"runs": found["runs"]}
    for status, count in sorted(found["statuses"].items()):
        shown[status] = Text(str(count), style=output.STYLES.get(status, ""))
    shown["success rate"] = None if rate is None else f"{rate:.1%}"
    for name in ("mean", "p50", "p95"):
        shown[name] = output.duration(found[f"{name}_seconds"])
    if failure is not None:
        when = output.moment(failure["finished_at"])
        shown["last failure"] = f"{failure['run_id']} ({failure['status']}) {when}"
    return shown
