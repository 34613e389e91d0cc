"""The benchmark: its tables, its arithmetic, and a very short run."""

from __future__ import annotations

import json
import shlex
import shutil
import subprocess
import sys
from dataclasses import fields, replace
from typing import TYPE_CHECKING, Any

import pytest

from loadtests import bench, seed
from loadtests.baseline import TOLERANCE, load
from loadtests.claims import CLAIMS
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
from loadtests.markdown import markdown, table
from loadtests.report import Chapter, Report, document, ratios, summarize, verdicts
from loadtests.scenarios import SCENARIOS
from loadtests.servers import BY_HAND, ROOT, StartError, start
from loadtests.staging import Scenario
from tests.loadtests.reports import ABOUT, SAMPLES, full_report, sample

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from loadtests.staging import Scale

BOTH_PORTS = frozenset({"new API", "legacy API"})
SAYS = {"old": frozenset({"legacy daemon"}), "shim": BOTH_PORTS, "api": BOTH_PORTS}
SPAWN = CONTESTANTS["spawn"]
MEASURED = [
    pytest.param(row, contestant, id=f"{row.key}-{contestant.key}")
    for row in ROWS.values()
    for contestant in CONTESTANTS.values()
    if row.key in contestant.rows
]


def test_ratios_compare_neighbours_in_time() -> None:
    # The medians alone, 300 and 100, would hide that it was 4 times as fast once.
    assert ratios([300, 200, 500], [100, 50, 200]) == [3.0, 4.0, 2.5]
    assert ratios([300, 200], [0, 100]) == [2.0]
    assert ratios([300], []) == ratios([300], [0]) == []


def test_summary() -> None:
    old, shim, _, alone = summarize(SAMPLES)
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
    text = markdown(full_report())
    assert "- shim, stage new: status 503 (2 times)" in text
    home = BY_HAND["home"]
    assert f"rm -rf {home}; python -m legacy_flask --port 5005 --home {home}\n" in text
    assert "MCLI_DEFAULT_STAGE=new python -m cli serve --port 8000 --legacy-port 5005" in text
    for said in (
        "the <fastest> one: not measured.",
        "mcli-dualstack 0.1.0",
        "flask 3.0",
        "2 processors (Some CPU)",
        "16.5 GB",
    ):
        assert said in text


def test_report_of_scenarios() -> None:
    report = full_report()
    text = markdown(report)
    assert "MISSED" in text
    assert "ValueError: <no>" in text
    assert 'make bench ARGS="--scenario log"' in text
    first, second = document(report)["scenarios"]
    assert first["figures"][0]["met"] is False
    assert "ValueError" in second["failure"]
    assert [chapter.wrong for chapter in report.chapters] == [False, True]


def test_slower_is_said() -> None:
    report = full_report()
    assert report.slower == [
        "Ten & more: all of them over, shim: 0.50 times as good",
        "GET /status, 10 connections, /api/v1: 0.60 times as good",
    ]
    assert all(line in markdown(report) for line in report.slower)


def test_report_for_programs() -> None:
    found = json.loads(json.dumps(document(full_report())))
    assert found["about"]["repetitions"] == 3
    shim = found["rows"][1]
    assert (shim["row"], shim["contestant"]) == ("status", "shim")
    assert shim["ratio"] == {"median": 3.0, "lowest": 2.5, "highest": 4.0}
    assert shim["by_hand"][-1].startswith("python -m loadtests.hammer http://127.0.0.1:5005/")
    assert found["ratios"]["status/shim"] == shim["ratio"]
    assert found["ratios"].keys() == {"status/shim", "status/api", "ten/all of them over/shim"}
    status, ten = found["headlines"]
    assert (status["old"], status["new"], status["ratio"]["median"]) == (100, 300, 3.0)
    assert (ten["old"], ten["new"], ten["unit"], ten["ratio"]["median"]) == (0.5, 1.0, "s", 0.5)


