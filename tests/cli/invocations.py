"""Which commands of `mclictl` the tests have called, and what of the outcome they looked at."""

from __future__ import annotations

import json
import subprocess
from typing import TYPE_CHECKING, Any

import click

from cli.main import cli
from cli.verb import LocalVerb, Noun, Verb

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

PLAIN, JSON, FAILURE = "plain output", "--json", "failure"
LOOKED: set[tuple[str, str]] = set()
"""Pairs of a command, such as `groups set`, and what of it was looked at."""


class Outcome(subprocess.CompletedProcess[str]):
    """How `mclictl` ended.

    A test that reads what it printed has looked at it; one that does not, for it only wanted a run
    or a group to be there, has not.
    """

    def __getattribute__(self, name: str) -> Any:  # noqa: ANN401 - as in the class above
        value = super().__getattribute__(name)
        if name == "stdout" and value:
            note(self.args, value)
        elif name == "stderr" and value:
            said = FAILURE if self.returncode else PLAIN
            if said == FAILURE or not _json(self.args):
                LOOKED.add((command_of(self.args), said))
        return value


def note(args: Sequence[str], stdout: str | None = None) -> None:
    """Remember that somebody looks at what this call prints (`stdout`, when it is known)."""
    if not _json(args):
        LOOKED.add((command_of(args), PLAIN))
    elif stdout is None or _is_json(stdout):
        LOOKED.add((command_of(args), JSON))


def _json(args: Sequence[str]) -> bool:
    ours = args[: args.index("--")] if "--" in args else args
    return "--json" in ours


def _is_json(text: str) -> bool:
    """Whether it is one document, or one on each line."""
    try:
        json.loads(text)
    except ValueError:
        try:
            return bool([json.loads(line) for line in text.splitlines()])
        except ValueError:
            return False
    return True


def command_of(args: Sequence[str]) -> str:
    """The command that a command line calls: `groups set` of `--json groups set x --slots 1`."""
    command: click.Command = cli
    path: list[str] = []
    words = iter(args)
    for word in words:
        if not isinstance(command, click.Group):
            break
        if word.startswith("-"):
            if word == "--url":
                next(words, None)
            continue
        found = command.get_command(click.Context(command), word)
        if found is None:
            break
        command = found
        path.append(word)
    return " ".join(path)


def every_command(
    command: click.Command = cli, parent: click.Context | None = None
) -> Iterator[click.Context]:
    """Walk the tree of commands."""
    context = click.Context(command, parent, "mclictl" if parent is None else command.name)
    yield context
    if isinstance(command, click.Group):
        for name in command.list_commands(context):
            child = command.get_command(context, name)
            assert child is not None
            yield from every_command(child, context)


def owed() -> set[tuple[str, str]]:
    """All that some test has to look at: of each command its output, its --json, its failure."""
    found = set()
    for context in every_command():
        command = context.command
        name = context.command_path.removeprefix("mclictl").strip()
        acts = isinstance(command, LocalVerb) or (
            isinstance(command, Noun) and command.invoke_without_command
        )
        if name and acts:
            found |= {(name, PLAIN), (name, FAILURE)}
        if name and (isinstance(command, Verb) or (acts and isinstance(command, Noun))):
            found.add((name, JSON))
    return found
