"""What Locust loads: users of every stack, shapes, and the page that compares the stacks.

`--host` sets one host for every class chosen, so choose one:
`locust -f loadtests/locustfile.py --host URL ShimScript`. The stored command LOADTEST_WORKFLOW
(`loadtest-sleeper`) must exist; `make loadtest` sees to all.
"""

from __future__ import annotations

from locust import events
from locust.argument_parser import LocustArgumentParser
from locust.env import Environment

from loadtests import shapes
from loadtests.clients import CliClient, LogFollower
from loadtests.compare.install import install
from loadtests.users import (
    LegacyScript,
    MixedLegacy,
    MixedNew,
    MixedShim,
    NewClient,
    ShimScript,
)

__all__ = [
    "CliClient",
    "LegacyScript",
    "LogFollower",
    "MixedLegacy",
    "MixedNew",
    "MixedShim",
    "NewClient",
    "ShimScript",
]

FINISH_WITHIN = 10.0  # seconds


@events.init_command_line_parser.add_listener
def add_options(parser: LocustArgumentParser, **_: object) -> None:
    """What only this file can do."""
    shapes.add_option(parser)


@events.init.add_listener
def let_tasks_finish(environment: Environment, **_: object) -> None:
    """Without this a user could be cut off between starting a workflow and knowing its id."""
    if not environment.stop_timeout:
        environment.stop_timeout = FINISH_WITHIN


@events.init.add_listener
def choose(environment: Environment, **_: object) -> None:
    """Without a choice, the same script on every stack: a load that can be compared."""
    options = environment.parsed_options
    if options and not (options.user_classes or options.class_picker or options.worker):
        environment.user_classes = [LegacyScript, ShimScript, NewClient]
    shapes.choose(environment)


@events.init.add_listener
def compare(environment: Environment, **_: object) -> None:
    """Show the stacks side by side."""
    install(environment)
