"""`mclictl`: finds the command by its name and loads nothing but that command's module."""

from __future__ import annotations

import errno
import importlib
import importlib.util

import click
from click.shell_completion import CompletionItem

from cli.verb import Noun, Target, json_option, url_option

# name: (module, attribute, short help). A command whose module is not there is left out, so that
# deleting a file takes its commands away.
COMMANDS = {
    "serve": ("cli.serve", "serve", "Run the server until it is told to end."),
    "status": ("cli.status", "status", "Show how the server is doing."),
    "run": ("cli.run", "run", "Run a shell command and show its output as it comes."),
    "runs": ("cli.runs", "runs", "List runs, newest first."),
    "show": ("cli.runs", "show", "Show one run, its history and its steps."),
    "logs": ("cli.logs", "logs", "Print the output of a run, or follow it."),
    "follow": ("cli.follow", "follow_", "Print the output of runs, live, to their end."),
    "wait": ("cli.wait", "wait", "Wait until runs are over."),
    "send": ("cli.control", "send", "Send text to the standard input of a run."),
    "stop": ("cli.control", "stop", "Stop runs."),
    "retry": ("cli.control", "retry", "Run once more what a run ran."),
    "rm": ("cli.control", "rm", "Forget runs and their output."),
    "clean": ("cli.control", "clean", "Forget all or some of the runs that are over."),
    "events": ("cli.events", "events", "Print what happens to runs, as it happens."),
    "groups": ("cli.groups", "groups", "Groups of runs and their slots: list, set, rm."),
    "pause": ("cli.groups", "pause", "Start no more runs of a group."),
    "resume": ("cli.groups", "resume", "Start runs of a group again."),
    "commands": (
        "cli.commands",
        "commands",
        "Stored commands: add, search, edit, history…",
    ),
    "workflow": ("cli.workflow", "workflow", "Runs of stored commands: start, list, stop."),
    "sync": (
        "cli.sync",
        "sync",
        "Scripts of a folder and stored commands: status, push, pull.",
    ),
    "schedule": ("cli.schedule", "schedule", "Scheduled jobs: add, list, show, edit, run, rm."),
    "process": ("cli.process", "process", "Processes that are looked after: run, list, stop…"),
    "audit": ("cli.audit", "audit", "Who did what that matters for security."),
    "cutover": ("cli.cutover", "cutover", "Legacy routes: which stack answers them, and how well."),
    "rollout": ("cli.cutover", "rollout", "Let legacy routes go over by a plan: start, status."),
    "prove": ("cli.cutover", "prove", "Prove that legacy routes answer the same in every stage."),
    "record": ("cli.cutover", "record", "Record calls of legacy routes, to be played by prove."),
    "login": ("cli.accounts", "login", "Log in at a server, as a user with a password."),
    "logout": ("cli.accounts", "logout", "End the login."),
    "whoami": ("cli.accounts", "whoami", "Show as whom the server knows you."),
    "token": ("cli.accounts", "token", "Print the token that mclictl sends, for curl and others."),
    "keys": ("cli.accounts", "keys", "API keys of programs: add, list, rm."),
    "users": ("cli.accounts", "users", "Users and their roles: add, list, set, rm."),
    "bench": ("cli.bench", "bench", "Reports of the benchmark: compare two, as a gate."),
    "doctor": ("cli.self_", "doctor", "Look for the commonest problems, and say what to do."),
    "self": ("cli.self_", "self_", "This installation: version, doctor, config, where."),
    "help": ("cli.help", "help_", "Show the help of a command."),
    "completion": ("cli.completion", "completion", "Print the completion script of a shell."),
}

EPILOG = """\
\b
Exit codes:
  0    done
  1    the server said no, or something failed
  2    the command line is wrong
  3    the server cannot be reached
  130  interrupted with Ctrl-C
`run`, `wait`, `follow`, and `--wait` of `workflow start` and `retry` pass on the
exit code of the run, or of several the first that is not 0. Besides they have:
  124    it timed out, or the time of `wait --timeout` has passed
  125    it was not started, or was cancelled, or its end is unknown
  128+N  signal N ended it
"""


class Root(Noun):
    """The commands of the table above, each imported when it is called for."""

    def list_commands(self, _ctx: click.Context) -> list[str]:
        """Names in the order of the table, as far as their modules exist."""
        return [
            name for name, (module, _, _) in COMMANDS.items() if importlib.util.find_spec(module)
        ]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import the module behind a name."""
        if cmd_name not in self.list_commands(ctx):
            return None
        module, attribute, _ = COMMANDS[cmd_name]
        command: click.Command = getattr(importlib.import_module(module), attribute)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the commands from the table: asking each for its help would import them all."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, COMMANDS[name][2]) for name in self.list_commands(ctx)])

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        """Complete names from the table, for the same reason."""
        names = [
            CompletionItem(name, help=COMMANDS[name][2])
            for name in self.list_commands(ctx)
            if name.startswith(incomplete)
        ]
        return names + click.Command.shell_complete(self, ctx, incomplete)

    def invoke(self, ctx: click.Context) -> object:
        """Run the command; being interrupted, or the system saying no, needs no traceback."""
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            raise click.exceptions.Exit(130) from None
        except UnicodeEncodeError as failure:
            # What came in as bytes that are no UTF-8 is lone surrogates here (PEP 383).
            odd = failure.object[failure.start : failure.end]
            shown = odd.encode("utf-8", "backslashreplace").decode()
            raise click.UsageError(f"Names and texts must be UTF-8, and {shown} is not.") from None
        except OSError as failure:
            # A reader that went away (`mclictl runs | head -1`) is click's to handle.
            if failure.errno == errno.EPIPE:
                raise
            raise click.ClickException(str(failure)) from failure


def _print_version(ctx: click.Context, _param: click.Parameter, value: bool) -> None:
    if not value or ctx.resilient_parsing:
        return
    from importlib import metadata  # noqa: PLC0415 - slow to import, and only needed here

    try:
        version = metadata.version("mcli-dualstack")
    except metadata.PackageNotFoundError:
        version = "0+unknown"  # a source tree that was never installed
    click.echo(f"mclictl {version}")
    ctx.exit()


@click.group(
    cls=Root,
    epilog=EPILOG,
    context_settings={"help_option_names": ["-h", "--help"]},
    examples=[
        "mclictl serve",
        'mclictl run "echo hi"',
        "mclictl --url http://127.0.0.1:9000 runs --status failed --json",
    ],
)
@click.option(
    "--version",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=_print_version,
    help="Show the version and exit.",
)
@click.pass_context
def cli(ctx: click.Context) -> None:
    """Run commands and workflows on a server, and look after them."""
    ctx.ensure_object(Target)


cli.params += [url_option("MCLI_URL"), json_option()]


def main() -> None:
    """Entry point of `mclictl`."""
    cli(prog_name="mclictl")
