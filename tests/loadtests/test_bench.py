"""The benchmark: its tables, its arithmetic, and a very short run."""

from __future__ import annotations

import json
import shlex
from typing import TYPE_CHECKING, Any

import pytest

from loadtests import bench
from loadtests.contestants import BASELINE, CONTESTANTS, ROWS, Contestant, Row, by_hand
from loadtests.hammer import plan_of
from loadtests.report import Spread, document, markdown, ratios, summarize, table

if TYPE_CHECKING:
    from pathlib import Path

ABOUT = {
    "begun": "2026-01-01T00:00:00+00:00",
    "repetitions": 3,
    "seconds": 1.0,
    "python": "3.11.0",
    "processors": 2,
    "load_average": 0.5,
}


def sample(throughput: float, **more: Any) -> dict[str, Any]:  # noqa: ANN401 - any figure
    given = {
        "requests": round(throughput),
        "throughput": throughput,
        "p50_ms": 1.0,
        "p95_ms": 2.0,
        "p99_ms": 3.0,
        "errors": 0,
        "error_kinds": {},
        "client_cpu": 0.5,
    }
    return given | more


SAMPLES = {
    ("status", BASELINE): [sample(100), sample(50), sample(200)],
    ("status", "shim"): [sample(300), sample(200), sample(500)],
    ("execute", "shim"): [sample(7, errors=2, error_kinds={"status 503": 2})],
}


def test_ratios_compare_neighbours_in_time() -> None:
    # The medians alone, 300 and 100, would hide that it was 4 times as fast once.
    assert ratios([300, 200, 500], [100, 50, 200]) == Spread(3.0, 2.5, 4.0)
    assert ratios([300, 200], [0, 100]) == Spread(2.0, 2.0, 2.0)
    assert ratios([300], []) is None
    assert ratios([300], [0]) is None


def test_summary() -> None:
    old, shim, alone = summarize(SAMPLES)
    assert old.throughput == Spread(100, 50, 200)
    assert old.ratio == Spread(1.0, 1.0, 1.0)
    assert shim.throughput == Spread(300, 200, 500)
    assert shim.ratio == Spread(3.0, 2.5, 4.0)
    assert shim.requests == 1000
    assert (alone.ratio, alone.errors, alone.error_kinds) == (None, 2, {"status 503": 2})


def test_table_is_aligned_markdown() -> None:
    lines = table(summarize(SAMPLES)[:2]).splitlines()
    assert len({len(line) for line in lines}) == 1
    assert set(lines[1]) == set("|-: ")
    cells = [cell.strip() for cell in lines[3].strip("|").split("|")]
    assert cells[:5] == ["shim, stage new", "300", "200..500", "3.00", "2.50..4.00"]


def test_report_for_people() -> None:
    text = markdown(ABOUT, summarize(SAMPLES))
    assert text.count("## ") == 2
    assert "- shim, stage new: status 503 (2 times)" in text
    assert 'python -m legacy_flask --port 5005 --home "$(mktemp -d)"' in text
    assert "MCLI_DEFAULT_STAGE=new python -m cli serve --port 8000 --legacy-port 5005" in text


def test_report_for_programs() -> None:
    found = json.loads(json.dumps(document(ABOUT, summarize(SAMPLES))))
    assert found["repetitions"] == 3
    shim = found["rows"][1]
    assert (shim["row"], shim["contestant"]) == ("status", "shim")
    assert shim["ratio"] == {"median": 3.0, "lowest": 2.5, "highest": 4.0}
    assert shim["load_command"].startswith("python -m loadtests.hammer http://127.0.0.1:5005/")


@pytest.mark.parametrize("row", ROWS.values(), ids=ROWS)
@pytest.mark.parametrize("contestant", CONTESTANTS.values(), ids=CONTESTANTS)
def test_every_row_can_be_run_by_hand(row: Row, contestant: Contestant) -> None:
    python, _, module, *args = shlex.split(by_hand(row, contestant))
    assert (python, module) == ("python", "loadtests.hammer")
    plan = plan_of(args)
    call = row.call(contestant.dialect)
    assert plan.request.startswith(f"{call.method} {call.path} HTTP/1.1\r\n".encode())
    assert plan.expected
    assert (plan.status, plan.connections) == (call.status, row.connections)


def test_each_repetition_begins_with_another_contestant(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bench.Series, "measure", lambda *_: sample(1))
    some = [CONTESTANTS["old"], CONTESTANTS["shim"], CONTESTANTS["limit"]]
    effort = bench.Effort(repetitions=3, seconds=1, warmup=0)
    order = [c.key for _, c, _ in bench.rounds(effort, [ROWS["status"]], some)]
    assert order == ["old", "shim", "limit", "shim", "limit", "old", "limit", "old", "shim"]


def test_a_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(bench, "QUICK", bench.Effort(repetitions=1, seconds=0.2, warmup=0.1))
    output = tmp_path / "bench"
    args = ["--quick", "--row", "execute", "--contestant", "limit", "--output", str(output)]
    assert bench.main(args) == 0
    printed = capsys.readouterr().out
    assert printed.strip() == (output / "report.md").read_text().strip()
    rows = json.loads((output / "report.json").read_text())["rows"]
    assert [(row["row"], row["contestant"]) for row in rows] == [
        ("execute", "old"),
        ("execute", "limit"),
    ]
    assert all(row["requests"] > 0 and row["errors"] == 0 for row in rows)
