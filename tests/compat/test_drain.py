"""What an operator watches ends with the server, and old calls in flight are waited for."""

from __future__ import annotations

import signal
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import httpx
import pytest

from tests.fastapi_app.starting import until
from tests.servers import start_dual

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize("stage", ["new", "legacy"])
def test_a_recording_ends_and_an_old_call_is_answered(tmp_path: Path, stage: str) -> None:
    began, gate = tmp_path / "began", tmp_path / "gate"
    command = f"echo > {began}; while [ ! -e {gate} ]; do sleep 0.01; done; echo done"
    settings = {"MCLI_DEFAULT_STAGE": stage, "MCLI_SHUTDOWN_GRACE": "30"}
    with (
        start_dual(tmp_path / "home", **settings) as server,
        ThreadPoolExecutor(1) as pool,
        server.client(timeout=30) as client,
        client.stream("GET", "/api/v1/cutover/record") as recording,
    ):
        body = {"command": command}
        asking = pool.submit(httpx.post, f"{server.legacy}/execute", json=body, timeout=30)
        until(began.exists)
        server.process.send_signal(signal.SIGTERM)
        assert b"POST /execute" in recording.read(), "it ends, and is not cut"
        gate.touch()
        assert asking.result().json()["output"] == "done\n"
        assert server.process.wait(30) == 0
        assert b"Traceback" not in b"".join(server.printed)
