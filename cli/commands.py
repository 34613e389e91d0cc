"""`mclictl commands`: the stored commands that workflows run."""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import click

from cli import output
from cli.client import Client, ClientError, Json, command_path
from cli.output import Column
from cli.verb import Noun, Target
from fastapi_app import languages

if TYPE_CHECKING:
    from typing import BinaryIO

LANGUAGES = tuple(languages.SUFFIXES)
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

file_option = click.option(
    "--file",
    "-F",
    "file",
    type=click.File("rb"),
    help="Read the code from this file; - is standard input.",
)
code_option = click.option("--code", help="The code itself.")
language_option = click.option("--language", type=click.Choice(LANGUAGES))
description_option = click.option("--description", help="What it is for.")
group_option = click.option("--group", help="Name to sort it under.")


@click.group(
    cls=Noun,
    examples=["mclictl commands list", 'mclictl commands add hello --code "echo hello"'],
)
def commands() -> None:
    """Look after the stored commands."""


def guess_language(filename: str, code: str) -> str | None:
    """Tell the language by the file's extension, else by the shebang; shell when there is none."""
    found = languages.of_file(filename, code.partition("\n")[0].encode("utf-8", "replace"))
    plain = not code.startswith("#!") and not Path(filename).suffix
    return "shell" if found is None and plain else found


def _read(file: BinaryIO | None, code: str | None) -> tuple[str, str] | None:
    """Return the name of the code's file, and the code; None when neither was given."""
    if file is not None and code is not None:
        raise click.UsageError("Give only one of --file, --code and -.")
    if file is None:
        return None if code is None else ("", code)
    name = "" if file.name == "<stdin>" else file.name
    try:
        return name, file.read().decode("utf-8")
    except UnicodeDecodeError as failure:
        raise click.ClickException(f"{name or 'This'} is not UTF-8 text: {failure}.") from failure


def _found(client: Client, name: str) -> Json:
    found = client.get(command_path(name))
    # A command cannot be called `list`: that path is the list of all.
    if "items" in found:
        raise ClientError(f"No stored command is named '{name}'.", status=404)
    return found


def _print(target: Target, command: Json, said: str) -> None:
    if target.json:
        output.print_json(command)
    else:
        click.echo(f"{said} {command.get('name')} ({command.get('language')})")


@commands.command(
    "add",
    examples=[
        'mclictl commands add hello --code "echo hello"',
        "mclictl commands add report --file report.py --group nightly --tag finance --tag pdf",
        "mclictl commands add release --file release.toml",
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
@click.option("--tag", "tags", multiple=True, help="May be repeated.")
@click.pass_obj
def add(
    target: Target,
    name: str,
    source: str | None,
    file: BinaryIO | None,
    code: str | None,
    language: str | None,
    description: str | None,
    group: str | None,
    tags: tuple[str, ...],
) -> None:
    """Store a command as NAME; its code comes from --file, --code or, with -, standard input.

    Without --language it is told by the file's extension, else by the shebang; code with neither
    is shell. TOML and YAML are documents of steps, which run in the order of what they need.
    """
    if source is not None and file is not None:
        raise click.UsageError("Give only one of --file, --code and -.")
    if source is not None:
        file = sys.stdin.buffer
    given = _read(file, code)
    if given is None:
        raise click.UsageError("Where is the code? Give --file FILE, --code CODE, or -.")
    language = language or guess_language(*given)
    if language is None:
        raise click.UsageError(f"What language is {given[0] or 'this'} in? Give --language.")
    body: Json = {"name": name, "code": given[1], "language": language, "tags": list(tags)}
    body |= {"description": description} if description is not None else {}
    body |= {"group": group} if group is not None else {}
    with Client(target.url) as client:
        _print(target, client.send("POST", "/api/v1/commands/create", body), "added")


@commands.command(
    "list", examples=["mclictl commands list", "mclictl commands list --all --language python"]
)
@click.option("--all", "everything", is_flag=True, help="Inactive ones too.")
@language_option
@group_option
@click.pass_obj
def list_(target: Target, everything: bool, language: str | None, group: str | None) -> None:
    """List the stored commands; --json prints a list."""
    with Client(target.url) as client:
        found, _ = client.collect(
            "/api/v1/commands/list", all=everything or None, language=language, group=group
        )
    if target.json:
        output.print_json(found)
    else:
        output.table(found, COLUMNS, empty="no stored commands")


@commands.command(
    "show",
    examples=["mclictl commands show hello", "mclictl commands show hello --code > hello.sh"],
)
@click.argument("name")
@click.option("--code", "only_code", is_flag=True, help="Print nothing but the code.")
@click.pass_obj
def show(target: Target, name: str, only_code: bool) -> None:
    """Show the stored command NAME and its code."""
    with Client(target.url) as client:
        found = _found(client, name)
    if target.json:
        output.print_json(found["code"] if only_code else found)
        return
    code = str(found.get("code", ""))
    if not only_code:
        shown = {key: value for key, value in found.items() if key != "code"}
        shown["tags"] = ", ".join(found.get("tags") or [])
        for key in ("created_at", "updated_at", "last_executed"):
            shown[key] = output.moment(found.get(key))
        output.details(shown)
        code = f"\n{code.rstrip()}\n"
    output.write_text(code)


@commands.command(
    "edit",
    examples=[
        "mclictl commands edit hello",
        'mclictl commands edit hello --description "Says hello" --tag greeting',
        "mclictl commands edit hello --file hello.sh",
    ],
)
@click.argument("name")
@file_option
@code_option
@language_option
@description_option
@group_option
@click.option(
    "--tag", "tags", multiple=True, help="Replaces all tags; may be repeated, '' for none."
)
@click.option("--active/--inactive", default=None, help="Whether it can be run.")
@click.pass_obj
def edit(
    target: Target,
    /,
    name: str,
    file: BinaryIO | None,
    code: str | None,
    tags: tuple[str, ...],
    active: bool | None,
    **texts: str | None,
) -> None:
    """Edit the code of the stored command NAME in $EDITOR, or set the fields given as options."""
    body: Json = {key: value for key, value in texts.items() if value is not None}
    if given := _read(file, code):
        body["code"] = given[1]
    if tags:
        body["tags"] = [tag for tag in tags if tag]
    if active is not None:
        body["is_active"] = active
    with Client(target.url) as client:
        if body:
            command, changed = client.send("PUT", command_path(name), body), True
        else:
            command, changed = _edit_code(client, _found(client, name))
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
@click.argument("name")
@click.option("--yes", "-y", is_flag=True, help="Do not ask.")
@click.pass_obj
def rm(target: Target, name: str, yes: bool) -> None:
    """Remove the stored command NAME; its runs and their output stay."""
    if not yes:
        if not sys.stdin.isatty():
            raise click.UsageError("Nobody is there to ask: add --yes.")
        click.confirm(f"Remove the stored command '{name}'?", abort=True, err=True)
    with Client(target.url) as client:
        client.send("DELETE", command_path(name))
    if target.json:
        output.print_json({"removed": name})
    else:
        click.echo(f"removed {name}")
