"""An old daemon with a client."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from legacy_flask.client import LegacyClient
from tests.contract.seeds import plant
from tests.servers import Server, start_legacy

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture(scope="session")
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A daemon that knows the stored commands of the contract suite."""
    home = tmp_path_factory.mktemp("daemon")
    with start_legacy(home, "--command-timeout", "1") as server:
        plant(home)
        yield server
        assert server.stop() == 0


@pytest.fixture
def client(daemon: Server) -> Iterator[LegacyClient]:
    """A client of that daemon."""
    with LegacyClient(daemon.legacy) as client:
        yield client


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """The folder of a daemon that the test starts itself."""
    return tmp_path / "home"
