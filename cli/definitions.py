"""What the commands around stored commands share: which ones, their defaults and parameters."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from cli import names, output
from cli.options import pairs_option, together
from cli.output import Column
from cli.quantities import read_by, some_seconds
from fastapi_app import languages

if TYPE_CHECKING:
    from typing import BinaryIO

    from cli.client import Json

LANGUAGES = tuple(languages.SUFFIXES)
DEFAULTS = ("timeout", "env", "cwd", "slots")
PARAMETERS = [
    Column("PARAMETER", "name"),
    Column("TYPE", "type"),
    Column("REQUIRED", "required"),
    Column("DEFAULT", "default"),
    Column("DESCRIPTION", "description", shrinks=True),
]

language_option = click.option("--language", type=click.Choice(LANGUAGES))
group_option = click.option(
    "--group", shell_complete=names.command_groups, help="Name to sort it under."
)
tag_filter = click.option(
    "--tag",
    multiple=True,
    shell_complete=names.tags,
    help="With this tag; may be repeated: all of them.",
)
group_filter = click.option(
    "--group", shell_complete=names.command_groups, help="Sorted under this name."
)
FILTERS = (
    click.option("--all", "all", is_flag=True, help="Inactive ones too."),
    click.option("--inactive", is_flag=True, help="Inactive ones alone."),
    tag_filter,
    language_option,
    group_filter,
)
DEFINITION = (
    click.option(
        "--timeout",
        metavar="TIME",
        callback=read_by(some_seconds),
        help="Default of its runs: end them after 90s, 2m…",
    ),
    pairs_option("--env", help="Default of its runs: an environment variable; may be repeated."),
    click.option("--cwd", metavar="DIR", help="Default of its runs: the folder they run in."),
    click.option(
        "--slots", metavar="GROUP", help="Default of its runs: the group whose slots they share."
    ),
    click.option("--no-defaults", is_flag=True, help="Take its defaults away."),
    click.option(
        "--parameters",
        type=click.File("rb"),
        help="JSON schema of its parameters; - is standard input.",
    ),
    click.option("--no-parameters", is_flag=True, help="Take that schema away."),
)


filter_options = together(*FILTERS)
"""Which stored commands; `query` makes a query of their values."""
definition_options = together(*DEFINITION)
"""Defaults and parameters; `definition` makes the fields of a request of their values."""


def guess_language(filename: str, code: str) -> str | None:
    """Tell the language by the file's extension, else by the shebang; shell when there is none."""
    found = languages.of_file(filename, code.partition("\n")[0].encode("utf-8", "replace"))
    plain = not code.startswith("#!") and not Path(filename).suffix
    return "shell" if found is None and plain else found


def read_code(file: BinaryIO | None, code: str | None) -> tuple[str, str] | None:
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


def query(wanted: dict[str, Any]) -> dict[str, Any]:
    """The query for what the options given want.

    Raises:
        click.UsageError: they contradict each other.
    """
    found = {name: value for name, value in wanted.items() if value not in (None, (), False)}
    if found.pop("inactive", False):
        if "all" in found:
            raise click.UsageError("Give only one of --all and --inactive.")
        found["active"] = False
    return found


def is_given(given: dict[str, Any]) -> bool:
    """Whether any option of a definition was given."""
    return any(value not in (None, {}, False) for value in given.values())


def definition(given: dict[str, Any], before: Json) -> Json:
    """The fields of a request that the options ask for; defaults add to those there were `before`.

    Raises:
        click.UsageError: they contradict each other.
        click.ClickException: the schema is no JSON object.
    """
    body: Json = {}
    defaults = {name: given[name] for name in DEFAULTS if given[name] not in (None, {})}
    if given["no_defaults"]:
        if defaults:
            raise click.UsageError("--no-defaults takes away what the other options set.")
        body["defaults"] = {}
    elif defaults:
        if "slots" in defaults:
            defaults["group"] = defaults.pop("slots")
        known = before.get("defaults") or {}
        if "env" in defaults:
            defaults["env"] = known.get("env", {}) | defaults["env"]
        body["defaults"] = known | defaults
    if given["no_parameters"] and given["parameters"] is not None:
        raise click.UsageError("Give only one of --parameters and --no-parameters.")
    if given["no_parameters"]:
        body["parameters"] = {}
    elif given["parameters"] is not None:
        body["parameters"] = _schema(given["parameters"])
    return body


def _schema(file: BinaryIO) -> Json:
    try:
        found = json.loads(file.read())
    except ValueError as failure:
        raise click.ClickException(f"{file.name} is not JSON: {failure}.") from failure
    if not isinstance(found, dict):
        raise click.ClickException(f"{file.name} is no JSON schema: it must be an object.")
    return found


def defaults_shown(command: Json) -> Json:
    """The defaults of a command that are set, as `show` prints them."""
    defaults = {name: value for name, value in (command.get("defaults") or {}).items() if value}
    if "env" in defaults:
        defaults["env"] = " ".join(f"{key}={value}" for key, value in defaults["env"].items())
    if "timeout" in defaults:
        defaults["timeout"] = output.duration(defaults["timeout"])
    return {f"default {'slots' if name == 'group' else name}": v for name, v in defaults.items()}


def print_parameters(command: Json) -> None:
    """Print the parameters that a command declares, if any."""
    schema = command.get("declared")
    if schema is None:
        return
    rows = [
        {"name": name, "required": name in schema.get("required", [])} | _about(about)
        for name, about in schema.get("properties", {}).items()
    ]
    click.echo()
    output.table(rows, PARAMETERS, empty="no parameters")


def _about(about: object) -> Json:
    if not isinstance(about, dict):
        return {}
    kind = about.get("type", "any")
    shown = {"type": kind if isinstance(kind, str) else "|".join(map(str, kind))}
    if "enum" in about:
        shown["type"] = "|".join(map(str, about["enum"]))
    return about | shown
