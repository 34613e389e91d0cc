"""`mclictl wait`: until runs are over."""

from __future__ import annotations

import time

import click

from cli import names, output
from cli.client import Client
from cli.ended import exit_code, explain, first_failure
from cli.live import FOREVER, TimeIsUp, until_over
from cli.quantities import read_by, seconds
from cli.runs import existing
from cli.verb import Target, Verb


@click.command(
    cls=Verb,
    examples=[
        "mclictl wait 01938e5c-6f4e-7cc2-9c4e-0d5d0f2a8b11",
        "mclictl wait --timeout 10m $(mclictl workflow start report) && mclictl run ./publish",
    ],
)
@click.argument("run_ids", metavar="ID...", nargs=-1, required=True, shell_complete=names.runs)
@click.option(
    "--timeout",
    metavar="TIME",
    callback=read_by(seconds),
    help="Give up after 90, 90s, 2m…; the runs go on.",
)
@click.pass_context
def wait(ctx: click.Context, run_ids: tuple[str, ...], timeout: float | None) -> None:
    """Wait until runs are over; --json prints a list of them then.

    The exit code is the run's own, as `mclictl run` gives it; of several runs the first, in the
    order given, that is not 0. 124 also says that --timeout has passed. It goes on across restarts
    of the server.
    """
    target = ctx.ensure_object(Target)
    deadline = FOREVER if timeout is None else time.monotonic() + timeout
    codes = []
    with Client(target.url) as client:
        for run_id in run_ids:
            try:
                ended = until_over(client, run_id, deadline)
            except TimeIsUp as failure:
                raise TimeIsUp(f"{run_id} is not over after {timeout:g} s.") from failure
            explain(ended, run_id if len(run_ids) > 1 else "")
            codes.append(exit_code(ended))
        if target.json:
            output.print_json([existing(client, run_id) for run_id in run_ids])
    ctx.exit(first_failure(codes))
