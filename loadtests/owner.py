"""The token of the servers under load: the same in every home, put there before they start."""

from __future__ import annotations

import os
from pathlib import Path

TOKEN = os.environ.get("LOADTEST_TOKEN", "mclih_load-tests-alone-on-loopback-only")
"""LOADTEST_TOKEN is that of a server which somebody else has started."""
NEW = ("/api/", "/ws/")
"""What begins with these asks who is there."""


def own(home: Path) -> None:
    """Let the load in at the server that will have its state there."""
    home.mkdir(mode=0o700, parents=True, exist_ok=True)
    token = home / "token"
    token.touch(mode=0o600)
    token.write_text(f"{TOKEN}\n", encoding="ascii")


def authorization(path: str) -> dict[str, str]:
    """The headers that a request for this path needs besides."""
    return {"Authorization": f"Bearer {TOKEN}"} if path.startswith(NEW) else {}
