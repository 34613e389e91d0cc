"""`mclictl commands`: the stored commands that workflows run."""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from cli import names, output
from cli.client import COMMANDS, Client, Json, command_path
from cli.command_bundles import export, import_
from cli.command_history import diff, history, rollback, stats
from cli.command_search import search, similar, tags
from cli.confirm import confirm, yes_option
from cli.definitions import (
    defaults_shown,
    definition,
    definition_options,
    filter_options,
    group_option,
    guess_language,
    is_given,
    language_option,
    print_parameters,
    query,
    read_code,
)
from cli.output import Column
from cli.verb import Noun, Target
from cli.watching import shown, watch_option
from fastapi_app import languages

if TYPE_CHECKING:
    from typing import BinaryIO

COLUMNS = [
    Column("NAME", "name"),
    Column("LANGUAGE", "language"),
    Column("GROUP", "group"),
    Column("TAGS", lambda command: ",".join(command.get("tags") or []), shrinks=True),
    Column("ACTIVE", "is_active"),
    Column("RUNS", "execution_count", right=True),
    Column("LAST RUN", lambda command: output.moment(command.get("last_executed"))),
    Column("DESCRIPTION", "description", shrinks=True),
]

APART = frozenset({"code", "defaults", "parameters", "declared"})
"""What `show` prints in its own way."""
file_option = click.option(
    "--file",
    "-F",
    "file",
    type=click.File("rb"),
    help="Read the code from this file; - is standard input.",
)
code_option = click.option("--code", help="The code itself.")
description_option = click.option("--description", help="What it is for.")


@click.group(
    cls=Noun,
    examples=["mclictl commands list", 'mclictl commands add hello --code "echo hello"'],
)
def commands() -> None:
    """Look after the stored commands."""


def _print(target: Target, command: Json, said: str) -> None:
    if target.json:
        output.print_json(command)
    else:
        click.echo(f"{said} {command.get('name')} ({command.get('language')})")
    if (namesake := command.get("namesake")) is not None:
        click.echo(f"There is '{namesake}', too: both are kept, as case makes a name.", err=True)


@commands.command(
    "add",
    examples=[
        'mclictl commands add hello --code "echo hello"',
        "mclictl commands add report --file report.py --group nightly --tag finance --tag pdf",
        "mclictl commands add release --file release.toml",
        "mclictl commands add sync --file sync.sh --timeout 10m --parameters sync.json",
        "generate-script | mclictl commands add generated - --language python",
    ],
)
@click.argument("name")
@click.argument("source", metavar="[-]", required=False, type=click.Choice(["-"]))
@file_option
@code_option
@language_option
@description_option
@group_option
@click.option("--tag", "tags", multiple=True, shell_complete=names.tags, help="May be repeated.")
@definition_options
@click.pass_obj
def add(
    target: Target,
    /,
    name: str,
    source: str | None,
    file: BinaryIO | None,
    code: str | None,
    language: str | None,
    description: str | None,
    group: str | None,
    tags: tuple[str, ...],
    **defined: Any,  # noqa: ANN401 - the values of the options that add and edit share
) -> None:
    """Store a command as NAME; its code comes from --file, --code or, with -, standard input.

    Without --language it is told by the file's extension, else by the shebang; code with neither
    is shell. TOML and YAML are documents of steps, which run in the order of what they need.
    """
    if source is not None and file is not None:
        raise click.UsageError("Give only one of --file, --code and -.")
    if source is not None:
        file = sys.stdin.buffer
    given = read_code(file, code)
    if given is None:
        raise click.UsageError("Where is the code? Give --file FILE, --code CODE, or -.")
    language = language or guess_language(*given)
    if language is None:
        raise click.UsageError(f"What language is {given[0] or 'this'} in? Give --language.")
    body: Json = {"name": name, "code": given[1], "language": language, "tags": list(tags)}
    body |= {"description": description} if description is not None else {}
    body |= {"group": group} if group is not None else {}
    body |= definition(defined, {})
    with Client(target.url) as client:
        _print(target, client.send("POST", "/api/v1/commands/create", body), "added")


@commands.command(
    "list",
    examples=[
        "mclictl commands list",
        "mclictl commands list --all --language python",
        "mclictl commands list --tag nightly --tag pdf",
    ],
)
@filter_options
@watch_option
@click.pass_obj
def list_(
    target: Target,
    /,
    watch: bool,
    **wanted: Any,  # noqa: ANN401 - which commands
) -> None:
    """List the stored commands; --json prints a list."""

    def show() -> None:
        with Client(target.url) as client:
            found, _ = client.collect(f"{COMMANDS}/list", **query(wanted))
        if target.json:
            output.print_json(found)
        else:
            output.table(found, COLUMNS, empty="no stored commands")

    shown(show, watch=watch)


