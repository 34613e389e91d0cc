"""`mclictl rollout`, `record` and the rest of `cutover`: what an operator types, and reads."""

from __future__ import annotations

import json
import sys
import threading
import time
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from tests.cli.conftest import Mclictl, visible
from tests.servers import Server, start, start_dual

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

ROUTE = "GET /status"
PLAN = """
name = "status"
routes = ["GET /status"]
interval = "200ms"
[gate]
errors = 0.01
samples = 1
[[steps]]
stage = "shadow"
hold = "300ms"
[[steps]]
stage = "new"
hold = "300ms"
"""


@pytest.fixture(scope="module")
def legacy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server on which everything is still old."""
    home = tmp_path_factory.mktemp("home")
    with start_dual(home, MCLI_DEFAULT_STAGE="legacy") as running:
        yield running


@pytest.fixture
def here(legacy: Server, tmp_path: Path) -> Iterator[Mclictl]:
    """Mclictl against that server, which is left with every route on the old stack."""
    caller = Mclictl(legacy.new, tmp_path, legacy.token)
    yield caller
    for row in caller.json("cutover", "show"):
        if row["rollout"]:
            caller("rollout", "abort", row["rollout"])
        elif row["stage"] != "legacy":
            caller("cutover", "set", row["route"], "legacy")


@pytest.fixture
def plan(tmp_path: Path) -> str:
    path = tmp_path / "plan.toml"
    path.write_text(PLAN)
    return str(path)


@pytest.fixture
def traffic(legacy: Server) -> Iterator[None]:
    """Calls of the route, one after another."""
    over = threading.Event()

    def call() -> None:
        with httpx.Client(base_url=legacy.legacy) as client:
            while not over.wait(0.01):
                client.get("/status")

    thread = threading.Thread(target=call)
    thread.start()
    yield
    over.set()
    thread.join()


@pytest.mark.usefixtures("traffic")
def test_a_rollout_is_watched_to_its_end(here: Mclictl, plan: str) -> None:
    lines = here("rollout", "start", plan, "--watch").stdout.splitlines()
    assert lines[0].split()[:4] == ["status", "running", "step", "1/2"]
    assert lines[-1].split()[:2] == ["status", "completed"]
    shown = here("rollout", "status").stdout
    assert "completed" in shown
    assert "errors" in shown
    header, line, *_ = here("rollout", "list").stdout.splitlines()
    assert header.split()[:3] == ["ID", "NAME", "PHASE"]
    assert "completed" in line


@pytest.mark.usefixtures("traffic")
def test_a_person_sees_steps_and_gates_live(here: Mclictl, plan: str) -> None:
    shown = "\n".join(visible(here.on_terminal("rollout", "start", plan, "-w", columns=100)))
    for word in ("status", "completed", "shadow", "GATE", "VERDICT", "█", "passed"):
        assert word in shown


def test_an_operator_steps_in(here: Mclictl, plan: str) -> None:
    begun = here.json("rollout", "start", plan)
    assert (begun["phase"], begun["step"]) == ("running", 0)
    assert here.json("rollout", "pause", "--reason", "lunch")["reason"] == "lunch"
    assert "paused already" in here("rollout", "pause", exits=1).stderr
    assert here.json("rollout", "resume")["phase"] == "running"
    assert here.json("rollout", "promote")["step"] == 1
    watched: list[str] = []
    thread = threading.Thread(
        target=lambda: watched.append(here("rollout", "status", "-w", "--json", exits=1).stdout)
    )
    thread.start()
    assert here.json("rollout", "abort", begun["id"])["phase"] == "aborted"
    thread.join(30)
    assert json.loads(watched[0].splitlines()[-1])["phase"] == "aborted"
    assert "No rollout is under way" in here("rollout", "abort", exits=1).stderr


def test_each_verb_shows_the_rollout_as_it_is_then(here: Mclictl, plan: str) -> None:
    begun = here.json("rollout", "start", plan)

    def phase(verb: str) -> str:
        line = here("rollout", verb).stdout.splitlines()[0].split()
        assert line[0] == "status"
        return line[1]

    assert phase("pause") == "paused"
    assert phase("resume") == "running"
    assert phase("promote") == "running"
    assert phase("abort") == "aborted"
    assert begun["id"] in [each["id"] for each in here.json("rollout", "list")]
    for verb in ("promote", "resume"):
        assert "No rollout is under way" in here("rollout", verb, exits=1).stderr
    gone = here("rollout", "list", "--url", "http://127.0.0.1:1", exits=3)
    assert "mclictl serve" in gone.stderr


def test_of_several_rollouts_one_must_be_named(here: Mclictl, plan: str, tmp_path: Path) -> None:
    other = tmp_path / "other.toml"
    other.write_text(PLAN.replace("GET /status", "GET /health").replace('"status"', '"health"'))
    ids = [here.json("rollout", "start", path)["id"] for path in (plan, str(other))]
    said = here("rollout", "pause", exits=2).stderr
    assert all(one in said for one in ids)


def test_a_plan_that_cannot_work_says_why(here: Mclictl, tmp_path: Path) -> None:
    path = tmp_path / "plan.toml"
    for content, words in (
        (PLAN.replace("[gate]\nerrors = 0.01\nsamples = 1", ""), "no gate"),
        (PLAN.replace("shadow", "shadows"), "use shadow, canary or new"),
        (PLAN.replace("GET /status", "GET /statsu"), "Did you mean 'GET /status'"),
        ("= broken", "not TOML"),
    ):
        path.write_text(content)
        assert words in here("rollout", "start", str(path), exits=1).stderr
    path.write_bytes(b"\xff\xfe")
    assert "not UTF-8" in here("rollout", "start", str(path), exits=1).stderr
    assert "does not exist" in here("rollout", "start", "nonesuch.toml", exits=2).stderr
    for unknown in ("nonesuch", "../routes", "", "00000000-0000-4000-8000-000000000000"):
        said = here("rollout", "status", unknown, exits=1).stderr
        assert f"no rollout '{unknown}'; `mclictl rollout list`" in said


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (["canary"], "--percent"),
        (["canary", "--percent", "101"], "101"),
        (["new", "--percent", "10"], "--percent belongs"),
        (["brownout"], "--lasts"),
        (["new", "--lasts", "5m"], "--lasts belongs"),
        (["brownout", "--every", "1h"], "--lasts belongs"),
        (["brownout", "--lasts", "5m", "--every", "5m"], "--every must be longer"),
        (["brownout", "--lasts", "5m", "--percent", "0"], "--percent 1 to 100"),
        (["brownout", "--lasts", "5m", "--begins", "soon"], "not a time such as"),
    ],
)
def test_what_does_not_fit_is_a_wrong_command_line(
    here: Mclictl, args: list[str], words: str
) -> None:
    assert words in here("cutover", "set", ROUTE, *args, exits=2).stderr


def test_the_second_operator_is_told_who_was_first(here: Mclictl) -> None:
    seen = next(row for row in here.json("cutover", "show") if row["route"] == ROUTE)["revision"]
    here("cutover", "set", ROUTE, "canary", "--percent", "10", "--reason", "first")
    late = here("cutover", "set", ROUTE, "new", "--revision", str(seen), exits=1)
    assert "canary 10%" in late.stderr
    assert "@" in late.stderr
    newest = here.json("cutover", "audit", ROUTE, "--limit", "1")[0]
    assert (newest["before"], newest["after"]) == ("legacy", "canary 10%")
    assert newest["reason"] == "first"
    assert "canary 10%" in here("cutover", "audit").stdout


def test_a_brownout_is_set_with_its_schedule(here: Mclictl) -> None:
    args = ["--lasts", "5m", "--every", "1h", "--percent", "20", "--begins", "2035-01-01T00:00Z"]
    brownout = here.json("cutover", "set", ROUTE, "brownout", *args)["brownout"]
    assert brownout == {
        "begins": "2035-01-01T00:00:00Z",
        "lasts": 300.0,
        "every": 3600.0,
        "percent": 20,
    }


def test_what_was_counted_is_shown(here: Mclictl, legacy: Server) -> None:
    here("cutover", "set", ROUTE, "shadow")
    for _ in range(3):
        httpx.get(f"{legacy.legacy}/status", headers={"User-Agent": "nightly-script"})
    deadline = time.monotonic() + 15

    def compared() -> int:
        return int(here.json("cutover", "stats", ROUTE)[0]["shadow"]["compared"])

    while compared() < 3:
        assert time.monotonic() < deadline
    header, old, shadow = here("cutover", "stats", ROUTE).stdout.splitlines()
    assert header.split()[:5] == ["ROUTE", "STAGE", "STACK", "CALLS", "ERRORS"]
    assert old.split()[:6] == ["GET", "/status", "shadow", "legacy", "3", "0"]
    assert shadow.split()[3:6] == ["shadow", "3", "0"]
    assert "100.000%" in shadow
    assert "nightly-script" in here("cutover", "callers", ROUTE).stdout
    (caller,) = (
        c for c in here.json("cutover", "callers", ROUTE) if c["user_agent"] == "nightly-script"
    )
    assert (caller["route"], caller["count"]) == (ROUTE, 3)
    assert "no mismatches" in here("cutover", "mismatches", ROUTE, "--clear").stderr
    ready: dict[str, Any] = here.json("cutover", "ready", exits=1)
    assert ready["ready"] is False
    said = here("cutover", "ready", exits=1).stdout
    assert "\nno, because\n" in said
    (line,) = (line for line in said.splitlines() if line.startswith(f"  {ROUTE}: "))
    assert "the old stack still answers it (stage shadow); " in line
    assert "still call" in line
    for verb in ("stats", "mismatches", "callers"):
        assert "There is no route" in here("cutover", verb, "GET /nope", exits=1).stderr


def test_a_mismatch_is_shown_with_both_sides(tmp_path: Path) -> None:
    argv = [sys.executable, "-m", "tests.compat.faulty", "serve", "--port", "0"]
    names = {"new API", "legacy API"}
    planted = {"MCLI_TEST_FAULT": "field", "MCLI_DEFAULT_STAGE": "shadow"}
    with start([*argv, "--legacy-port", "0"], tmp_path, names, **planted) as server:
        here = Mclictl(server.new, tmp_path, server.token)
        httpx.get(f"{server.legacy}/status?all=1")
        deadline = time.monotonic() + 15
        while not here.json("cutover", "mismatches"):
            assert time.monotonic() < deadline
        shown = here("cutover", "mismatches", ROUTE).stdout
        header, line, *samples = shown.splitlines()
        assert header.split() == ["ROUTE", "WHERE", "KIND", "COUNT", "LAST", "OLD", "NEW"]
        assert line.split()[:5] == ["GET", "/status", "/running", "type", "1"]
        assert line.split()[-2:] == ["true", "1"]
        call, old, new = samples[2:5]
        assert "GET /status?all=1" in call
        assert old.startswith("  old:   200  ")
        assert new.startswith("  new:   200  ")
        assert '"running": true' in old.replace(":true", ": true")
        here("cutover", "mismatches", "--clear")
        assert here.json("cutover", "mismatches") == []


def test_a_watch_outlives_the_server(plan: str, tmp_path: Path) -> None:
    home = tmp_path / "home"
    with start_dual(home, MCLI_DEFAULT_STAGE="legacy") as first:
        here = Mclictl(first.new, tmp_path, first.token)
        watching = here.spawn("rollout", "start", plan, "-w", "--json")
        assert watching.stdout is not None
        begun = json.loads(watching.stdout.readline())
        first.kill()
        port = first.new.rpartition(":")[2]
        with start_dual(home, "--port", port, MCLI_DEFAULT_STAGE="legacy"):
            here("rollout", "abort", begun["id"], "--reason", "enough")
            lines = watching.communicate(timeout=60)[0].splitlines()
    last = json.loads(lines[-1])
    assert (last["id"], last["phase"], last["reason"]) == (begun["id"], "aborted", "enough")
    assert watching.returncode == 1


def test_what_a_plan_calls_itself_does_not_act_on_the_terminal(here: Mclictl) -> None:
    path = here.home / "named.toml"
    path.write_text(PLAN.replace('"status"', '"sta\\u001b[2Jtus"'))
    shown = here.on_terminal("rollout", "start", str(path))
    assert "sta\\x1b[2Jtus" in "".join(visible(shown))


def test_what_was_recorded_is_not_lost_to_a_server_that_is_gone(
    here: Mclictl, tmp_path: Path
) -> None:
    path = tmp_path / "traffic.jsonl"
    path.write_text("precious\n")
    gone = here("record", str(path), exits=3, MCLI_URL="http://127.0.0.1:1")
    assert "No server answers" in gone.stderr
    assert "There is no route" in here("record", str(path), "--route", "GET /nope", exits=1).stderr
    assert "add --yes" in here("record", str(path), exits=2).stderr
    assert path.read_text() == "precious\n"


@pytest.mark.parametrize("as_json", [False, True])
def test_calls_are_recorded_into_a_private_file(
    here: Mclictl, legacy: Server, tmp_path: Path, as_json: bool
) -> None:
    path = tmp_path / "traffic.jsonl"
    path.write_text("an older one\n")
    args = [str(path), "--yes", "--limit", "2", "--route", "POST /execute"]
    args += ["--json"] * as_json
    recording = here.spawn("record", *args)
    with httpx.Client(base_url=legacy.legacy) as client:
        while recording.poll() is None:
            client.post("/execute", json={"command": "echo secret"})
    said = recording.communicate()[0]
    if as_json:
        assert json.loads(said) == {"file": str(path), "calls": 2}
    else:
        assert said == f"2 calls in {path}\n"
    assert path.stat().st_mode & 0o777 == 0o600
    cases = [json.loads(line) for line in path.read_text().splitlines()]
    assert [case["route"] for case in cases] == ["POST /execute"] * 2
    assert "secret" not in path.read_text()
