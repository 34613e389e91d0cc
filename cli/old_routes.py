"""What the commands about old routes share: where they ask, whom they name, how a stage looks."""

from __future__ import annotations

import getpass
import os
import socket
from typing import TYPE_CHECKING

from rich.text import Text

from cli import output
from cli.client import Client, ClientError, Json

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cli.output import Column
    from cli.verb import Target

API = "/api/v1/cutover"
STYLES = {
    **dict.fromkeys(("passed", "completed", "new", "done"), "green"),
    **dict.fromkeys(("failed", "rolled_back", "aborted", "gone"), "red"),
    **dict.fromkeys(("inconclusive", "waiting", "paused", "canary", "brownout"), "yellow"),
    **dict.fromkeys(("running", "shadow", "current"), "cyan"),
}


def styled(value: object, text: object = None) -> Text:
    """Show a word, or another text, in the colour of the word."""
    return Text(str(value if text is None else text), style=STYLES.get(str(value), ""))


def stage_text(row: Json) -> Text:
    """Show where a route stands."""
    percent = f" {row['percent']}%" if row["stage"] == "canary" else ""
    return styled(row["stage"], f"{row['stage']}{percent}")


def me() -> str:
    """Name the operator for the audit log."""
    try:
        user = getpass.getuser()
    except (KeyError, OSError):  # no name in the environment, none in the password file
        user = str(os.getuid())
    return f"{user}@{socket.gethostname()}"


def rows_of(target: Target, what: str, **query: object) -> list[Json]:
    """GET a list below the API of the old routes."""
    with Client(target.url) as client:
        try:
            return client.rows(f"{API}/{what}", **query)
        except ClientError as failure:
            if failure.status != 404 or failure.code == "route-not-found":
                raise
            raise ClientError(f"{target.url} serves no legacy routes.") from failure


def print_rows(target: Target, rows: list[Json], columns: Sequence[Column], *, empty: str) -> None:
    """Print rows as a table, or as JSON."""
    if target.json:
        output.print_json(rows)
    else:
        output.table(rows, columns, empty=empty)
