"""`mclictl completion`: the script that teaches a shell to complete our commands."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class

from cli.verb import LocalVerb


@click.command(
    cls=LocalVerb,
    examples=[
        'eval "$(mclictl completion bash)"',
        'eval "$(mclictl self completion zsh)"',
        "mclictl completion fish > ~/.config/fish/completions/mclictl.fish",
    ],
)
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@click.pass_context
def completion(ctx: click.Context, shell: str) -> None:
    """Print the completion script of SHELL: bash, zsh or fish."""
    kind = get_completion_class(shell)
    if kind is None:
        raise click.ClickException(f"click cannot complete in {shell}.")
    root = ctx.find_root()
    click.echo(kind(root.command, {}, "mclictl", "_MCLICTL_COMPLETE").source())
