"""`mclictl run`: run a shell command on the server as if it ran here."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Any

import click

from cli import output
from cli.client import RUNS, Client, Json, NotReachable
from cli.ended import exit_code, explain
from cli.options import progress_option, requested, require_background, run_options
from cli.printer import Printer
from cli.verb import Target, Verb

WORDS = "cli.run.words"


class RunVerb(Verb):
    """Keeps the words behind `--` apart from a COMMAND, which click itself would mix."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Take the words behind the first `--` away from click."""
        if "--" in args:
            at = args.index("--")
            ctx.meta[WORDS] = args[at + 1 :]
            args = args[:at]
        return super().parse_args(ctx, args)


def _command(ctx: click.Context, commands: tuple[str, ...]) -> str:
    words: list[str] = ctx.meta.get(WORDS, [])
    if commands and words:
        raise click.UsageError("Give either a COMMAND or words behind `--`, not both.")
    if len(commands) > 1:
        quoted = shlex.join(commands)
        raise click.UsageError(
            f"COMMAND must be one argument: quote it, or write `mclictl run -- {quoted}`."
        )
    if not commands and not words:
        raise click.UsageError("Missing argument 'COMMAND'.")
    return commands[0] if commands else shlex.join(words)


@click.command(
    cls=RunVerb,
    examples=[
        'mclictl run "echo hi"',
        "mclictl run --timeout 60 --env STAGE=test --cwd . -- make test",
        'mclictl run --background "sleep 60 && echo done"',
        "mclictl run --progress --memory 2G --secret API_TOKEN -- ./import --all",
        "mclictl run -b --after 01938e5c-6f4e-7cc2-9c4e-0d5d0f2a8b11 --retries 3 -- make deploy",
    ],
    options_metavar="[OPTIONS]",
)
@click.argument("commands", metavar="COMMAND | -- WORD...", nargs=-1)
@run_options
@click.option("--cwd", metavar="DIR", help="Folder to run in.  [default: the server's]")
@click.option("--background", "-b", is_flag=True, help="Do not wait: print the run's id.")
@progress_option
@click.pass_context
def run(
    ctx: click.Context,
    /,
    commands: tuple[str, ...],
    cwd: str | None,
    background: bool,
    progress: bool,
    **given: Any,  # noqa: ANN401 - the values of the options that all runs share
) -> None:
    """Run a shell COMMAND on the server and show its output as it comes.

    Give the command as one quoted argument, or as words behind `--`, which are quoted for you.
    Ctrl-C, or any other end of mclictl, ends the command too, unless it runs in the background.

    The exit code is the command's own; 128+N when signal N ended it, 124 when it timed out,
    125 when it could not be started or its end is unknown, 130 after Ctrl-C.
    """
    body: Json = {"command": _command(ctx, commands)} | requested(given)
    if cwd is not None:
        body["cwd"] = str(Path(cwd).absolute())
    target = ctx.ensure_object(Target)
    if not background:
        require_background(body)
    if progress and (background or target.json):
        raise click.UsageError("--progress shows output, which --background and --json do not.")
    with Client(target.url) as client:
        if background:
            _start(client, body, target)
        else:
            ended = _collect(client, body) if target.json else _stream(client, body, progress)
            explain(ended)
            ctx.exit(exit_code(ended))


def _start(client: Client, body: Json, target: Target) -> None:
    started = client.send("POST", f"{RUNS}/execute", body | {"background": True})
    if target.json:
        output.print_json(started)
    else:
        click.echo(started["job_id"])


def _collect(client: Client, body: Json) -> Json:
    ended = client.send("POST", f"{RUNS}/execute", body, patient=True)
    output.print_json(ended)
    return ended


def _stream(client: Client, body: Json, progress: bool) -> Json:
    events = client.events("POST", f"{RUNS}/execute", body | {"stream": True})
    start = next(events, {})
    run_id = str(start.get("job_id"))
    try:
        with Printer({run_id: ""}, progress=progress) as printer:
            for event in events:
                if event.get("type") == "log":
                    printer.log(run_id, event)
                elif event.get("type") == "end":
                    return event
    except NotReachable as failure:
        raise _broken(run_id) from failure
    raise _broken(run_id)


def _broken(run_id: str) -> NotReachable:
    return NotReachable(
        "The connection broke before the command was over; "
        f"`mclictl show {run_id}` tells what became of it."
    )
