"""The price of what stands before a route is measured over both servers."""

from __future__ import annotations

import re

import pytest

from loadtests import stack
from loadtests.bare import COMMANDS, STATUS

LINE = re.compile(r"GET (\S+): \d\.\d\d of a bare FastAPI \(\d\.\d\d\.\.\d\.\d\d; at least 0\.75\)")


def test_both_routes_get_a_ratio(capsys: pytest.CaptureFixture[str]) -> None:
    assert stack.main(["--rounds", "1", "--seconds", "0.2"]) in {0, 1}  # how fast is no test
    lines = capsys.readouterr().out.splitlines()
    found = [LINE.fullmatch(line) for line in lines]
    assert [match and match[1] for match in found] == [COMMANDS, STATUS]


def test_a_wrong_answer_is_no_figure(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stack, "key_of", lambda _: "nobody")
    with pytest.raises(ValueError, match="401"):
        stack.main(["--rounds", "1", "--seconds", "0.1"])
