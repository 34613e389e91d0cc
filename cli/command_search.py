"""`mclictl commands search`, `similar` and `tags`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from cli import output
from cli.client import COMMANDS, Client, command_path
from cli.definitions import filter_options, query
from cli.output import Column
from cli.verb import Target, Verb

if TYPE_CHECKING:
    from cli.client import Json


def _score(row: Json) -> str:
    return f"{row['score']:.2f}"


FOUND = [
    Column("NAME", lambda row: row["command"]["name"]),
    Column("LANGUAGE", lambda row: row["command"]["language"]),
    Column("TAGS", lambda row: ",".join(row["command"]["tags"]), shrinks=True),
    Column("DESCRIPTION", lambda row: row["command"]["description"], shrinks=True),
]
SIMILAR = [Column("LIKENESS", _score, right=True), *FOUND]
TAGS = [Column("TAG", "tag"), Column("COMMANDS", "commands", right=True)]


@click.command(
    "search",
    cls=Verb,
    examples=[
        "mclictl commands search deploy staging",
        "mclictl commands search backup --tag nightly --json",
        "mclictl commands search dpeloy --fuzzy",
    ],
)
@click.argument("words", nargs=-1, required=True)
@click.option("--fuzzy", is_flag=True, help="Look for names spelled nearly like that alone.")
@click.option("--limit", type=click.IntRange(1, 100), default=20, show_default=True)
@filter_options
@click.pass_obj
def search(
    target: Target,
    /,
    words: tuple[str, ...],
    fuzzy: bool,
    limit: int,
    **wanted: Any,  # noqa: ANN401 - which commands
) -> None:
    """Find stored commands that have all WORDS, or words that begin so, the best first.

    Name, tags, group, description and code are searched; names weigh most. When nothing has them,
    names spelled nearly like that are shown.
    """
    asked = {"q": " ".join(words), "mode": "fuzzy" if fuzzy else None, "limit": limit}
    with Client(target.url) as client:
        found = client.get(f"{COMMANDS}/search", **asked, **query(wanted))["items"]
    if target.json:
        output.print_json(found)
        return
    if found and not fuzzy and found[0]["by"] == "name":
        click.echo("Nothing has these words; did you mean one of these?", err=True)
    output.table(found, FOUND, empty="nothing found")


@click.command("similar", cls=Verb, examples=["mclictl commands similar hello --limit 5"])
@click.argument("name")
@click.option("--limit", type=click.IntRange(1, 100), default=10, show_default=True)
@click.pass_obj
def similar(target: Target, name: str, limit: int) -> None:
    """List the commands that say much the same as the stored command NAME, the most alike first."""
    with Client(target.url) as client:
        found = client.get(f"{command_path(name)}/similar", limit=limit)["items"]
    if target.json:
        output.print_json(found)
    else:
        output.table(found, SIMILAR, empty="no command is like it")


@click.command("tags", cls=Verb, examples=["mclictl commands tags"])
@click.pass_obj
def tags(target: Target) -> None:
    """List the tags of stored commands; --json prints a list."""
    with Client(target.url) as client:
        found = client.get(f"{COMMANDS}/tags")["items"]
    if target.json:
        output.print_json(found)
    else:
        output.table(found, TAGS, empty="no tags")
