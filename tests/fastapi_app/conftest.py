"""One server process of the new app for most tests, and a client of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import httpx
import pytest

from tests.fastapi_app.starting import start_app

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.servers import Server


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """One server for every test that does not need its own; it must end cleanly at last."""
    home = tmp_path_factory.mktemp("home")
    with start_app(home, max_inline_output="1000", stop_grace="0.5") as running:
        yield running
        assert running.stop() == 0
        assert b"Traceback" not in b"".join(running.printed), b"".join(running.printed).decode()


@pytest.fixture(scope="session")
def client(server: Server) -> Iterator[httpx.Client]:
    """A client of that server."""
    with server.client(timeout=30) as client:
        yield client


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """The home folder of a server the test starts itself."""
    return tmp_path / "home"
