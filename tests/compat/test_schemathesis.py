"""Whatever the OpenAPI document allows, and forbids, is answered as it says: schemathesis tries."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.servers import ROOT, Server, environment, start_dual

if TYPE_CHECKING:
    from collections.abc import Iterator

CONFIG = Path(__file__).with_name("schemathesis.toml")
PASSED = re.compile(r"(\d+) generated, (\d+) passed")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Both stacks, without limits of rates."""
    with start_dual(tmp_path_factory.mktemp("home")) as running:
        yield running
        assert running.stop() == 0
        assert b"Traceback" not in b"".join(running.printed), b"".join(running.printed).decode()


def tried(server: Server, folder: Path, *options: str) -> int:
    """How many cases were tried; all of them must have passed every check."""
    # A recording waits for old calls to come: tests/compat/test_stages_live.py has it.
    options = (*options, "--exclude-path", "/api/v1/cutover/record")
    # Once it is stopped nothing else is answered as in other tests.
    options = (*options, "--exclude-path", "/api/v1/daemon/stop")
    given = ["--checks", "all", "--seed", "1", "--no-color", "--request-timeout", "20", *options]
    argv = [sys.executable, "-m", "schemathesis.cli", "--config-file", str(CONFIG), "run", *given]
    done = subprocess.run(
        [*argv, f"{server.new}/openapi.json"],
        cwd=folder,
        env=environment(
            folder, PYTHONPATH=str(ROOT), SCHEMATHESIS_HOOKS="tests.compat.schemathesis_hooks"
        ),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-8000:] + done.stderr[-2000:]
    found = PASSED.search(done.stdout)
    assert found, done.stdout[-2000:]
    assert found[1] == found[2]
    return int(found[2])


@pytest.mark.timeout(600)
def test_with_the_token_of_the_owner(server: Server, tmp_path: Path) -> None:
    header = f"Authorization: Bearer {server.token}"
    assert tried(server, tmp_path, "--max-examples", "6", "-H", header) > 1500


@pytest.mark.timeout(600)
def test_without_a_token(server: Server, tmp_path: Path) -> None:
    assert tried(server, tmp_path, "--max-examples", "3", "--phases", "examples,coverage") > 500
