"""The proof itself: all stages are the same, and each planted fault is found and made small."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from compat.errors import UnknownRouteError
from compat.prove.cases import Case, CorpusError
from compat.prove.report import Finding, Report
from compat.prove.run import Options, Progress, prove
from compat.prove.servers import STAGES, StartError, Under, started
from compat.routes import ROWS
from tests.compat.prove import planted

CORPUS = Path(__file__).parents[2] / "corpus"
BOTH = (Under("legacy"), Under("new"))


def told(report: Report) -> str:
    """What there is to say when a proof fails."""
    return json.dumps([finding.as_json() for finding in report.findings], indent=1)


def test_every_row_is_the_same_in_every_stage() -> None:
    seen: list[Progress] = []
    report = prove(Options(requests=12, seed=5, progress=seen.append))
    assert report.proven, told(report)
    parts = {(part.route, part.stage): part for part in report.parts}
    assert len(parts) == len(ROWS) * len(STAGES)
    assert min(part.requests for part in parts.values()) >= 12
    assert report.requests == sum(part.requests for part in parts.values())
    for row in ROWS:
        answered = {str(under): parts[row.name, str(under)].answered for under in STAGES}
        assert answered["legacy"]["new"] == answered["shadow"]["new"] == 0
        assert answered["new"]["legacy"] == 0
        assert answered["new"]["new"] >= 6
    canary = [parts[row.name, "canary 50"].answered for row in ROWS]
    assert sum(answered["new"] for answered in canary) > 60
    assert sum(answered["legacy"] for answered in canary) > 60
    assert sum(counts["compared"] for counts in report.shadow.values()) > 150
    assert seen[-1].played == seen[-1].total == 12 * len(ROWS)
    assert json.loads(json.dumps(report.as_json()))["proven"] is True


def test_saved_cases_are_the_same_on_both_stacks() -> None:
    files = sorted(CORPUS.glob("*.jsonl"))
    report = prove(Options(corpus=files, stages=BOTH))
    assert report.proven, told(report)
    assert report.requests > 600


def faulty(fault: str, route: str, requests: int = 40) -> Finding:
    """The fault as it was found, shrunk."""
    shim = (sys.executable, str(Path(planted.__file__)), fault, "serve")
    report = prove(
        Options([route], requests=requests, seed=1, stages=[Under("new")], shim=shim, attempts=150)
    )
    assert not report.proven
    assert report.parts[0].unexplained >= min(3, requests // 2)
    return report.findings[0]


@pytest.mark.parametrize(
    ("fault", "route", "pointer", "kind"),
    [
        ("field", "GET /commands", "/commands/*/group", "type"),
        ("status", "POST /workflow/stop", "status", "status"),
        ("header", "GET /processes/<id>/logs", "header:cache-control", "header"),
        ("newline", "GET /health", "", "bytes"),
        ("unguarded", "GET /commands", "guard", "refusal"),
    ],
)
def test_a_planted_fault_is_found_and_shrunk(
    fault: str, route: str, pointer: str, kind: str
) -> None:
    finding = faulty(fault, route)
    assert (finding.difference.group, finding.difference.kind) == (pointer, kind)
    assert finding.alone
    assert isinstance(finding.case, Case)
    [step] = finding.case.steps
    assert dict(step.headers).keys() <= {b"Host", b"Content-Type"}
    assert len(step.wire()) < 110


def test_a_run_that_is_never_over_is_found_and_holds_nothing_up() -> None:
    finding = faulty("stuck", "POST /processes/<id>/start", requests=2)
    assert finding.difference.kind == "stuck"
    assert isinstance(finding.case, Case)


def test_an_unknown_route_is_refused_before_anything_starts() -> None:
    with pytest.raises(UnknownRouteError, match="GET /nope"):
        prove(Options(routes=["GET /nope"]))


def test_a_broken_corpus_is_refused_before_anything_starts(tmp_path: Path) -> None:
    (tmp_path / "x.jsonl").write_text("{}\n")
    with pytest.raises(CorpusError, match="line 1"):
        prove(Options(corpus=[tmp_path / "x.jsonl"]))


def test_a_shim_that_does_not_start_is_told_with_what_it_printed() -> None:
    shim = (sys.executable, "-c", "print('no such luck')")
    with (
        pytest.raises(StartError, match=r"new does not start:\nno such luck"),
        started([Under("new")], shim),
    ):
        pass
