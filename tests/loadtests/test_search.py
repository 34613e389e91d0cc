"""The load test of searches runs, and tells what it measured; how fast is not for a test to say."""

from __future__ import annotations

import random
import re
from typing import TYPE_CHECKING

from loadtests import search

if TYPE_CHECKING:
    import pytest

LINE = re.compile(r"^(\S.*?) +(\d+\.\d+) +(\d+\.\d+) +(\d+\.\d+)$", re.MULTILINE)


def test_every_kind_of_search_is_measured(capsys: pytest.CaptureFixture[str]) -> None:
    assert search.main(["--commands", "300", "--times", "5"]) in (0, 1)
    printed = capsys.readouterr().out
    rows = {what: (float(p50), float(p95)) for what, p50, p95, _ in LINE.findall(printed)}
    for kind in ("full text", "fuzzy", "similar", "a page of the list"):
        assert any(what.startswith(kind) for what in rows), printed
    assert all(0 < p50 <= p95 for p50, p95 in rows.values())
    assert "300 commands imported" in printed
    assert "memory of the server" in printed


def test_commands_are_the_same_each_time() -> None:
    one, other = (list(search.commands(20, random.Random(1))) for _ in range(2))
    assert one == other
    assert len({item["name"] for item in one}) == 20


def test_a_misspelled_name_is_another() -> None:
    luck = random.Random(1)
    assert len(search.misspelled("deploy-site", luck)) == len("deploy-site") - 1