@commands.command(
    "show",
    examples=["mclictl commands show hello", "mclictl commands show hello --code > hello.sh"],
)
@click.argument("name", shell_complete=names.commands)
@click.option("--code", "only_code", is_flag=True, help="Print nothing but the code.")
@click.pass_obj
def show(target: Target, name: str, only_code: bool) -> None:
    """Show the stored command NAME and its code."""
    with Client(target.url) as client:
        found = client.get(command_path(name))
    if target.json:
        output.print_json(found["code"] if only_code else found)
        return
    code = str(found.get("code", ""))
    if not only_code:
        shown = {key: value for key, value in found.items() if key not in APART}
        shown["tags"] = ", ".join(found.get("tags") or [])
        for key in ("created_at", "updated_at", "last_executed"):
            shown[key] = output.moment(found.get(key))
        output.details(shown | defaults_shown(found))
        print_parameters(found)
        code = f"\n{code.rstrip()}\n"
    output.write_text(code)


@commands.command(
    "edit",
    examples=[
        "mclictl commands edit hello",
        'mclictl commands edit hello --description "Says hello" --tag greeting',
        "mclictl commands edit hello --file hello.sh",
        "mclictl commands edit hello --timeout 5m --env STAGE=test --slots nightly",
    ],
)
@click.argument("name", shell_complete=names.commands)
@file_option
@code_option
@language_option
@description_option
@group_option
@click.option(
    "--tag",
    "tags",
    multiple=True,
    shell_complete=names.tags,
    help="Replaces all tags; may be repeated, '' for none.",
)
@click.option("--active/--inactive", default=None, help="Whether it can be run.")
@definition_options
@click.pass_obj
def edit(
    target: Target,
    /,
    name: str,
    file: BinaryIO | None,
    code: str | None,
    tags: tuple[str, ...],
    active: bool | None,
    **given: Any,  # noqa: ANN401 - texts, and the values of the options that add and edit share
) -> None:
    """Edit the code of the stored command NAME in $EDITOR, or set the fields given as options.

    An editor that ends with an error changes nothing.
    """
    texts = {key: given.pop(key) for key in ("language", "description", "group")}
    body: Json = {key: value for key, value in texts.items() if value is not None}
    if read := read_code(file, code):
        body["code"] = read[1]
    if tags:
        body["tags"] = [tag for tag in tags if tag]
    if active is not None:
        body["is_active"] = active
    with Client(target.url) as client:
        if is_given(given):
            body |= definition(given, client.get(command_path(name)))
        if body:
            command, changed = client.send("PUT", command_path(name), body), True
        else:
            command, changed = _edit_code(client, client.get(command_path(name)))
    _print(target, command, "changed" if changed else "unchanged:")


def _edit_code(client: Client, command: Json) -> tuple[Json, bool]:
    """Let the user edit; whatever goes wrong, the text stays in a file that is named."""
    suffix = languages.suffix(command.get("language", ""))
    handle, name = tempfile.mkstemp(prefix="mclictl-", suffix=suffix)
    path = Path(name)
    try:
        # Bytes: carriage returns in the code are the user's own.
        with os.fdopen(handle, "wb") as draft:
            draft.write(command["code"].encode("utf-8", "surrogatepass"))
        click.edit(filename=name)
        code = path.read_bytes().decode("utf-8")
        changed = code != command["code"]
        if changed:
            command = client.send("PUT", command_path(command["name"]), {"code": code})
    except (click.ClickException, OSError, UnicodeDecodeError, KeyboardInterrupt) as failure:
        click.echo(f"Your text is kept in {path}", err=True)
        if isinstance(failure, UnicodeDecodeError):
            raise click.ClickException(f"{path} is not UTF-8 text: {failure}.") from failure
        raise
    path.unlink()
    return command, changed


@commands.command(
    "rm", examples=["mclictl commands rm hello", "mclictl commands rm hello --yes --json"]
)
@click.argument("name", shell_complete=names.commands)
@yes_option
@click.pass_obj
def rm(target: Target, name: str, yes: bool) -> None:
    """Remove the stored command NAME; its runs and their output stay."""
    confirm(f"Remove the stored command '{name}'?", yes=yes)
    with Client(target.url) as client:
        client.send("DELETE", command_path(name))
    if target.json:
        output.print_json({"removed": name})
    else:
        click.echo(f"removed {name}")


def _switch(target: Target, name: str, *, active: bool) -> None:
    with Client(target.url) as client:
        changed = client.send("PUT", command_path(name), {"is_active": active})
    _print(target, changed, "enabled" if active else "disabled")


@commands.command("enable", examples=["mclictl commands enable hello"])
@click.argument("name", shell_complete=names.commands)
@click.pass_obj
def enable(target: Target, name: str) -> None:
    """Let the stored command NAME be run again."""
    _switch(target, name, active=True)


@commands.command("disable", examples=["mclictl commands disable hello"])
@click.argument("name", shell_complete=names.commands)
@click.pass_obj
def disable(target: Target, name: str) -> None:
    """Let nobody run the stored command NAME; runs that go on do so."""
    _switch(target, name, active=False)


for verb in (history, diff, rollback, stats, search, similar, tags, import_, export):
    commands.add_command(verb)
