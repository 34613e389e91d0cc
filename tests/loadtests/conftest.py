"""Servers to put load on, each started once."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from loadtests import seed
from loadtests.servers import LIMIT, OLD_DAEMON, Server, dual

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="session")
def old(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Start the old daemon with the stored command that the load uses."""
    home = tmp_path_factory.mktemp("old")
    with OLD_DAEMON.start(home) as server:
        seed.plant(home)
        yield server


@pytest.fixture(scope="session")
def both(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Start the dual server with the same."""
    home = tmp_path_factory.mktemp("both")
    with dual("new").start(home) as server:
        seed.plant(home)
        yield server


@pytest.fixture(scope="session")
def limit(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Start the bare app; its URL."""
    with LIMIT.start(tmp_path_factory.mktemp("limit")) as server:
        yield server.urls["limit"]
