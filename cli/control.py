"""`mclictl stop`, `send`, `retry`, `rm` and `clean`: act on runs."""

from __future__ import annotations

import codecs
import os
import sys
import time
from typing import TYPE_CHECKING

import click

from cli import names, output
from cli.client import RUNS, Client, ClientError, Json
from cli.confirm import confirm, yes_option
from cli.ended import FINAL
from cli.follow import print_started, require_wait, wait_option
from cli.options import progress_option
from cli.quantities import read_by, seconds
from cli.runs import existing, of_group_option
from cli.verb import Target, Verb

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

# Linux puts so many bytes into a pipe at once or none of them (PIPE_BUF), so that a piece that was
# refused can be sent again.
INPUT_PIECE = 4096
LONGEST_CHARACTER = 4  # bytes
INPUT_FULL = "input-full"
FULL_PAUSE = 0.2  # seconds, until a run may have read some of its input


@click.command(
    cls=Verb,
    examples=[
        "mclictl stop 01938e5c-6f4e-7cc2-9c4e-0d5d0f2a8b11",
        "mclictl stop --interrupt --grace 30s 01938e5c-6f4e-7cc2-9c4e-0d5d0f2a8b11",
    ],
)
@click.argument("run_ids", metavar="ID...", nargs=-1, required=True, shell_complete=names.runs)
@click.option("--interrupt", is_flag=True, help="Send SIGINT first, as Ctrl-C does.")
@click.option("--kill", is_flag=True, help="Send SIGKILL at once.")
@click.option(
    "--grace",
    metavar="TIME",
    callback=read_by(seconds),
    help="How long to wait before the next signal.  [default: the server's]",
)
@click.pass_obj
def stop(
    target: Target, run_ids: tuple[str, ...], interrupt: bool, kill: bool, grace: float | None
) -> None:
    """Stop runs, one after the other, and say which signal each took.

    First comes SIGTERM, and SIGKILL after the grace period. --json prints the run, or a list when
    there are several.
    """
    if interrupt and kill:
        raise click.UsageError("Give either --interrupt or --kill.")
    body: Json = {name: True for name, given in [("interrupt", interrupt), ("kill", kill)] if given}
    body |= {} if grace is None else {"grace": grace}
    with Client(target.url) as client:
        stopped = (
            existing(client, run_id, "POST", "/stop", body, patient=True) for run_id in run_ids
        )
        print_stopped(target, stopped)


def print_stopped(target: Target, stopped: Iterable[Json]) -> None:
    """Print how each stop went, as soon as it has."""
    if target.json:
        found = list(stopped)
        output.print_json(found if len(found) > 1 else found[0])
        return
    for run in stopped:
        if run.get("signal"):
            click.echo(f"{run['id']} {run['status']}: ended by {run['signal']}")
        else:
            click.echo(f"{run['id']} was over already: {run['status']}")


@click.command(
    cls=Verb,
    examples=[
        "mclictl retry 01938e5c-6f4e-7cc2-9c4e-0d5d0f2a8b11",
        "mclictl retry --wait 01938e5c-6f4e-7cc2-9c4e-0d5d0f2a8b11",
    ],
)
@click.argument("run_id", metavar="ID", shell_complete=names.runs)
@wait_option
@progress_option
@click.pass_context
def retry(ctx: click.Context, run_id: str, wait: bool, progress: bool) -> None:
    """Run once more, as a new run, what the run ID ran, which must be over.

    Prints the new run's id; --wait does as it does for `mclictl workflow start`.
    """
    target = ctx.ensure_object(Target)
    require_wait(target, wait=wait, progress=progress)
    with Client(target.url) as client:
        started = existing(client, run_id, "POST", "/retry")
        ctx.exit(print_started(client, started, target, wait=wait, progress=progress))