def test_only_excused_errors_are_no_mistake() -> None:
    faulty = sample(7, errors=2, error_kinds={"connection lost": 2})
    for row, contestant, wrong in (
        ("users", BASELINE, False),
        ("users", "shim", True),
        ("status", BASELINE, True),
    ):
        report = Report(ABOUT, summarize({(row, contestant): [faulty]}))
        assert report.wrong is wrong
        assert f"connection lost (2 times){'' if wrong else ', excused'}" in markdown(report)
    assert Report(ABOUT, failures=["no"]).wrong
    both = {("users", BASELINE): [faulty], ("users", "shim"): [sample(70)]}
    (headline,) = Report(ABOUT, summarize(both)).headlines
    assert headline.load.endswith("(old: 2 errors)")


def test_every_claim_is_measured_or_says_why_not() -> None:
    for claim in CLAIMS:
        assert bool(claim.rows or claim.scenarios) is (claim.because is None)
        assert set(claim.rows) <= ROWS.keys()
        assert set(claim.scenarios) <= SCENARIOS.keys()
    everywhere = {key for claim in CLAIMS for key in (*claim.rows, *claim.scenarios)}
    assert everywhere == ROWS.keys() | SCENARIOS.keys()
    claims = dict(full_report().claims)
    assert claims["Throughput of /status, n=1000, c=10"] == "not in this run"
    assert claims["10 concurrent requests"] == "status, execute"
    assert claims["Redis operations, blocking against async"].startswith("not measured: ")


def test_the_docs_know_every_contestant_and_show_what_is_printed() -> None:
    text = (ROOT / "docs/benchmark.md").read_text(encoding="utf-8")
    table = [line.split("|")[1].strip() for line in text.splitlines() if line.startswith("| ")]
    assert [title for title in table if title != "contestant"] == [
        contestant.title for contestant in CONTESTANTS.values()
    ]
    printed = "\n".join(by_hand(ROWS["start"], CONTESTANTS["old"]))
    assert printed.replace(BY_HAND["home"], "/dev/shm/mcli-by-hand") in text
    assert f"more than {TOLERANCE:.0%}".replace("%", " %") in text


