"""`mclictl status`: how the server is doing."""

from __future__ import annotations

import click

from cli import output
from cli.client import Client
from cli.verb import Target, Verb
from cli.watching import shown, watch_option


@click.command(cls=Verb, examples=["mclictl status", "mclictl status --json"])
@watch_option
@click.pass_obj
def status(target: Target, watch: bool) -> None:
    """Show how the server is doing: version, home, and how much is running."""
    shown(lambda: _show(target), watch=watch)


def _show(target: Target) -> None:
    with Client(target.url) as client:
        found = client.get("/api/v1/daemon/status")
    if target.json:
        output.print_json(found)
        return
    shown = dict(found)
    if "uptime_seconds" in shown:
        shown["uptime"] = output.duration(shown.pop("uptime_seconds"))
    output.details({"url": target.url} | shown)