@click.command(
    cls=Verb,
    examples=[
        "mclictl send 01938e5c-6f4e-7cc2-9c4e-0d5d0f2a8b11 yes",
        "mclictl send 01938e5c-6f4e-7cc2-9c4e-0d5d0f2a8b11 - --end < answers.txt",
        "mclictl send 01938e5c-6f4e-7cc2-9c4e-0d5d0f2a8b11 --end",
    ],
)
@click.argument("run_id", metavar="ID", shell_complete=names.runs)
@click.argument("text", required=False)
@click.option("--no-newline", is_flag=True, help="Send TEXT alone, without an end of line.")
@click.option("--end", is_flag=True, help="Then close the run's standard input.")
@click.pass_obj
def send(target: Target, run_id: str, text: str | None, no_newline: bool, end: bool) -> None:
    """Send TEXT and a newline to the standard input of the run ID, started with --stdin.

    Without TEXT, or with -, sends this command's own standard input, as it comes, to its end;
    --end alone sends nothing.
    """
    pieces: Iterable[str]
    if text is None and end:
        pieces = ()
    elif text is None or text == "-":
        pieces = _typed()
    else:
        pieces = _pieces(text if no_newline else f"{text}\n")
    with Client(target.url) as client:
        count = 0
        for piece in pieces:
            _send(client, run_id, {"data": piece})
            count += len(piece.encode())
        if end:
            _send(client, run_id, {"end": True})
    if target.json:
        output.print_json({"id": run_id, "bytes": count, "ended": end})


def _pieces(text: str) -> Iterator[str]:
    size = INPUT_PIECE // LONGEST_CHARACTER
    yield from (text[at : at + size] for at in range(0, len(text), size))


def _typed() -> Iterator[str]:
    """Standard input as it comes, never in the middle of a character."""
    decoder = codecs.getincrementaldecoder("utf-8")()
    try:
        while piece := os.read(sys.stdin.fileno(), INPUT_PIECE - LONGEST_CHARACTER):
            if text := decoder.decode(piece):
                yield text
        decoder.decode(b"", final=True)
    except UnicodeDecodeError as failure:
        raise click.ClickException(f"Standard input is not UTF-8 text: {failure}.") from failure


def _send(client: Client, run_id: str, body: Json) -> None:
    """Send one piece, as soon as the run has read enough of what it got before."""
    while True:
        try:
            existing(client, run_id, "POST", "/input", body)
        except ClientError as failure:
            if failure.code != INPUT_FULL:
                raise
            time.sleep(FULL_PAUSE)
        else:
            return


@click.command(
    cls=Verb,
    examples=[
        "mclictl rm 01938e5c-6f4e-7cc2-9c4e-0d5d0f2a8b11",
        "mclictl rm $(mclictl runs --status cancelled --json | jq -r '.[].id')",
    ],
)
@click.argument("run_ids", metavar="ID...", nargs=-1, required=True, shell_complete=names.runs)
@click.pass_obj
def rm(target: Target, run_ids: tuple[str, ...]) -> None:
    """Forget runs that are over, and remove their output; --json prints the ids."""
    with Client(target.url) as client:
        for run_id in run_ids:
            existing(client, run_id, "DELETE")
            if not target.json:
                click.echo(f"removed {run_id}")
    if target.json:
        output.print_json({"removed": list(run_ids)})


@click.command(
    cls=Verb,
    examples=[
        "mclictl clean --older-than 7d",
        "mclictl clean --status failed --status lost --group nightly --dry-run",
        "mclictl clean --older-than 30d --yes --json",
    ],
)
@click.option(
    "--older-than",
    metavar="TIME",
    callback=read_by(seconds),
    help="Only runs that ended so long ago: 12h, 7d…",
)
@click.option("--status", type=click.Choice(FINAL), multiple=True, help="May be repeated.")
@of_group_option
@click.option("--dry-run", is_flag=True, help="Only say how much there is to remove.")
@yes_option
@click.pass_obj
def clean(
    target: Target,
    older_than: float | None,
    status: tuple[str, ...],
    group: str | None,
    dry_run: bool,
    yes: bool,
) -> None:
    """Forget runs that are over, all or some, and remove their output."""
    if not (yes or dry_run or sys.stdin.isatty()):
        raise click.UsageError("Nobody is there to ask: add --yes.")
    body: Json = {"status": list(status), "older_than": older_than, "group": group}
    with Client(target.url) as client:
        found = client.send("POST", f"{RUNS}/clean", body | {"dry_run": True}, patient=True)
        if not dry_run:
            if found["removed"]:
                confirm(f"Remove {_amount(found)}?", yes=yes)
            found = client.send("POST", f"{RUNS}/clean", body, patient=True)
    if target.json:
        output.print_json(found)
    else:
        click.echo(f"{'there are' if dry_run else 'removed'} {_amount(found)}")


def _amount(found: Json) -> str:
    count = found["removed"]
    return f"{count} run{'' if count == 1 else 's'} and {output.size(found['bytes'])} of output"
