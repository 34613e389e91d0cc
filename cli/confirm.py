"""Asks before something is lost that nobody can bring back."""

from __future__ import annotations

import sys

import click

yes_option = click.option("--yes", "-y", is_flag=True, help="Do not ask.")


def confirm(question: str, *, yes: bool) -> None:
    """Go on after a yes on the terminal; `yes` is that of the command line.

    Raises:
        UsageError: there is no terminal to ask on.
        Abort: the answer is no.
    """
    if yes:
        return
    if not sys.stdin.isatty():
        raise click.UsageError("Nobody is there to ask: add --yes.")
    click.confirm(question, abort=True, err=True)
