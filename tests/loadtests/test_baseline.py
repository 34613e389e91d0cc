"""Ratios held against those of before."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from loadtests import bench
from loadtests.baseline import STORED, Baseline, BaselineError, Regression, load, save
from loadtests.figures import Spread
from loadtests.markdown import markdown
from loadtests.page import page
from loadtests.report import Report, document, summarize
from tests.loadtests.reports import ABOUT, SAMPLES, full_report

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize(
    ("now", "behind"),
    [
        (Spread(2.0, 1.5, 2.4), True),
        # Noise: the best repetition was as good as the worst one of before.
        (Spread(2.0, 1.5, 2.5), False),
        # Little: less than the tolerance.
        (Spread(2.71, 2.7, 2.72), False),
        (Spread(4.0, 3.0, 5.0), False),
    ],
)
def test_only_what_is_clearly_lower_falls_behind(now: Spread, behind: bool) -> None:
    before = Spread(3.0, 2.5, 3.5) if now.median < 2.5 else Spread(3.0, 3.0, 3.0)
    found = Baseline({"row/shim": before}).regressions({"row/shim": now, "new row/shim": now})
    assert found == ([Regression("row/shim", before, now)] if behind else [])


def test_a_baseline_is_kept_as_it_is(tmp_path: Path) -> None:
    baseline = Baseline(full_report().ratios, ABOUT)
    save(tmp_path / "baseline.json", baseline)
    assert load(tmp_path / "baseline.json") == baseline


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"ratios": {"a": 1}, "about": {}}'])
def test_what_is_no_baseline_is_refused(
    tmp_path: Path, content: str, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "baseline.json"
    file.write_text(content)
    with pytest.raises(BaselineError, match="holds no baseline"):
        load(file)
    with pytest.raises(SystemExit, match="2"):
        bench.main(["--baseline", str(file)])
    assert "holds no baseline" in capsys.readouterr().err


def test_every_report_shows_a_regression() -> None:
    report = full_report()
    (found,) = report.regressions
    assert (found.key, found.before.median, found.now.median) == ("status/shim", 6.0, 3.0)
    said = "2 ratios are held against the baseline of 2026-01-01, version 0.1.0, 2 processors: "
    for text in (markdown(report), page(report)):
        assert f"{said}1 REGRESSED" in text
        assert "Regressions" in text
    (written,) = document(report)["regressions"]
    assert written["before"] == {"median": 6.0, "lowest": 5.0, "highest": 7.0}
    # The machine may be the one to blame.
    assert not Report(ABOUT, report.lines[:3], baseline=report.baseline).wrong


def test_a_report_without_regressions_says_so() -> None:
    lines = summarize(SAMPLES)
    same = Report(ABOUT, lines, baseline=Baseline(Report(ABOUT, lines).ratios, ABOUT))
    assert "none regressed" in markdown(same)
    assert "## Regressions" not in markdown(same)


def test_the_stored_baseline_holds_ratios_of_ours_and_no_rates() -> None:
    stored = load(STORED)
    assert {"status/shim", "execute/shim", "start/shim", "ten/all of them over/shim"} <= (
        stored.ratios.keys()
    )
    assert json.loads(STORED.read_text(encoding="utf-8")).keys() == {"about", "ratios"}
