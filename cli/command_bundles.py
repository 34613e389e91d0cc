"""`mclictl commands import` and `export`: bundles and folders of stored commands."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from cli import names, output
from cli.client import COMMANDS, Client
from cli.command_files import MANIFEST, Folder, read_folder, read_script
from cli.definitions import LANGUAGES, group_filter, tag_filter
from cli.output import Column
from cli.verb import Target, Verb

if TYPE_CHECKING:
    from collections.abc import Iterator

    from cli.client import Json

FORMAT = "mcli-commands"
BATCH, BATCH_BYTES = 500, 4_000_000
OUTCOMES = [
    Column("NAME", "name"),
    Column("OUTCOME", "outcome"),
    Column("CHANGED", lambda item: ", ".join(item["changed"]), shrinks=True),
]


@click.command(
    "import",
    cls=Verb,
    examples=[
        "mclictl commands import deploy.sh --tag ops",
        "mclictl commands import scripts/ --group nightly --dry-run",
        "mclictl commands import commands.json --update",
    ],
)
@click.argument("path", type=click.Path(exists=True, allow_dash=True, path_type=Path))
@click.option("--name", help="Of the one script; without it that of its file.")
@click.option("--language", type=click.Choice(LANGUAGES), help="Of all scripts.")
@click.option(
    "--group", shell_complete=names.command_groups, help="Sort all of them under this name."
)
@click.option(
    "--tag",
    "tags",
    multiple=True,
    shell_complete=names.tags,
    help="Of all of them; may be repeated.",
)
@click.option("--update", is_flag=True, help="Overwrite what is stored and says something else.")
@click.option("--dry-run", is_flag=True, help="Only tell what would become of each.")
@click.pass_context
def import_(
    ctx: click.Context,
    /,
    path: Path,
    name: str | None,
    language: str | None,
    group: str | None,
    tags: tuple[str, ...],
    update: bool,
    dry_run: bool,
) -> None:
    """Store the scripts of a file, a folder or a bundle; - is a bundle on standard input.

    A script's name is that of its file without the suffix; its language is told by that, else by
    its first line. What is stored already and says something else is a conflict: then nothing is
    imported, unless --update is given. What was overwritten stays in the history.
    """
    target = ctx.ensure_object(Target)
    given: Json = {"language": language} if language else {}
    given |= {"group": group} if group is not None else {}
    given |= {"tags": list(tags)} if tags else {}
    items = _items(path, name, given)
    with Client(target.url) as client:
        # What comes in several requests is tried as a whole before the first of them.
        told = _sent(client, items, update=update, dry_run=True)
        conflicts = sum(item["outcome"] == "conflict" for item in told)
        if not conflicts and not dry_run:
            told = _sent(client, items, update=update, dry_run=False)
    if target.json:
        output.print_json(told)
    else:
        output.table(told, OUTCOMES, empty="nothing to import")
    if conflicts:
        click.echo(
            f"Nothing was imported: {conflicts} of {len(told)} say something else than what is"
            " stored. Add --update to overwrite them; what they were stays in their history.",
            err=True,
        )
        ctx.exit(1)


def _items(path: Path, name: str | None, given: Json) -> list[Json]:
    if path.is_dir():
        if name is not None:
            raise click.UsageError("--name is for one script, not for a folder.")
        folder = read_folder(path, given)
        for skipped in folder.skipped:
            click.echo(f"skipped {skipped}", err=True)
        return folder.items
    if str(path) == "-" or path.suffix.lower() == ".json":
        text = sys.stdin.buffer.read() if str(path) == "-" else path.read_bytes()
        return [item | given for item in _bundle(str(path), text)]
    return [read_script(path, given) | ({"name": name} if name is not None else {})]


def _bundle(name: str, text: bytes) -> list[Json]:
    try:
        found = json.loads(text)
    except ValueError as failure:
        raise click.ClickException(f"{name} is not JSON: {failure}.") from failure
    items = found.get("items") if isinstance(found, dict) else None
    if not isinstance(items, list) or found.get("format") != FORMAT:
        raise click.ClickException(
            f"{name} is no bundle of commands; `mclictl commands export` makes them."
        )
    if not all(isinstance(item, dict) for item in items):
        raise click.ClickException(f"{name}: every item must be an object.")
    return items


def _sent(client: Client, items: list[Json], *, update: bool, dry_run: bool) -> list[Json]:
    path, query = f"{COMMANDS}/import", {"update": update, "dry_run": dry_run}
    told: list[Json] = []
    with output.progress(len(items), "checked" if dry_run else "imported") as advance:
        for batch in _batches(items):
            body = {"format": FORMAT, "items": batch}
            told += client.send("POST", path, body, patient=True, **query)["items"]
            advance(len(batch))
    return told


def _batches(items: list[Json]) -> Iterator[list[Json]]:
    batch: list[Json] = []
    size = 0
    for item in items:
        length = len(json.dumps(item))
        if batch and (len(batch) == BATCH or size + length > BATCH_BYTES):
            yield batch
            batch, size = [], 0
        batch.append(item)
        size += length
    if batch:
        yield batch


@click.command(
    "export",
    cls=Verb,
    examples=[
        "mclictl commands export > commands.json",
        "mclictl commands export --folder scripts/ --tag nightly",
    ],
)
@click.option(
    "--folder",
    type=click.Path(file_okay=False, path_type=Path),
    help="Write a file for each command there, and one with what is no code.",
)
@click.option("--force", is_flag=True, help="Overwrite files that say something else.")
@click.option("--active", is_flag=True, help="Leave out inactive ones.")
@tag_filter
@click.option("--language", type=click.Choice(LANGUAGES), help="In this language.")
@group_filter
@click.pass_obj
def export(
    target: Target,
    /,
    folder: Path | None,
    force: bool,
    active: bool,
    **wanted: Any,  # noqa: ANN401 - which commands
) -> None:
    """Print stored commands as a bundle, or write them into a folder; `import` takes either."""
    query = {key: value for key, value in wanted.items() if value not in (None, ())}
    with Client(target.url) as client:
        items, _ = client.collect(f"{COMMANDS}/export", all=not active or None, **query)
    if folder is None:
        output.print_json({"format": FORMAT, "version": 1, "items": items})
        return
    written = Folder(folder).write(items, force=force)
    if target.json:
        output.print_json({"folder": str(folder), "files": written})
    else:
        click.echo(f"{len(items)} commands in {folder}, described in {MANIFEST}")
