"""Writes docs/cli.md, the help of every command: `python -m cli.reference > docs/cli.md`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from cli.main import cli

if TYPE_CHECKING:
    from collections.abc import Iterator

WIDTH = 100


def pages(command: click.Command, parent: click.Context | None = None) -> Iterator[click.Context]:
    """Every command of the tree, those of a noun behind it."""
    context = click.Context(
        command,
        parent,
        "mclictl" if parent is None else command.name,
        terminal_width=WIDTH,
        max_content_width=WIDTH,
        color=False,
    )
    yield context
    if isinstance(command, click.Group):
        for name in command.list_commands(context):
            child = command.get_command(context, name)
            if child is not None:
                yield from pages(child, context)


def reference() -> str:
    """The whole page."""
    lines = ["# mclictl", "", "Made by `python -m cli.reference`, from what `--help` says.", ""]
    for context in pages(cli):
        depth = context.command_path.count(" ") + 1
        lines += [f"{'#' * (depth + 1)} {context.command_path}", "", "```"]
        lines += [*context.get_help().rstrip().splitlines(), "```", ""]
    return "\n".join(line.rstrip() for line in lines)


if __name__ == "__main__":
    click.echo(reference().rstrip())
