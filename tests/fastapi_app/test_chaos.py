"""The server is killed again and again under load: what it promised holds all the same."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING

from loadtests.chaos import SETTINGS, chaos
from tests.fastapi_app.starting import serving
from tests.servers import start

if TYPE_CHECKING:
    from pathlib import Path

ROUNDS = 6


def test_what_was_acknowledged_survives_every_kill(home: Path) -> None:
    seed = secrets.randbelow(2**32)
    print(f"seed {seed}")
    outcome = chaos(
        lambda: start(serving(), home, {"new API"}, **SETTINGS), home, rounds=ROUNDS, seed=seed
    )
    assert outcome.violations == []
    assert outcome.acknowledged > ROUNDS
    assert outcome.started >= outcome.acknowledged / 2
