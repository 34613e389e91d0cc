"""`mclictl run`: run a shell command, or a file, on the server as if it ran here."""

from __future__ import annotations

import importlib
import shlex
from pathlib import Path
from typing import Any

import click

from cli import output
from cli.client import RUNS, Client, Json, NotReachable
from cli.credentials import LOOPBACK
from cli.ended import exit_code, explain
from cli.options import progress_option, requested, require_background, run_options
from cli.printer import Printer
from cli.verb import Target, Verb

WORDS, FILE = "cli.run.words", "cli.run.file"


class RunVerb(Verb):
    """Keeps the words behind `--`, or a file, apart from a COMMAND, which click would mix."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Take the words behind the first `--`, or a file and all behind it, away from click."""
        found = self._file(ctx, args)
        if found:
            ctx.meta[FILE] = found
            return super().parse_args(ctx, args[: len(args) - len(found)])
        if "--" in args:
            at = args.index("--")
            ctx.meta[WORDS] = args[at + 1 :]
            args = args[:at]
        return super().parse_args(ctx, args)

    def _file(self, ctx: click.Context, args: list[str]) -> list[str]:
        """The file that the first word means, and what follows it, whatever that looks like."""
        parser = self.make_parser(ctx)
        parser.allow_interspersed_args = False
        parser.ignore_unknown_options = True
        try:
            found, _, _ = parser.parse_args(list(args))
        except click.UsageError:  # click will say so itself
            return []
        words = found.get("commands")
        if not isinstance(words, tuple):
            return []
        before = len(args) - len(words)
        if not words or args[before - 1 : before] == ["--"]:  # these are words of the shell
            return []
        first = words[0]
        if "/" not in first and "." not in first:
            return []
        module = importlib.import_module("cli.local_file")  # knows all interpreters
        return list(words) if module.is_file(first) else []


def _local(target: Target, words: list[str]) -> Json:
    """What is asked for a file of this machine: that it is run where it is, from here."""
    file, *args = words
    with Client(target.url) as client:
        if client.url.host not in LOOPBACK:
            raise click.UsageError(
                f"{file} is a file of this machine, and {client.url} another: store it there with"
                f" `mclictl commands add NAME {file}`, then `mclictl workflow start NAME`."
            )
    if args[:1] == ["--"]:
        args = args[1:]
    module = importlib.import_module("cli.local_file")
    return {"command": module.command_of(file, args), "cwd": str(Path.cwd())}


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
        "mclictl run ./import.py --all data.csv",
        "mclictl run --timeout 60 --env STAGE=test --cwd . -- make test",
        'mclictl run --background "sleep 60 && echo done"',
        "mclictl run --progress --memory 2G --secret API_TOKEN -- ./import --all",
        "mclictl run -b --after 01938e5c-6f4e-7cc2-9c4e-0d5d0f2a8b11 --retries 3 -- make deploy",
    ],
    options_metavar="[OPTIONS]",
)
@click.argument("commands", metavar="COMMAND | FILE [ARG]... | -- WORD...", nargs=-1)
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
    """Run a shell COMMAND, or a FILE, on the server and show its output as it comes.

    Give the command as one quoted argument, or as words behind `--`, which are quoted for you.
    A word that begins with ./, ../, / or ~/, or that is the name of a script here (.py, .sh, .js,
    .ts, .lua, .ipynb), is a file: all that follows it are its arguments, and it runs from this
    folder by its shebang, else by its suffix. Options of mclictl stand before it.
    Ctrl-C, or any other end of mclictl, ends the command too, unless it runs in the background.

    The exit code is the command's own; 128+N when signal N ended it, 124 when it timed out,
    125 when it could not be started or its end is unknown, 126 and 127 when a file cannot be run
    or there is none, 130 after Ctrl-C.
    """
    target = ctx.ensure_object(Target)
    if FILE in ctx.meta:
        body = _local(target, ctx.meta[FILE]) | requested(given)
    else:
        body = {"command": _command(ctx, commands)} | requested(given)
    if cwd is not None:
        body["cwd"] = str(Path(cwd).absolute())
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
