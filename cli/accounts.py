"""`mclictl login`, `logout`, `whoami`, `keys` and `users`: who may do what on the server."""

from __future__ import annotations

import sys
from datetime import UTC, datetime
from typing import TYPE_CHECKING
from urllib.parse import quote

import click

from cli import output
from cli.client import Client, ClientError, Json
from cli.confirm import confirm, yes_option
from cli.credentials import LOOPBACK, Login, Logins
from cli.output import Column
from cli.quantities import read_by, some_seconds
from cli.verb import Noun, Target, Verb, json_option, url_option

if TYPE_CHECKING:
    from collections.abc import Sequence

AUTH = "/api/v1/auth"
ROLES = ("viewer", "operator", "admin")


def _when(name: str) -> Column:
    def moment(row: Json) -> str:
        found = row.get(name)
        if found is None:
            return "never"
        return output.moment(datetime.fromtimestamp(found, UTC).isoformat())

    return Column(name.replace("_", " ").upper(), moment)


KEYS = [
    Column("ID", "id"),
    Column("NAME", "name"),
    Column("SCOPES", lambda key: " ".join(key["scopes"])),
    _when("expires_at"),
    _when("last_used"),
]
USERS = [
    Column("NAME", "name"),
    Column("ROLE", "role"),
    Column("ACTIVE", "is_active"),
    _when("last_login"),
]


def _password(prompt: str, *, confirm: bool = False) -> str:
    """From the terminal, unseen; else the first line of standard input."""
    if sys.stdin.isatty():
        text: str = click.prompt(prompt, hide_input=True, confirmation_prompt=confirm, err=True)
        return text
    return sys.stdin.readline().rstrip("\n")


@click.command(cls=Verb, examples=["mclictl login ann", "mclictl login ann < password.txt"])
@click.argument("name")
@click.option("--insecure", is_flag=True, help="Send the password over plain HTTP to another host.")
@click.pass_obj
def login(target: Target, name: str, insecure: bool) -> None:
    """Log in as NAME; asks for the password, or reads it from standard input.

    The tokens are kept in logins.json in the home folder, and renewed when they expire.
    """
    with Client(target.url) as client:
        if client.url.scheme != "https" and client.url.host not in LOOPBACK and not insecure:
            raise click.UsageError(
                f"Over {client.url} anybody on the way could read the password: use https, or"
                " --insecure when the way is safe."
            )
        answer = client.form(f"{AUTH}/login", username=name, password=_password("Password"))
        Logins().put(client.key, Login.of(name, answer))
    if target.json:
        output.print_json({"name": name, "scopes": answer["scope"].split()})
    else:
        click.echo(f"logged in as {name}")


@click.command(cls=Verb, examples=["mclictl logout"])
@click.pass_obj
def logout(target: Target) -> None:
    """End the login at this server, there and here."""
    logins = Logins()
    with Client(target.url) as client:
        found = logins.get(client.key)
        if found is None:
            raise click.ClickException(f"You are not logged in at {client.url}.")
        try:
            client.send("POST", f"{AUTH}/logout")
        except ClientError as refused:
            if refused.status != 401:  # the login has ended already
                raise
        logins.put(client.key, None)
    if target.json:
        output.print_json({"logged_out": found.name})
    else:
        click.echo(f"logged out {found.name}")


@click.command(cls=Verb, examples=["mclictl whoami", "mclictl whoami --json"])
@click.pass_obj
def whoami(target: Target) -> None:
    """Show as whom the server knows you, and what you may do there."""
    with Client(target.url) as client:
        me = client.get(f"{AUTH}/me")
    if target.json:
        output.print_json(me)
    else:
        output.details(me | {"scopes": " ".join(me["scopes"])})


@click.command(
    cls=Verb,
    examples=[
        "mclictl token",
        'curl -H "Authorization: Bearer $(mclictl token)" localhost:8000/api/v1/workflows/list',
    ],
)
@click.pass_obj
def token(target: Target) -> None:
    """Print the token that mclictl sends to this server: whoever has it can do what you can."""
    with Client(target.url) as client:
        found = client.bearer.token()
    if found is None:
        raise click.ClickException(
            f"There is no token for {target.url}: log in with `mclictl login`, or set MCLI_TOKEN."
        )
    if target.json:
        output.print_json({"token": found})
    else:
        click.echo(found)


def _list(target: Target, path: str, columns: Sequence[Column], *, everybody: bool = False) -> None:
    with Client(target.url) as client:
        found = client.get(path, all="true" if everybody else None)["items"]
    if target.json:
        output.print_json(found)
    else:
        output.table(found, columns, empty=f"no {path.rpartition('/')[2]}")


@click.group(
    cls=Noun,
    invoke_without_command=True,
    examples=["mclictl keys", "mclictl keys add ci --scope workflows:write"],
)
@click.pass_context
def keys(ctx: click.Context) -> None:
    """List your API keys; make and revoke them."""
    if ctx.invoked_subcommand is None:
        _list(ctx.ensure_object(Target), f"{AUTH}/keys", KEYS)


