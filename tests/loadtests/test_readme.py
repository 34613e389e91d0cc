"""The table in README.md: made by a program, from a report that is kept."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from loadtests import readme
from loadtests.readme import BEGIN, END, KEPT, README, ReadmeError, block, in_place
from loadtests.report import document
from tests.loadtests.reports import full_report

if TYPE_CHECKING:
    from pathlib import Path


def test_the_readme_holds_exactly_what_is_made_of_the_kept_report() -> None:
    made = block(json.loads(KEPT.read_text(encoding="utf-8")))
    text = README.read_text(encoding="utf-8")
    assert (text.count(BEGIN), text.count(END)) == (1, 1)
    assert text == in_place(text, made), "run `python -m loadtests.readme`"


def test_the_table_names_date_versions_machine_and_what_is_slower() -> None:
    made = block(document(full_report()))
    for said in (
        "Measured 2026-01-01 in a full run of 3 repetitions",
        "2 processors (Some CPU), 16.5 GB, Some Linux",
        "mcli-dualstack 0.1.0, python 3.11.0, flask 3.0",
        "Ten & more: all of them over, shim: 0.50 times as good",
    ):
        assert said in " ".join(made.split())
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in made.splitlines()]
    assert ["GET /status, 10 connections", "100", "300", "1/s", "3.00", "2.50..4.00"] in rows
    assert ["Ten & more: all of them over", "0.50", "1", "s", "0.50", "0.40..0.60"] in rows


def test_a_report_is_kept_and_put_in_its_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    page, kept, report = (tmp_path / name for name in ("README.md", "kept.json", "report.json"))
    monkeypatch.setattr(readme, "README", page)
    monkeypatch.setattr(readme, "KEPT", kept)
    page.write_text(f"before\n\n{BEGIN}\n\nold\n\n{END}\n\nafter\n")
    found = document(full_report())
    report.write_text(json.dumps(found))
    assert readme.main([str(report)]) == 0
    assert page.read_text() == f"before\n\n{block(found)}\n\nafter\n"
    assert json.loads(kept.read_text()).keys() == set(readme.PARTS)
    for wrong in ("{}", "no"):
        report.write_text(wrong)
        with pytest.raises(SystemExit, match="2"):
            readme.main([str(report)])
        assert "report.json: " in capsys.readouterr().err
    with pytest.raises(ReadmeError, match="there is no"):
        in_place("nothing", "x")
