"""`mclictl groups`, `pause` and `resume`: runs that share slots."""

from __future__ import annotations

from urllib.parse import quote

import click

from cli import names, output
from cli.client import Client, Json
from cli.output import Column
from cli.verb import Noun, Target, Verb, json_option, url_option
from cli.watching import shown, watch_option

GROUPS = "/api/v1/groups"

COLUMNS = [
    Column("NAME", "name"),
    Column(
        "SLOTS",
        lambda group: "no limit" if group.get("slots") is None else group["slots"],
        right=True,
    ),
    Column("PAUSED", "paused"),
    Column("RUNNING", "running", right=True),
    Column("QUEUED", "queued", right=True),
]


def group_path(name: str) -> str:
    """Path of one group."""
    return f"{GROUPS}/{quote(name, safe='')}"


def _list(target: Target) -> None:
    with Client(target.url) as client:
        found, _ = client.collect(GROUPS)
    if target.json:
        output.print_json(found)
    else:
        output.table(found, COLUMNS, empty="no groups")


def _print(target: Target, group: Json) -> None:
    if target.json:
        output.print_json(group)
    else:
        output.table([group], COLUMNS, empty="")


@click.group(
    cls=Noun,
    invoke_without_command=True,
    examples=["mclictl groups", "mclictl groups set nightly --slots 2"],
)
@click.pass_context
def groups(ctx: click.Context) -> None:
    """List the groups of runs, with their slots; or make, change and remove them."""
    if ctx.invoked_subcommand is None:
        _list(ctx.ensure_object(Target))


# Alone it is a command of the server, like `groups list`.
groups.params += [json_option(), url_option()]


@groups.command("list", examples=["mclictl groups list", "mclictl groups list --json"])
@watch_option
@click.pass_obj
def list_(target: Target, watch: bool) -> None:
    """List the groups; --json prints a list."""
    shown(lambda: _list(target), watch=watch)


@groups.command(
    "set", examples=["mclictl groups set nightly --slots 2", "mclictl groups set big --no-limit"]
)
@click.argument("name", shell_complete=names.groups)
@click.option("--slots", type=click.IntRange(1), help="How many of its runs may run at once.")
@click.option("--no-limit", is_flag=True, help="As many as the server allows.")
@click.pass_obj
def set_(target: Target, name: str, slots: int | None, no_limit: bool) -> None:
    """Make the group NAME, or change how many of its runs may run at once."""
    if no_limit == (slots is not None):
        raise click.UsageError("Give either --slots N or --no-limit.")
    with Client(target.url) as client:
        _print(target, client.send("PUT", group_path(name), {"slots": slots}))


@groups.command("rm", examples=["mclictl groups rm nightly"])
@click.argument("name", shell_complete=names.groups)
@click.pass_obj
def rm(target: Target, name: str) -> None:
    """Remove the group NAME, which no queued or running run may be in."""
    with Client(target.url) as client:
        client.send("DELETE", group_path(name))
    if target.json:
        output.print_json({"removed": name})
    else:
        click.echo(f"removed {name}")


@click.command(cls=Verb, examples=["mclictl pause", "mclictl pause nightly"])
@click.argument("group", default="default", shell_complete=names.groups)
@click.pass_obj
def pause(target: Target, group: str) -> None:
    """Start no more runs of GROUP (`default` without one); what runs goes on."""
    with Client(target.url) as client:
        _print(target, client.send("POST", f"{group_path(group)}/pause"))


@click.command(cls=Verb, examples=["mclictl resume", "mclictl resume nightly"])
@click.argument("group", default="default", shell_complete=names.groups)
@click.pass_obj
def resume(target: Target, group: str) -> None:
    """Start runs of GROUP (`default` without one) again."""
    with Client(target.url) as client:
        _print(target, client.send("POST", f"{group_path(group)}/resume"))
