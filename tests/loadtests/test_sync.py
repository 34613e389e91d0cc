"""The load test of synchronisation runs; how fast it is is not for a test to say."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from loadtests import sync

if TYPE_CHECKING:
    from pathlib import Path

    import pytest


def test_everything_is_measured(capsys: pytest.CaptureFixture[str]) -> None:
    code = sync.main(["--scripts", "60", "--changed", "5", "--rounds", "1", "--json"])
    figures = json.loads(capsys.readouterr().out)
    assert code in (0, 1)
    assert [figure["what"] for figure in figures] == [
        "first push of 60",
        "push, 60 unchanged",
        "status, 60 unchanged",
        "push, 5 of 60 changed",
        "pull, 5 of 60 changed",
    ]
    assert all(figure["seconds"] > 0 for figure in figures)


def test_a_line_has_the_ratios(tmp_path: Path) -> None:
    assert len(sync.plant(tmp_path, 25)) == sync.scanned(tmp_path) == 25
    line = sync.Figure("push", seconds=0.5, scanned=0.05, hashed=0.25).line()
    assert "0.500 s" in line
    assert "10.0 x scandir+stat" in line
    assert "2.0 x sha256" in line
