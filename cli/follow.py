"""`mclictl follow`: the output of one or several runs, live, to their end."""

from __future__ import annotations

import threading
from collections import Counter, deque
from queue import Queue
from typing import TYPE_CHECKING

import click

from cli import names, output
from cli.client import Client, Json, run_path
from cli.ended import exit_code, explain, first_failure
from cli.live import Position, follow, until_over
from cli.logs import offset_option
from cli.options import progress_option
from cli.printer import Printer
from cli.runs import existing
from cli.verb import Target, Verb

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

Followed = tuple[str, Json, Exception | None]

AT_ONCE = 32  # runs followed at the same time; each takes a thread and a connection
QUEUED = 1000  # events that wait for being printed

wait_option = click.option(
    "--wait", "--follow", "-f", "wait", is_flag=True, help="Show its output until it is over."
)


@click.command(
    "follow",
    cls=Verb,
    examples=[
        "mclictl follow 01938e5c-6f4e-7cc2-9c4e-0d5d0f2a8b11",
        "mclictl follow --progress $(mclictl workflow start report)",
        "mclictl follow $(mclictl runs --status running --json | jq -r '.[].id')",
    ],
)
@click.argument("run_ids", metavar="ID...", nargs=-1, required=True, shell_complete=names.runs)
@offset_option
@progress_option
@click.pass_context
def follow_(
    ctx: click.Context, run_ids: tuple[str, ...], offset: str | None, progress: bool
) -> None:
    """Print the output of runs from its beginning until they are over, as it comes.

    The lines of several runs, or of the steps of one, begin with their names. It goes on across
    restarts of the server. Exits as `mclictl wait` does; Ctrl-C leaves the runs alone.
    --json prints one event on each line.
    """
    target = ctx.ensure_object(Target)
    if offset is not None and len(run_ids) > 1:
        raise click.UsageError("--offset is for one run.")
    if progress and target.json:
        raise click.UsageError("Give either --progress or --json.")
    with Client(target.url) as client:
        ended = show(client, run_ids, target, offset=offset, progress=progress)
    for run_id, event in ended.items():
        explain(event, run_id if len(ended) > 1 else "")
    ctx.exit(first_failure(map(exit_code, ended.values())))


def show(
    client: Client,
    run_ids: Sequence[str],
    target: Target,
    *,
    offset: str | None = None,
    progress: bool = False,
) -> dict[str, Json]:
    """Print what runs print until all are over; returns how each ended."""
    run_ids = list(dict.fromkeys(run_ids))
    labels = _labels(client, run_ids)
    ended: dict[str, Json] = {}
    with Printer(labels, progress=progress) as printer:
        for run_id, event in _followed(client, list(labels), offset):
            if event.get("type") == "end":
                ended[run_id] = event
                printer.end(run_id)
            if target.json:
                output.print_json_line(event | {"job_id": run_id})
            elif event.get("type") == "log":
                printer.log(run_id, event)
    # A document is over when its last step is, but has no output of its own.
    return {run_id: ended.get(run_id) or until_over(client, run_id) for run_id in run_ids}


def require_wait(target: Target, *, wait: bool, progress: bool) -> None:
    """Refuse `--progress` where no output is shown."""
    if progress and (target.json or not wait):
        raise click.UsageError("--progress needs --wait, and shows nothing with --json.")


def print_started(
    client: Client, started: Json, target: Target, *, wait: bool, progress: bool
) -> int:
    """Print the id of a run that was started, or its output until it is over; the exit code."""
    run_id = started["job_id"]
    if not wait:
        if target.json:
            output.print_json(started)
        else:
            click.echo(run_id)
        return 0
    if target.json:
        ended = until_over(client, run_id)
        output.print_json(existing(client, run_id))
    else:
        ended = show(client, [run_id], target, progress=progress)[run_id]
    explain(ended)
    return exit_code(ended)


def _labels(client: Client, run_ids: Sequence[str]) -> dict[str, str]:
    """What to follow, and what to call it: steps in place of their documents."""
    labels: dict[str, str] = {}
    for run_id in run_ids:
        run = existing(client, run_id)
        name = run.get("name") or run_id.rpartition("-")[2]
        if not run.get("steps"):
            labels[run_id] = name
            continue
        steps, _ = client.collect(f"{run_path(run_id)}/steps")
        labels |= {
            step["id"]: step["name"] if len(run_ids) == 1 else f"{name}/{step['name']}"
            for step in steps
        }
    if list(labels) == list(run_ids) and len(run_ids) == 1:
        return {run_ids[0]: ""}
    taken = Counter(labels.values())
    return {
        run_id: label if taken[label] == 1 else f"{label}-{run_id[-4:]}"
        for run_id, label in labels.items()
    }


def _followed(
    client: Client, run_ids: Sequence[str], offset: str | None
) -> Iterator[tuple[str, Json]]:
    """Yield the events of runs, each with its run's id, until all are over."""
    if len(run_ids) == 1:
        for event in follow(client, run_ids[0], Position.parse("all", offset)):
            yield run_ids[0], event
        return
    events: Queue[Followed] = Queue(QUEUED)
    waiting = deque(run_ids)
    for _ in range(min(AT_ONCE, len(run_ids))):
        threading.Thread(target=_work, args=(client, waiting, events), daemon=True).start()
    left = set(run_ids)
    while left:
        run_id, event, failure = events.get()
        if failure is not None:
            raise failure
        yield run_id, event
        if event.get("type") == "end":
            left.discard(run_id)


def _work(client: Client, waiting: deque[str], events: Queue[Followed]) -> None:
    """Follow one run after the other until none waits."""
    while True:
        try:
            run_id = waiting.popleft()
        except IndexError:
            return
        try:
            for event in follow(client, run_id, Position("all")):
                events.put((run_id, event, None))
        except Exception as failure:  # raised again by the one who prints
            events.put((run_id, {}, failure))
