"""`mclictl self` and `doctor`: about this installation, not about what runs on it."""

from __future__ import annotations

import importlib
import os
import shutil
import sqlite3
import sys
from contextlib import closing
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import click
from rich.text import Text

from cli import output
from cli.checks import OK, PROBLEM, findings
from cli.client import Client, ClientError
from cli.completion import completion
from cli.output import Column
from cli.serve import settings_class
from cli.verb import Noun, Target, Verb

if TYPE_CHECKING:
    from pathlib import Path

    from cli.client import Json

STYLES = {OK: "green", PROBLEM: "red"}


@click.group(
    cls=Noun,
    name="self",
    examples=["mclictl self version", "mclictl self doctor", "mclictl self where"],
)
def self_() -> None:
    """About this installation: version, doctor, config, where, completion."""


def _settings() -> Any:  # noqa: ANN401 - the settings of whatever is installed
    errors = importlib.import_module("fastapi_app.errors")
    try:
        return settings_class().load()
    except errors.SettingsError as error:
        raise click.ClickException(f"{error} Run `mclictl doctor`.") from error


@click.command(cls=Verb, examples=["mclictl doctor", "mclictl self doctor --json"])
@click.pass_obj
def doctor(target: Target) -> None:
    """Look for the commonest problems, and say what to do about each.

    The exit code is 1 when there is one.
    """
    with Client(target.url) as client:
        found = list(findings(client))
    if target.json:
        output.print_json([asdict(finding) for finding in found])
    else:
        for finding in found:
            mark = Text(f"{finding.state:<8}", style=STYLES.get(finding.state, "yellow"))
            output.print_text(mark + Text(f"{finding.check}: {finding.found}"))
            if finding.todo:
                output.print_text(Text(f"         -> {finding.todo}", style="bold"))
    if any(finding.state == PROBLEM for finding in found):
        raise click.exceptions.Exit(1)


self_.add_command(doctor)
self_.add_command(completion)


@self_.command("version", examples=["mclictl self version", "mclictl self version --json"])
@click.pass_obj
def version(target: Target) -> None:
    """Show the versions of everything that is in play."""
    settings = _settings()
    fastapi_app = importlib.import_module("fastapi_app")
    try:
        with Client(target.url) as client:
            served = client.get("/api/v1/daemon/status")["version"]
    except ClientError as failure:
        served = f"unknown: {failure.message.partition('.')[0]}"
    _print(
        target,
        {
            "mclictl": fastapi_app.__version__,
            "server": served,
            "python": sys.version.split()[0],
            "sqlite": sqlite3.sqlite_version,
            "database": _revision(settings.home / "mcli.db"),
        },
    )


def _revision(path: Path) -> str | None:
    """Of the database in the home folder."""
    try:
        with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as connection:
            return str(connection.execute("SELECT version_num FROM alembic_version").fetchone()[0])
    except (sqlite3.Error, TypeError):
        return None


@self_.command("where", examples=["mclictl self where", "cat $(mclictl self where token)"])
@click.argument("name", required=False)
@click.pass_obj
def where(target: Target, name: str | None) -> None:
    """Show where everything is, or only NAME, such as token or database."""
    module = importlib.import_module("fastapi_app.settings")
    settings = _settings()
    found = {
        "home": settings.home,
        "config": settings.home / module.CONFIG_FILE,
        "token": settings.home / "token",
        "logins": settings.home / "logins.json",
        "database": settings.home / "mcli.db" if settings.database_url is None else None,
        "logs": settings.logs_dir,
        "work": settings.work_dir,
        "socket": getattr(settings, "socket_path", None),
        "python": sys.executable,
        "mclictl": shutil.which("mclictl"),
    }
    shown: Json = {key: None if path is None else str(path) for key, path in found.items()}
    if name is None:
        _print(target, shown)
    elif name not in shown:
        raise click.UsageError(f"There is no '{name}'; choose from {', '.join(shown)}.")
    elif target.json:
        output.print_json(shown[name])
    else:
        click.echo(shown[name] or "")


SETTINGS = [
    Column("SETTING", "setting"),
    Column("VALUE", "value", shrinks=True),
    Column("SOURCE", "source"),
]


@self_.command("config", examples=["mclictl self config", "mclictl self config --changed"])
@click.option("--changed", is_flag=True, help="Only those that are not the default.")
@click.pass_obj
def config(target: Target, changed: bool) -> None:
    """Show every setting of the server, its value, and where that comes from.

    That is for a server which is started here and now; secrets are not shown.
    """
    module = importlib.import_module("fastapi_app.settings")
    observability = importlib.import_module("fastapi_app.observability")
    settings = _settings()
    in_file = module.read_config(settings.home, type(settings))
    rows = []
    for name in type(settings).model_fields:
        variable = f"{module.PREFIX}{name.upper()}"
        source = "default"
        if os.environ.get(variable):
            source = f"environment ({variable})"
        elif name in in_file:
            source = module.CONFIG_FILE
        value = getattr(settings, name)
        secret = name in module.SECRET or observability.is_secret(name)
        if secret and value is not None and source != "default":
            value = observability.HIDDEN
        plain = value if isinstance(value, int | float | None) else _text(value)
        rows.append({"setting": name, "value": plain, "source": source})
    if changed:
        rows = [row for row in rows if row["source"] != "default"]
    if target.json:
        output.print_json(rows)
    else:
        output.table(rows, SETTINGS, empty="every setting is the default")


def _text(value: object) -> str:
    return " ".join(map(str, value)) if isinstance(value, tuple) else str(value)


def _print(target: Target, found: Json) -> None:
    if target.json:
        output.print_json(found)
    else:
        output.details(found)
