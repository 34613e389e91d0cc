"""`mclictl serve`: hands what the user asked for to the server's own start-up."""

from __future__ import annotations

import gc
import importlib
import importlib.util
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import click

from cli.verb import LocalVerb

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import ModuleType

NO_PLUGINS = "PYDANTIC_DISABLE_PLUGINS"


def _installed(package: str) -> bool:
    # A folder that only holds left-over caches still counts as a package, but has no origin.
    spec = importlib.util.find_spec(package)
    return spec is not None and spec.origin is not None


def settings_class() -> Any:  # noqa: ANN401 - of either server
    """The settings of the server that is installed here: of both stacks, or of the new one."""
    if _installed("compat"):
        return importlib.import_module("compat.settings").DualSettings
    return importlib.import_module("fastapi_app.settings").Settings


@click.command(
    cls=LocalVerb,
    examples=[
        "mclictl serve",
        "mclictl serve --port 9000 --legacy-port 9005 --home /srv/mcli",
    ],
)
@click.option("--host", help="Address the new API listens on.  [default: 127.0.0.1]")
@click.option(
    "--port", type=click.IntRange(0, 65535), help="Its port; 0 picks a free one.  [default: 8000]"
)
@click.option("--legacy-host", help="Address the legacy API listens on.  [default: 127.0.0.1]")
@click.option(
    "--legacy-port",
    type=click.IntRange(0, 65535),
    help="Its port; 0 picks a free one.  [default: 5005]",
)
@click.option(
    "--home",
    type=click.Path(file_okay=False, path_type=Path),
    help="Folder of the database and the logs.  [default: ~/.mcli-dualstack]",
)
def serve(**options: object) -> None:
    """Run the server until it is told to end.

    An option given here wins over the environment and the configuration file; one that is left
    out does not touch them.
    """
    overrides = {name: value for name, value in options.items() if value is not None}
    dual = _installed("compat")
    if not dual and any(name.startswith("legacy_") for name in overrides):
        raise click.UsageError("This installation has no legacy API.")
    module = _import_fast("compat.serve" if dual else "fastapi_app.serve")
    run = cast("Callable[[dict[str, object]], int]", module.serve)
    raise click.exceptions.Exit(run(overrides))


def _import_fast(name: str) -> ModuleType:
    """Import the server; by name, for nothing else in the command line may pull it in.

    A start is nearly all importing. The collector would look at ever more modules and find
    nothing (the server turns it on again), and pydantic would look for plugins nobody has.
    """
    gc.disable()
    given = os.environ.get(NO_PLUGINS)
    os.environ[NO_PLUGINS] = "__all__"
    try:
        return importlib.import_module(name)
    finally:
        # Runs inherit the environment, and may use plugins of their own.
        del os.environ[NO_PLUGINS]
        if given is not None:
            os.environ[NO_PLUGINS] = given
