"""`mclictl sync`: scripts of a folder and the stored commands."""

from __future__ import annotations

import contextlib
import os
from typing import TYPE_CHECKING
from urllib.parse import quote

import click

from cli import names, output
from cli.client import Client, ClientError, Json
from cli.confirm import confirm, yes_option
from cli.verb import Noun, Target

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

SYNC = "/api/v1/sync"
LETTERS = {"A": "green", "M": "yellow", "D": "red", "C": "magenta", "!": "red"}
DONE = {"A": "added", "M": "modified", "D": "deleted", None: "unchanged"}
MANY = 500  # scripts from which a bar is worth it

names_argument = click.argument(
    "names", metavar="[NAME]...", nargs=-1, shell_complete=names.commands
)
dry_run_option = click.option("--dry-run", "-n", is_flag=True, help="Only say what would be done.")


@click.group(
    cls=Noun,
    examples=["mclictl sync status", "mclictl sync push", "mclictl sync pull --dry-run"],
)
def sync() -> None:
    """Keep a folder of scripts and the stored commands alike.

    `push` stores what the folder has, `pull` writes what the store has into the folder. The
    folder is the server's: ~/.mcli/workflows, or MCLI_WORKFLOWS_DIR.

    \b
    Each line begins with a letter, as in git:
      A added   M modified   D deleted   C changed on both sides   ! left alone
    """  # noqa: D301 - \b keeps the lines behind it as they are


@sync.command("status", examples=["mclictl sync status", "mclictl sync status --json"])
@click.pass_obj
def status(target: Target) -> None:
    """Show what differs between the folder and the store."""
    with Client(target.url) as client:
        found = client.get(f"{SYNC}/status")
    if target.json:
        output.print_json(found)
        return
    _section("changed in the folder, for `mclictl sync push`:", found["push"])
    _section("changed in the store, for `mclictl sync pull`:", found["pull"])
    if found["conflicts"]:
        click.echo("# changed on both sides, for `mclictl sync diff` and `mclictl sync resolve`:")
        _conflicts(found)
    _notes(found)
    differ = found["push"] or found["pull"] or found["conflicts"]
    if not differ and not found["problems"]:
        click.echo(f"{found['unchanged']} scripts, all alike in {found['folder']}", err=True)


@sync.command(
    "push",
    examples=[
        "mclictl sync push",
        "mclictl sync push deploy report",
        "mclictl sync push --dry-run",
        "mclictl sync push --prune --yes",
    ],
)
@names_argument
@dry_run_option
@click.option("--prune", is_flag=True, help="Delete from the store what was deleted in the folder.")
@yes_option
@click.pass_obj
def push(target: Target, names: tuple[str, ...], dry_run: bool, prune: bool, yes: bool) -> None:
    """Store what the folder has: all that changed there, or only NAME.

    What changed on both sides is left alone, and told; so is what was deleted in the folder,
    without --prune. The exit code is 1 when something was left alone.
    """
    _sync(target, "push", {"names": list(names), "dry_run": dry_run, "prune": prune}, yes=yes)


@sync.command(
    "pull",
    examples=[
        "mclictl sync pull",
        "mclictl sync pull deploy",
        "mclictl sync pull --dry-run",
        "mclictl sync pull --prune --yes",
    ],
)
@names_argument
@dry_run_option
@click.option("--prune", is_flag=True, help="Delete from the folder what was deleted in the store.")
@yes_option
@click.pass_obj
def pull(target: Target, names: tuple[str, ...], dry_run: bool, prune: bool, yes: bool) -> None:
    """Write what the store has into the folder: all that changed there, or only NAME.

    What changed on both sides is left alone, and told; so is what was deleted in the store,
    without --prune. The exit code is 1 when something was left alone.
    """
    _sync(target, "pull", {"names": list(names), "dry_run": dry_run, "prune": prune}, yes=yes)


@sync.command(
    "resolve",
    examples=[
        "mclictl sync resolve deploy --take folder",
        "mclictl sync resolve deploy report --take store --yes",
    ],
)
@click.argument("names", metavar="NAME...", nargs=-1, required=True, shell_complete=names.commands)
@click.option(
    "--take", type=click.Choice(["folder", "store"]), required=True, help="The side that stays."
)
@dry_run_option
@yes_option
@click.pass_obj
def resolve(target: Target, names: tuple[str, ...], take: str, dry_run: bool, yes: bool) -> None:
    """Decide for one side of NAME; what the other side has is given up.

    What the store gives up stays in `mclictl commands history`; what the folder gives up is gone.
    """
    if not dry_run:
        other = "store" if take == "folder" else "folder"
        confirm(f"Give up what the {other} has of {', '.join(names)}?", yes=yes)
    verb = "push" if take == "folder" else "pull"
    _sync(target, verb, {"take": list(names), "dry_run": dry_run}, yes=True)


@sync.command("diff", examples=["mclictl sync diff", "mclictl sync diff deploy | less"])
@names_argument
@click.pass_obj
def diff(target: Target, names: tuple[str, ...]) -> None:
    """Show how scripts differ, from the store (-) to the folder (+): all of them, or only NAME."""
    with Client(target.url) as client:
        wanted = names or _differing(client.get(f"{SYNC}/status"))
        found = [client.get(f"{SYNC}/diff/{quote(name, safe='')}") for name in wanted]
    if target.json:
        output.print_json(found)
        return
    for each in found:
        for line in each["diff"].splitlines(keepends=True):
            _colored(line)


