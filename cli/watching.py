"""`--watch`: show something again and again, until Ctrl-C."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import click

from cli import output
from cli.client import ClientError

if TYPE_CHECKING:
    from collections.abc import Callable

EVERY = 2.0
"""Seconds from one look to the next."""

watch_option = click.option(
    "-w", "--watch", is_flag=True, help="Show it again every 2 s, until Ctrl-C."
)


def shown(show: Callable[[], None], *, watch: bool) -> None:
    """Show once, or again and again; a terminal is cleared in between.

    Once something has been shown, a server that does not answer is waited for.
    """
    begun = False
    while True:
        if watch and output.terminal():
            click.clear()
        try:
            show()
        except ClientError as failure:
            if not begun or not failure.passing:
                raise
            failure.show()
        if not watch:
            return
        begun = True
        time.sleep(EVERY)