keys.params += [json_option(), url_option()]


@keys.command("list", examples=["mclictl keys list", "mclictl keys list --all --json"])
@click.option("--all", "everybody", is_flag=True, help="Everybody's.")
@click.pass_obj
def list_keys(target: Target, everybody: bool) -> None:
    """List your API keys that are good; --json prints a list."""
    _list(target, f"{AUTH}/keys", KEYS, everybody=everybody)


@keys.command(
    "add",
    examples=[
        "mclictl keys add ci --scope workflows:read --scope workflows:write --expires 90d",
        "MCLI_TOKEN=$(mclictl keys add ci --scope workflows:read) mclictl runs",
    ],
)
@click.argument("name")
@click.option(
    "--scope", "scopes", multiple=True, required=True, help="What it allows; may be repeated."
)
@click.option(
    "--expires",
    "expires_in",
    metavar="TIME",
    callback=read_by(some_seconds),
    help="Until when it is good: 12h, 90d…  [default: for ever]",
)
@click.pass_obj
def add_key(target: Target, name: str, scopes: tuple[str, ...], expires_in: float | None) -> None:
    """Make an API key, and print it: this once, never again."""
    body = {"name": name, "scopes": list(scopes), "expires_in": expires_in}
    with Client(target.url) as client:
        made = client.send("POST", f"{AUTH}/keys", body)
    if target.json:
        output.print_json(made)
    else:
        click.echo(made["key"])


@keys.command("rm", examples=["mclictl keys rm 0123456789ab"])
@click.argument("key_id", metavar="ID")
@click.pass_obj
def rm_key(target: Target, key_id: str) -> None:
    """Revoke the API key ID: nobody gets in with it from now on."""
    _remove(target, f"{AUTH}/keys/{quote(key_id, safe='')}", key_id)


def _remove(target: Target, path: str, name: str) -> None:
    with Client(target.url) as client:
        client.send("DELETE", path)
    if target.json:
        output.print_json({"removed": name})
    else:
        click.echo(f"removed {name}")


@click.group(
    cls=Noun,
    invoke_without_command=True,
    examples=["mclictl users", "mclictl users add ann --role operator"],
)
@click.pass_context
def users(ctx: click.Context) -> None:
    """List users; make, change and remove them."""
    if ctx.invoked_subcommand is None:
        _list(ctx.ensure_object(Target), f"{AUTH}/users", USERS)


users.params += [json_option(), url_option()]


@users.command("list", examples=["mclictl users list", "mclictl users list --json"])
@click.pass_obj
def list_users(target: Target) -> None:
    """List users; --json prints a list."""
    _list(target, f"{AUTH}/users", USERS)


def _change(target: Target, method: str, path: str, body: Json) -> None:
    with Client(target.url) as client:
        user = client.send(method, path, body)
    if target.json:
        output.print_json(user)
    else:
        output.table([user], USERS, empty="")


@users.command(
    "add",
    examples=["mclictl users add ann --role operator", "mclictl users add bob < password.txt"],
)
@click.argument("name")
@click.option("--role", type=click.Choice(ROLES), default="viewer", show_default=True)
@click.pass_obj
def add_user(target: Target, name: str, role: str) -> None:
    """Make the user NAME; asks for a password, or reads it from standard input."""
    password = _password(f"Password of {name}", confirm=True)
    _change(target, "POST", f"{AUTH}/users", {"name": name, "role": role, "password": password})


@users.command(
    "set",
    examples=["mclictl users set ann --role admin", "mclictl users set bob --inactive"],
)
@click.argument("name")
@click.option("--role", type=click.Choice(ROLES))
@click.option("--active/--inactive", "is_active", default=None, help="Whether they may log in.")
@click.option("--password", is_flag=True, help="Ask for a new one, or read it from stdin.")
@click.pass_obj
def set_user(
    target: Target, name: str, role: str | None, is_active: bool | None, password: bool
) -> None:
    """Change the user NAME; a new password, and --inactive, end all logins."""
    body: Json = {}
    if role is not None:
        body["role"] = role
    if is_active is not None:
        body["is_active"] = is_active
    if password:
        body["password"] = _password(f"New password of {name}", confirm=True)
    if not body:
        raise click.UsageError("Give --role, --active, --inactive or --password.")
    _change(target, "PATCH", f"{AUTH}/users/{quote(name, safe='')}", body)


@users.command("rm", examples=["mclictl users rm bob", "mclictl users rm bob --yes"])
@click.argument("name")
@yes_option
@click.pass_obj
def rm_user(target: Target, name: str, yes: bool) -> None:
    """Remove the user NAME, with all logins and keys."""
    confirm(f"Remove the user '{name}', with all logins and keys?", yes=yes)
    _remove(target, f"{AUTH}/users/{quote(name, safe='')}", name)
