"""What a figure says about its target."""

from __future__ import annotations

import pytest

from loadtests.figures import Figure


@pytest.mark.parametrize(
    ("figure", "met", "wrong", "shown"),
    [
        (Figure("a", [1, 5, 2], "x", least=2.0), True, False, ("2", "1..5", "x", "at least 2")),
        (Figure("a", [1.994], least=2.0), False, False, ("1.99", "", "", "at least 2")),
        (Figure("a", [0.6, 0.6], "s", most=0.6), True, False, ("0.60", "0.60..0.60", "s", None)),
        (Figure("a", [1234.5], "s", most=0.6), False, False, ("1234", "", "s", "at most 0.60")),
        (Figure("a", [0], none=True), True, False, ("0", "", "", "none")),
        # A single mistake counts, whatever the median.
        (Figure("a", [0, 0, 1], none=True), False, True, ("0", "0..1", "", "none")),
        (Figure("a", [7]), None, False, ("7", "", "", "")),
    ],
)
def test_figures(
    figure: Figure, met: bool | None, wrong: bool, shown: tuple[str | None, ...]
) -> None:
    assert (figure.met, figure.wrong) == (met, wrong)
    title, *cells, verdict = figure.cells()
    assert title == "a"
    assert verdict == {True: "met", False: "MISSED", None: ""}[met]
    assert [c for c, s in zip(cells, shown, strict=True) if s is not None and c != s] == []