def test_the_old_stack_uses_no_redis() -> None:
    # Once one does, the claim about it can be measured.
    found = subprocess.run(
        ["grep", "-rliE", "^(import|from) redis", "legacy_flask"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert found.stdout == ""


@pytest.mark.parametrize(("row", "contestant"), MEASURED)
def test_every_row_can_be_run_by_hand(row: Row, contestant: Contestant | Program) -> None:
    serve, *plant, load = by_hand(row, contestant)
    if isinstance(contestant, Program):
        assert contestant.source in serve
        assert load.endswith(f"-c {row.connections}")
        return
    assert len(plant) == (row.needs is not None)
    call = row.call(contestant.dialect)
    token, _, rest = load.partition("python -m ")
    assert ("LOADTEST_TOKEN=$(cat" in token) == call.path.startswith("/api/")
    module, *args = shlex.split(rest)
    assert module == "loadtests.hammer"
    plan = plan_of(args)
    assert plan.request.startswith(f"{call.method} {call.path} HTTP/1.1\r\n".encode())
    assert plan.expected
    assert (plan.status, plan.connections) == (call.status, row.connections)
    assert plan.count == row.count


@pytest.fixture
def free_ports(unused_tcp_port_factory: Callable[[], int]) -> list[str]:
    return [str(unused_tcp_port_factory()) for _ in range(2)]


@pytest.mark.parametrize(
    ("row", "contestant"), [("logs", "old"), ("logs", "shim"), ("commands", "api")]
)
def test_what_is_printed_works(
    row: str, contestant: str, tmp_path: Path, free_ports: list[str]
) -> None:
    lines = by_hand(ROWS[row], CONTESTANTS[contestant])
    home = tmp_path / "home"
    for theirs, ours in zip(("5005", "8000"), free_ports, strict=True):
        lines = [line.replace(theirs, ours) for line in lines]
    lines = [line.replace(BY_HAND["home"], str(home)) for line in lines]
    lines = [line.replace("python -m", f"{sys.executable} -m") for line in lines]
    # So that its process id is the server's.
    serve = lines[0].replace("; ", "; exec env ", 1)
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "mcli.db").write_text("left by somebody else")
    server = start(["sh", "-c", serve], tmp_path, SAYS[contestant])
    with server:
        for line in lines[1:-1]:
            subprocess.run(["sh", "-c", line], cwd=ROOT, check=True)
        load = subprocess.run(
            ["sh", "-c", f"{lines[-1]} -n 20"], cwd=ROOT, capture_output=True, check=True
        )
    assert json.loads(load.stdout)["requests"] == 20


def test_nothing_is_planted_where_no_server_was(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit, match="2"):
        seed.main(["logs", str(tmp_path)])
    assert "no server has started" in capsys.readouterr().err
    assert not [*tmp_path.iterdir()]


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


def test_what_cannot_be_measured_is_said_and_the_rest_goes_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def measure(series: bench.Series, row: Row, _: bench.Effort) -> dict[str, Any]:
        if row.key == "status" and series.contestant.key == "shim":
            raise StartError("no room")
        return sample(1)

    monkeypatch.setattr(bench.Series, "measure", measure)
    some = [CONTESTANTS["old"], CONTESTANTS["shim"]]
    lines, failures = bench.bench(bench.QUICK, [ROWS["status"], ROWS["execute"]], some)
    assert [(line.row, line.contestant) for line in lines] == [
        ("status", "old"),
        ("execute", "old"),
        ("execute", "shim"),
    ]
    assert failures == ["GET /status, shim, stage new: no room"]


def test_a_short_run_says_what_it_leaves_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bench, "bench", lambda *_: ([], []))
    monkeypatch.setattr(bench, "play", lambda scene, _: Chapter(scene.key, scene.title, "", []))
    short = bench.measure(bench.parser().parse_args(["--quick"]))
    (said,) = [text for text in short.about["absent"] if "short run" in text]
    played = [chapter.title for chapter in short.chapters]
    for scenario in SCENARIOS.values():
        assert (scenario.title in said) is not (scenario.title in played)
    assert CONTESTANTS["resident"].title in said
    whole = bench.measure(bench.parser().parse_args([]))
    assert len(whole.chapters) == len(SCENARIOS)


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
    output, baseline = tmp_path / "bench", tmp_path / "baseline.json"
    args = ["--quick", "--row", "execute", "--row", "start", "--output", str(output)]
    args += ["--baseline", str(baseline), "--save-baseline"]
    wanted = ["gunicorn", "shim", *(["spawn"] if shutil.which("cc") else [])]
    assert bench.main([*args, *(f"--contestant={key}" for key in wanted)]) == 0
    printed, told = capsys.readouterr()
    assert "POST /workflow/start, 10 connections" in told.splitlines()[-2 - told.count("slower: ")]
    assert printed.strip() == (output / "report.md").read_text().strip()
    report = json.loads((output / "report.json").read_text())
    rows = report["rows"]
    assert [(row["row"], row["contestant"]) for row in rows] == [
        *(("execute", key) for key in ("old", *wanted)),
        *(("start", key) for key in ("old", "gunicorn", "shim")),
    ]
    assert len(report["targets"]) == len(wanted) + 1
    assert all(row["requests"] > 0 and row["errors"] == 0 for row in rows)
    assert report["about"]["machine"]["memory_gb"] > 0
    assert {"mcli-dualstack", "python", "flask", "fastapi", "uvicorn", "sqlite"} <= report["about"][
        "versions"
    ].keys()
    assert "<svg" in (output / "report.html").read_text()
    assert load(baseline).ratios.keys() == {"execute/shim", "start/shim"}