@sync.command("verify", examples=["mclictl sync verify", "mclictl sync verify --json"])
@click.pass_obj
def verify(target: Target) -> None:
    """Hold the lock file against both sides, reading every script; exit code 1 when it is wrong."""
    with Client(target.url) as client:
        found = client.get(f"{SYNC}/verify")
    if target.json:
        output.print_json(found)
    else:
        for entry in found["wrong"]:
            sides = f"folder {entry['folder']}, store {entry['store']}"
            click.echo(f"! {_plain(entry['name'])}: {sides}")
        for name in found["unlocked"]:
            click.echo(f"! {_plain(name)}: alike on both sides, but not in the lock")
        _notes(found)
        if found["ok"]:
            click.echo(f"{found['checked']} scripts are as the lock says", err=True)
    if not found["ok"]:
        raise click.exceptions.Exit(1)


@sync.command(
    "watch",
    examples=[
        "mclictl sync watch",
        "mclictl sync watch --prune --yes",
        "mclictl sync watch --json | jq .done",
    ],
)
@click.option("--prune", is_flag=True, help="Delete from the store what is deleted in the folder.")
@yes_option
@click.pass_obj
def watch(target: Target, prune: bool, yes: bool) -> None:
    """Push scripts as they are saved, until you press Ctrl-C; --json has a line for each push."""
    if prune:
        confirm("Delete from the store whatever is deleted in the folder?", yes=yes)
    with Client(target.url) as client:
        first = True
        for event in client.events("POST", f"{SYNC}/watch", {"prune": prune}):
            found = _result(event)
            if target.json:
                output.print_json_line(found)
                continue
            if first:
                click.echo(f"watching {found['folder']}", err=True)
                first = False
            _outcome(found)


def _sync(target: Target, verb: str, body: Json, *, yes: bool) -> None:
    with Client(target.url) as client:
        if body.get("prune") and not body["dry_run"] and not yes:
            planned = client.send("POST", f"{SYNC}/{verb}", body | {"dry_run": True}, patient=True)
            gone = [line["name"] for line in planned["done"] if line["change"] == "D"]
            if gone:
                confirm(
                    f"Delete {', '.join(gone[:20])}{' and more' if gone[20:] else ''}?", yes=False
                )
        found = _followed(client, verb, body)
    if target.json:
        output.print_json(found)
    else:
        _outcome(found)
        if not found["done"] and not _left(found):
            click.echo(f"{found['unchanged']} scripts, nothing to {verb}", err=True)
    if _left(found):
        raise click.exceptions.Exit(1)


def _followed(client: Client, verb: str, body: Json) -> Json:
    """Have it done, with a bar on a terminal while that takes."""
    done = 0
    step: Callable[[int], None] = _quiet
    with contextlib.ExitStack() as stack:
        for event in client.events("POST", f"{SYNC}/{verb}", body):
            if event.get("type") != "progress":
                return _result(event)
            if not done and event["total"] >= MANY:
                step = stack.enter_context(output.progress(event["total"], verb))
            step(event["done"] - done)
            done = event["done"]
    raise ClientError("The server ended before it said what was done; see `mclictl sync status`.")


def _quiet(_step: int) -> None:
    """What is over at once needs no bar."""


def _result(event: Json) -> Json:
    if event.get("type") == "error":
        raise ClientError(str(event.get("detail")), str(event.get("code", "")))
    result = event.get("result")
    if not isinstance(result, dict):
        raise ClientError("The server does not speak this API.")
    return result


def _outcome(found: Json) -> None:
    for line in found["done"]:
        _letter(line["change"], line["name"])
    for line in found["kept"]:
        click.echo(
            f"# D {_plain(line['name'])}: deleted on one side only; --prune deletes it", err=True
        )
    _conflicts(found)
    _notes(found)


def _conflicts(found: Json) -> None:
    for each in found["conflicts"]:
        sides = f"{DONE[each['folder']]} in the folder, {DONE[each['store']]} in the store"
        _letter("C", each["name"], f"  ({sides})")


def _notes(found: Json) -> None:
    for note in found["problems"]:
        _letter("!", note["about"], f": {_plain(note['detail'])}")
    for note in found.get("warnings", []):
        click.echo(f"warning: {_plain(note['about'])}: {_plain(note['detail'])}", err=True)


def _section(title: str, lines: Sequence[Json]) -> None:
    if lines:
        click.echo(f"# {title}")
    for line in lines:
        _letter(line["change"], line["name"])


def _letter(letter: str, name: str, more: str = "") -> None:
    click.echo(f"{_painted(letter, LETTERS[letter])} {_plain(name)}{more}")


def _colored(line: str) -> None:
    """A line of a diff, as it is but for the colour."""
    color = {"+": "green", "-": "red", "@": "cyan"}.get(line[0])
    output.write_text(_painted(line, color) if color else line)


def _painted(text: str, color: str) -> str:
    """The text in its colour, for a person who wants colours (no-color.org)."""
    wanted = output.terminal() and not os.environ.get("NO_COLOR")
    return click.style(text, fg=color) if wanted else text


def _plain(text: str) -> str:
    return output.plain(text).plain


def _differing(found: Json) -> list[str]:
    lists: Iterable[list[Json]] = (found["push"], found["pull"], found["conflicts"])
    return sorted({line["name"] for lines in lists for line in lines})


def _left(found: Json) -> bool:
    return bool(found["kept"] or found["conflicts"] or found["problems"])
