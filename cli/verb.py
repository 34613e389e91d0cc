"""What every command shares: where the server is, --json, examples in the help, hints for typos."""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from collections.abc import Sequence

DEFAULT_URL = "http://127.0.0.1:8000"


@dataclass
class Target:
    """Which server to talk to and how to print; options fill it in before a command runs."""

    url: str = DEFAULT_URL
    json: bool = False


def _take_url(ctx: click.Context, _param: click.Parameter, value: str | None) -> None:
    if value is not None:
        ctx.ensure_object(Target).url = value


def _take_json(ctx: click.Context, _param: click.Parameter, value: bool) -> None:
    # A flag before the command's name stays on when it is not repeated behind it.
    if value:
        ctx.ensure_object(Target).json = True


def url_option(envvar: str | None = None) -> click.Option:
    """`--url`; only the root command reads the environment, so that a flag there wins over it."""
    return click.Option(
        ["--url"],
        metavar="URL",
        envvar=envvar,
        expose_value=False,
        callback=_take_url,
        help=f"Address of the server.  [env: MCLI_URL; default: {DEFAULT_URL}]",
    )


def json_option() -> click.Option:
    """`--json`, accepted before and behind a command's name."""
    return click.Option(
        ["--json"],
        is_flag=True,
        expose_value=False,
        callback=_take_json,
        help="Print JSON instead of text.",
    )


class Exampled(click.Command):
    """A command or a group of them whose help ends with examples."""

    def __init__(
        self,
        name: str | None = None,
        *,
        examples: Sequence[str],
        **attrs: Any,  # noqa: ANN401 - handed through to click as it is
    ) -> None:
        super().__init__(name, **attrs)
        self.examples = examples

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the examples last."""
        super().format_epilog(ctx, formatter)
        with formatter.section("Examples"):
            for line in self.examples:
                formatter.write(f"{'':>{formatter.current_indent}}{line}\n")


class LocalVerb(Exampled):
    """A command that asks no server."""


class Verb(LocalVerb):
    """A command that talks to the server: takes `--url` and `--json` besides its own options."""

    def __init__(
        self,
        name: str | None = None,
        **attrs: Any,  # noqa: ANN401 - handed through to click as it is
    ) -> None:
        super().__init__(name, **attrs)
        self.params += [json_option(), url_option()]


class Noun(Exampled, click.Group):
    """A group of verbs; a mistyped one is answered with the nearest that exists."""

    command_class = Verb

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command; click before 8.4 has no suggestions, and none for lazy commands."""
        name, known = args[0], self.list_commands(ctx)
        if name not in known and not name.startswith("-") and not ctx.resilient_parsing:
            near = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
            hint = f" Did you mean '{near[0]}'?" if near else ""
            ctx.fail(f"No such command '{name}'.{hint}")
        return super().resolve_command(ctx, args)
