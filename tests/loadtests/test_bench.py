"""The benchmark: its tables, its arithmetic, and a very short run."""

from __future__ import annotations

import json
import shlex
import shutil
import subprocess
from dataclasses import fields, replace
from typing import TYPE_CHECKING, Any

import pytest

from loadtests import bench
from loadtests.contestants import (
    BASELINE,
    CONTESTANTS,
    ROWS,
    TARGETS,
    Contestant,
    Program,
    Row,
    absent,
    by_hand,
)
from loadtests.figures import Figure, Spread
from loadtests.hammer import Figures, plan_of
from loadtests.report import Chapter, document, markdown, ratios, summarize, table, verdicts
from loadtests.scenarios import Scenario

if TYPE_CHECKING:
    from pathlib import Path

    from loadtests.scenarios import Scale

SPAWN = CONTESTANTS["spawn"]
MEASURED = [
    pytest.param(row, contestant, id=f"{row.key}-{contestant.key}")
    for row in ROWS.values()
    for contestant in CONTESTANTS.values()
    if row.key in contestant.rows
]
ABOUT = {
    "quick": False,
    "absent": [],
    "begun": "2026-01-01T00:00:00+00:00",
    "repetitions": 3,
    "seconds": 1.0,
    "python": "3.11.0",
    "processors": 2,
    "load_average": 0.5,
    "homes": "/somewhere",
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
    assert ratios([300, 200, 500], [100, 50, 200]) == [3.0, 4.0, 2.5]
    assert ratios([300, 200], [0, 100]) == [2.0]
    assert ratios([300], []) == ratios([300], [0]) == []


def test_summary() -> None:
    old, shim, alone = summarize(SAMPLES)
    assert old.throughput == Spread(100, 50, 200)
    assert old.ratio == Spread(1.0, 1.0, 1.0)
    assert shim.throughput == Spread(300, 200, 500)
    assert shim.ratio == Spread(3.0, 2.5, 4.0)
    assert shim.requests == 1000
    assert (alone.ratio, alone.errors, alone.error_kinds) == (None, 2, {"status 503": 2})


def test_targets_are_held_against_neighbours_in_time() -> None:
    samples = {
        ("execute", BASELINE): [sample(100), sample(50), sample(200)],
        ("execute", "shim"): [sample(300), sample(90), sample(300)],
    }
    (figure,) = verdicts(summarize(samples))
    assert (list(figure.values), figure.least, figure.met) == ([3.0, 1.8, 1.5], 2.0, False)
    assert figure.title.endswith("shim, stage new / old daemon (werkzeug)")


def test_targets_name_what_is_measured() -> None:
    for target in TARGETS:
        for contestant in (target.contestant, target.over):
            assert target.row in CONTESTANTS[contestant].rows


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


def test_report_of_scenarios() -> None:
    done = Chapter("ten", "Ten", "How.", [Figure("over", [0.7], "s", most=0.6)])
    failed = Chapter("log", "Log", "How.", [], "Failed: no")
    text = markdown(ABOUT, [], [done, failed])
    assert "MISSED" in text
    assert 'make bench ARGS="--scenario log"' in text
    first, second = document(ABOUT, [], [done, failed])["scenarios"]
    assert first["figures"][0]["met"] is False
    assert second["failure"] == "Failed: no"
    assert (done.wrong, failed.wrong) == (False, True)


def test_report_for_programs() -> None:
    found = json.loads(json.dumps(document(ABOUT, summarize(SAMPLES))))
    assert found["repetitions"] == 3
    shim = found["rows"][1]
    assert (shim["row"], shim["contestant"]) == ("status", "shim")
    assert shim["ratio"] == {"median": 3.0, "lowest": 2.5, "highest": 4.0}
    assert shim["load_command"].startswith("python -m loadtests.hammer http://127.0.0.1:5005/")


@pytest.mark.parametrize(("row", "contestant"), MEASURED)
def test_every_row_can_be_run_by_hand(row: Row, contestant: Contestant | Program) -> None:
    serve, load = by_hand(row, contestant)
    if isinstance(contestant, Program):
        assert contestant.source in serve
        assert load.endswith("-c 10")
        return
    python, _, module, *args = shlex.split(load)
    assert (python, module) == ("python", "loadtests.hammer")
    plan = plan_of(args)
    call = row.call(contestant.dialect)
    assert plan.request.startswith(f"{call.method} {call.path} HTTP/1.1\r\n".encode())
    assert plan.expected
    assert (plan.status, plan.connections) == (call.status, row.connections)


def test_each_repetition_begins_with_another_contestant(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bench.Series, "measure", lambda *_: sample(1))
    some = [CONTESTANTS["old"], CONTESTANTS["shim"], CONTESTANTS["limit"]]
    effort = replace(bench.QUICK, repetitions=3)
    order = [c.key for _, c, _ in bench.rounds(effort, [ROWS["status"]], some)]
    assert order == ["old", "shim", "limit", "shim", "limit", "old", "limit", "old", "shim"]


def test_c_program_says_what_the_load_generator_says(tmp_path: Path) -> None:
    assert isinstance(SPAWN, Program)
    if reason := absent(SPAWN):
        pytest.skip(reason)
    argv = [str(SPAWN.build(tmp_path)), "-c", "3", "-d", "0.3", "--warmup", "0.1"]
    said = json.loads(subprocess.run(argv, check=True, capture_output=True).stdout)
    assert said.keys() == {field.name for field in fields(Figures)}
    assert said["requests"] > 10
    assert said["throughput"] == pytest.approx(said["requests"] / said["seconds"], rel=0.05)
    assert 0 < said["p50_ms"] <= said["p95_ms"] <= said["p99_ms"] <= said["max_ms"]
    assert subprocess.run([*argv, "-x"], check=False, capture_output=True).returncode == 2


def test_nobody_misses_a_compiler(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    reasons = [absent(contestant) for contestant in CONTESTANTS.values()]
    assert [reason for reason in reasons if reason] == [
        "limit: posix_spawn in C: not measured, there is no C compiler (`cc`) on this machine"
    ]


def test_a_scenario_that_fails_is_said_and_the_next_one_played(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(_: Scale) -> list[Figure]:
        raise ValueError("out of luck")

    played = {
        "ten": Scenario("ten", "Ten", lambda _: "How.", fail),
        "log": Scenario("log", "Log", lambda _: "How.", lambda _: [Figure("size", [1], none=True)]),
    }
    monkeypatch.setattr(bench, "SCENARIOS", played)
    assert bench.main(["--scenario", "ten", "--scenario", "log", "--output", str(tmp_path)]) == 1
    printed = capsys.readouterr().out
    assert "ValueError: out of luck" in printed
    assert "MISSED" in printed


def test_a_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    short = replace(bench.QUICK, repetitions=1, seconds=0.2, warmup=0.1)
    monkeypatch.setattr(bench, "QUICK", short)
    output = tmp_path / "bench"
    args = ["--quick", "--row", "execute", "--row", "start", "--output", str(output)]
    wanted = ["gunicorn", "shim", *(["spawn"] if shutil.which("cc") else [])]
    assert bench.main([*args, *(f"--contestant={key}" for key in wanted)]) == 0
    printed = capsys.readouterr().out
    assert printed.strip() == (output / "report.md").read_text().strip()
    report = json.loads((output / "report.json").read_text())
    rows = report["rows"]
    assert [(row["row"], row["contestant"]) for row in rows] == [
        *(("execute", key) for key in ("old", *wanted)),
        *(("start", key) for key in ("old", "gunicorn", "shim")),
    ]
    assert len(report["targets"]) == len(wanted) + 1
    assert all(row["requests"] > 0 and row["errors"] == 0 for row in rows)
