"""The options of everything that starts a run: `run`, `workflow start`."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import click

from cli import names
from cli.quantities import read_by, seconds, size, some_seconds

if TYPE_CHECKING:
    from collections.abc import Callable

    from cli.client import Json

    Decorator = Callable[[Callable[..., None]], Callable[..., None]]

BACKGROUND_ONLY = ("after", "on", "retries", "stdin")


def _pairs(_ctx: click.Context, _param: click.Parameter, values: tuple[str, ...]) -> dict[str, str]:
    """Read values of the form K=V."""
    found = {}
    for text in values:
        key, equals, value = text.partition("=")
        if not key or not equals:
            raise click.BadParameter(f"'{text}' is not of the form K=V.")
        found[key] = value
    return found


def pairs_option(*names: str, help: str) -> Decorator:  # noqa: A002 - as click calls it
    """An option that may be repeated, of values of the form K=V."""
    return click.option(*names, multiple=True, metavar="K=V", callback=_pairs, help=help)


def _secrets(
    _ctx: click.Context, _param: click.Parameter, values: tuple[str, ...]
) -> dict[str, str]:
    secrets = {}
    for text in values:
        key, equals, value = text.partition("=")
        if not equals:
            if key not in os.environ:
                raise click.BadParameter(f"Your environment has no variable '{key}'.")
            value = os.environ[key]
        if not key:
            raise click.BadParameter(f"'{text}' is not of the form K or K=V.")
        secrets[key] = value
    return secrets


env_option = pairs_option("--env", help="Set an environment variable; may be repeated.")
OPTIONS = (
    click.option(
        "--timeout",
        metavar="TIME",
        callback=read_by(some_seconds),
        help="End it after 90, 90s, 2m…",
    ),
    env_option,
    click.option(
        "--secret",
        "secrets",
        multiple=True,
        metavar="K[=V]",
        callback=_secrets,
        help="The same, but nobody sees the value: it is *** in logs and lists. Without V it is "
        "that of your own environment, which keeps it out of the shell's history.",
    ),
    click.option(
        "--group",
        shell_complete=names.groups,
        help="Group whose slots it shares.  [default: default]",
    ),
    click.option(
        "--priority",
        type=click.IntRange(-1000, 1000),
        help="Higher ones start first.  [default: 0]",
    ),
    click.option(
        "--after",
        metavar="ID",
        multiple=True,
        shell_complete=names.runs,
        help="Wait for the end of this run; may be repeated.",
    ),
    click.option(
        "--on",
        type=click.Choice(["success", "failure", "any"]),
        help="Which end --after waits for.  [default: success]",
    ),
    click.option(
        "--retries", type=click.IntRange(0, 100), help="How often to try again when it fails."
    ),
    click.option(
        "--retry-delay",
        metavar="TIME",
        callback=read_by(seconds),
        help="Before the first retry; each waits twice as long as the one before.  [default: 1s]",
    ),
    click.option("--nice", type=click.IntRange(0, 19), help="Yield to others, up to 19."),
    click.option(
        "--memory",
        "memory_limit",
        metavar="SIZE",
        callback=read_by(size),
        help="Address space of each of its processes: 512M, 2G…",
    ),
    click.option(
        "--cpu",
        "cpu_limit",
        metavar="SECONDS",
        type=click.IntRange(1),
        help="Processor time of each of its processes.",
    ),
    click.option(
        "--processes",
        "process_limit",
        type=click.IntRange(1),
        help="How many processes its user may have.",
    ),
    click.option("--stdin", is_flag=True, help="Keep its standard input open for `mclictl send`."),
)


params_option = pairs_option(
    "--param",
    "params",
    help="Value of a parameter that the command declares; may be repeated.",
)
progress_option = click.option(
    "--progress",
    is_flag=True,
    help="Show lines `::progress N message` of its standard output as a bar.",
)


def together(*options: Decorator) -> Decorator:
    """All of these options as one, in this order."""

    def add(command: Callable[..., None]) -> Callable[..., None]:
        for option in reversed(options):
            command = option(command)
        return command

    return add


run_options = together(*OPTIONS)
"""What starts a run has these; `requested` makes a request of their values."""


def requested(given: dict[str, Any]) -> Json:
    """The part of a request that the options given ask for; what was not given is left out.

    Raises:
        click.UsageError: an option is given without the one it belongs to.
    """
    body: Json = {
        name: value for name, value in given.items() if value not in (None, (), {}, False)
    }
    delay = body.pop("retry_delay", None)
    if delay is not None and "retries" not in body:
        raise click.UsageError("--retry-delay needs --retries N.")
    if "on" in body and "after" not in body:
        raise click.UsageError("--on needs --after ID.")
    if "after" in body:
        body["after"] = list(body["after"])
    if "retries" in body:
        body["retries"] = {"times": body["retries"]}
        body["retries"] |= {} if delay is None else {"delay": delay}
    return body


def require_background(body: Json) -> None:
    """Refuse what only a run that nobody waits for can do."""
    if found := next((name for name in BACKGROUND_ONLY if name in body), None):
        raise click.UsageError(f"--{found} needs --background.")
