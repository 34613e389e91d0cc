"""The README's commands, copied and run against a real server."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.servers import ROOT, Server, environment, start_dual

BLOCK = re.compile(r"^```sh\n(.*?)^```$", re.MULTILINE | re.DOTALL)
NOT_HERE = ("make", "source")


def blocks() -> list[str]:
    """What the README has a shell do, one text a block; `make` has tests of its own."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    lines = [block.replace("\\\n", "").splitlines() for block in BLOCK.findall(text)]
    kept = ["\n".join(line for line in block if not line.startswith(NOT_HERE)) for block in lines]
    return [block for block in kept if block.strip()]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with start_dual(tmp_path_factory.mktemp("home")) as running:
        yield running


@pytest.fixture(scope="module")
def programs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with `mclictl` in it, as an activated environment has."""
    folder = tmp_path_factory.mktemp("bin")
    script = folder / "mclictl"
    script.write_text(f'#!/bin/sh\nPYTHONPATH={ROOT} exec {sys.executable} -m cli "$@"\n')
    script.chmod(0o755)
    return folder


def test_every_command_works_in_order(server: Server, programs: Path, tmp_path: Path) -> None:
    if shutil.which("curl") is None:
        pytest.fail("the README uses curl; install it")
    path = f"{programs}{os.pathsep}{os.environ['PATH']}"
    env = environment(server.home, MCLI_URL=server.new, PATH=path)
    assert sum(len(block.splitlines()) for block in blocks()) >= 10
    for block in blocks():
        here = block.replace("localhost:8000", server.new.removeprefix("http://"))
        here = here.replace("localhost:5005", server.legacy.removeprefix("http://"))
        done = subprocess.run(
            ["sh", "-e", "-c", here],
            cwd=tmp_path,
            env=env,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, (block, done.stdout, done.stderr)
        assert done.stdout, f"{block} says nothing"
        if "curl" in block:
            assert '"output":"hi\\n"' in done.stdout
