"""`mclictl help`: the same as --help, for who types that first."""

from __future__ import annotations

import click

from cli.verb import LocalVerb


@click.command(
    "help", cls=LocalVerb, examples=["mclictl help", "mclictl help run", "mclictl help groups set"]
)
@click.argument("words", metavar="[COMMAND]...", nargs=-1)
@click.pass_context
def help_(ctx: click.Context, words: tuple[str, ...]) -> None:
    """Show the help of COMMAND, or of all there are."""
    found = ctx.find_root()
    for word in words:
        group = found.command
        if not isinstance(group, click.Group):
            raise click.UsageError(f"`{found.command_path}` has no commands of its own.")
        name, command, _ = group.resolve_command(found, [word])
        if command is None:
            raise click.UsageError(f"No such command '{word}'.")
        found = click.Context(command, found, name)
    click.echo(found.get_help())
