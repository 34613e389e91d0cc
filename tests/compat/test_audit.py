"""The switch of the daemon, thrown through the old contract, is in the audit log."""

from __future__ import annotations

from typing import TYPE_CHECKING

import httpx

from tests.servers import start_dual

if TYPE_CHECKING:
    from pathlib import Path


def test_the_daemon_s_switch_is_written_down_once_per_change(tmp_path: Path) -> None:
    with start_dual(tmp_path / "home") as server:
        for verb in ("stop", "stop", "start", "start"):
            assert httpx.post(f"{server.legacy}/daemon/{verb}", timeout=15).status_code == 200
        found = httpx.get(f"{server.new}/api/v1/audit", headers=server.auth).json()["items"]
        actions = [entry["action"] for entry in reversed(found)]
        assert actions == ["server.start", "daemon.stop", "daemon.start"]
        assert {entry["address"] for entry in found if entry["action"] != "server.start"} == {
            "127.0.0.1"
        }
        assert server.stop() == 0
