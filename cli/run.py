"""`mclictl run`: run a shell command on the server as if it ran here."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING

import click

from cli import output
from cli.client import RUNS, Client, Json, NotReachable
from cli.verb import Target, Verb, env_option

if TYPE_CHECKING:
    from collections.abc import Iterable

WORDS = "cli.run.words"
EXIT_TIMED_OUT = 124  # as timeout(1) says it
EXIT_NOT_RUN = 125  # as docker, env and timeout say that they, not the command, failed
EXIT_SIGNAL = 128  # as shells say it: 128 + number


class RunVerb(Verb):
    """Keeps the words behind `--` apart from a COMMAND, which click itself would mix."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Take the words behind the first `--` away from click."""
        if "--" in args:
            at = args.index("--")
            ctx.meta[WORDS] = args[at + 1 :]
            args = args[:at]
        return super().parse_args(ctx, args)


def exit_code(ended: Json) -> int:
    """Give the exit code a shell would give for how a run ended."""
    if ended.get("status") == "timed_out":
        return EXIT_TIMED_OUT
    code = ended.get("returncode")
    if not isinstance(code, int):
        return EXIT_NOT_RUN
    return code if code >= 0 else EXIT_SIGNAL - code


def show_until_end(events: Iterable[Json]) -> Json:
    """Write the output as it comes; return the `end` event, or {} when there was none."""
    for event in events:
        if event.get("type") == "log":
            output.write_log(event, split=True)
        elif event.get("type") == "end":
            return event
    return {}


def explain(ended: Json) -> None:
    """Say why a run has no exit code of its own."""
    if exit_code(ended) in (EXIT_TIMED_OUT, EXIT_NOT_RUN):
        reason = ended.get("reason") or ended.get("error") or ""
        click.echo(f"mclictl: {ended.get('status')}{reason and f': {reason}'}", err=True)


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
    ],
    options_metavar="[OPTIONS]",
)
@click.argument("commands", metavar="COMMAND | -- WORD...", nargs=-1)
@click.option(
    "--timeout", type=click.FloatRange(0, min_open=True), help="End it after so many seconds."
)
@env_option
@click.option("--cwd", metavar="DIR", help="Folder to run in.  [default: the server's]")
@click.option("--background", "-b", is_flag=True, help="Do not wait: print the run's id.")
@click.pass_context
def run(
    ctx: click.Context,
    commands: tuple[str, ...],
    timeout: float | None,
    env: dict[str, str],
    cwd: str | None,
    background: bool,
) -> None:
    """Run a shell COMMAND on the server and show its output as it comes.

    Give the command as one quoted argument, or as words behind `--`, which are quoted for you.
    Ctrl-C, or any other end of mclictl, ends the command too, unless it runs in the background.

    The exit code is the command's own; 128+N when signal N ended it, 124 when it timed out,
    125 when it could not be started or its end is unknown, 130 after Ctrl-C.
    """
    body: Json = {"command": _command(ctx, commands)}
    if timeout is not None:
        body["timeout"] = timeout
    if env:
        body["env"] = env
    if cwd is not None:
        body["cwd"] = str(Path(cwd).absolute())
    target = ctx.ensure_object(Target)
    with Client(target.url) as client:
        if background:
            _start(client, body, target)
        else:
            ended = _collect(client, body) if target.json else _stream(client, body)
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


def _stream(client: Client, body: Json) -> Json:
    events = client.events("POST", f"{RUNS}/execute", body | {"stream": True})
    start = next(events, {})
    try:
        ended = show_until_end(events)
    except NotReachable as failure:
        raise _broken(start) from failure
    if not ended:
        raise _broken(start)
    return ended


def _broken(start: Json) -> NotReachable:
    return NotReachable(
        "The connection broke before the command was over; "
        f"`mclictl show {start.get('job_id')}` tells what became of it."
    )
