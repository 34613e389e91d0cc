"""A server whose folder these tests have for themselves."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import httpx
import pytest

from tests.fastapi_app.routers.wire import COMMANDS
from tests.fastapi_app.starting import start_app

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.servers import Server


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server whose folder these tests have for themselves; it must end cleanly at last."""
    with start_app(tmp_path_factory.mktemp("home")) as running:
        yield running
        assert running.stop() == 0
        assert b"Traceback" not in b"".join(running.printed), b"".join(running.printed).decode()


@pytest.fixture
def client(own: Server) -> Iterator[httpx.Client]:
    with own.client(timeout=30) as client:
        yield client


@pytest.fixture
def folder(own: Server, client: httpx.Client) -> Iterator[Path]:
    """Its folder, empty as the store is, and a lock that says so."""
    root = own.home / "workflows"
    root.mkdir(exist_ok=True)
    yield root
    for file in sorted(root.rglob("*"), reverse=True):
        file.rmdir() if file.is_dir() and not file.is_symlink() else file.unlink()
    items = client.get(f"{COMMANDS}/list", params={"limit": 1000, "all": True}).json()["items"]
    for item in items:
        assert client.delete(f"{COMMANDS}/{item['name']}").status_code == 204
