"""/api/v1/daemon/processes: made, looked after, followed and removed."""

from __future__ import annotations

import json
import os
import signal
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from fastapi_app.engine.cookies import find
from tests.fastapi_app.routers.wire import NDJSON, events, problem
from tests.fastapi_app.starting import until
from tests.fastapi_app.watching import AT_ONCE, LATE, PROCESSES, act, look, make, watching

if TYPE_CHECKING:
    from tests.servers import Server

FOREVER: dict[str, Any] = {"restart": "always", "backoff": {**AT_ONCE, "give_up_after": None}}


def runs_of(client: httpx.Client, process: dict[str, Any]) -> list[dict[str, Any]]:
    query = {"kind": "process", "name": process["name"], "limit": 1000}
    found: list[dict[str, Any]] = client.get("/api/v1/workflows/list", params=query).json()["items"]
    return found


def is_gone(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] in "ZX"
    except (FileNotFoundError, ProcessLookupError):
        return True


def test_a_process_is_made_started_stopped_and_removed(
    client: httpx.Client, tmp_path: Path
) -> None:
    made = make(client, "pwd; echo $X; exec sleep 60", path="", cwd=str(tmp_path), env={"X": "ä"})
    assert (made["state"], made["restart"], made["pid"]) == ("created", "no", None)
    started = act(client, made, "start")
    assert started["state"] == "running"
    assert started["uptime_seconds"] >= 0
    # While it becomes another program it has next to no memory.
    until(lambda: (now := look(client, made))["processes"] == 1 and now["memory_mb"] > 0)
    logs = f"{PROCESSES}/{made['id']}/logs"
    until(lambda: client.get(logs).text == f"{tmp_path}\nä\n")
    assert client.get(logs, params={"lines": 1}).text == "ä\n"
    assert client.get(logs, params={"lines": 0}).text == ""
    assert client.get(logs, params={"stream": "stderr"}).text == ""
    problem(client.delete(f"{PROCESSES}/{made['id']}"), 409, "process-running")
    stopped = act(client, made, "stop")
    assert (stopped["state"], stopped["returncode"], stopped["restarts"]) == ("stopped", -15, 0)
    assert act(client, made, "stop")["state"] == "stopped"
    assert client.delete(f"{PROCESSES}/{made['id']}").status_code == 204
    problem(client.get(f"{PROCESSES}/{made['id']}"), 404, "process-not-found")


def test_start_of_one_that_runs_and_many_starts_at_once_make_one_run(client: httpx.Client) -> None:
    made = make(client, "exec sleep 60", path="", **FOREVER)
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: act(client, made, "start"), range(8)))
    assert {answer["pid"] for answer in answers} == {look(client, made)["pid"]}
    assert len(runs_of(client, made)) == 1
    killed = act(client, made, "kill")
    assert (killed["state"], killed["returncode"], killed["reason"]) == ("stopped", -9, "killed")


def test_killed_fifty_times_it_is_up_fifty_times(client: httpx.Client, server: Server) -> None:
    made = make(client, "exec sleep 600", **FOREVER)
    with watching(server, made) as watch:
        pids: list[int] = []
        for _ in range(50):
            now = watch.until(lambda p: p["state"] == "running" and p["pid"] not in pids)
            pids.append(now["pid"])
            os.kill(now["pid"], signal.SIGKILL)
        last = watch.until(lambda p: p["state"] == "running" and p["pid"] not in pids)
        assert last["restarts"] == 50
    assert len(set(pids)) == 50
    assert all(map(is_gone, pids))
    act(client, made, "stop")
    ended = [(run["status"], run["returncode"]) for run in runs_of(client, made)]
    assert ended == [("cancelled", -15)] + [("failed", -9)] * 50


def test_what_ends_at_once_for_ever_is_given_up_and_can_be_started_anew(
    client: httpx.Client, server: Server
) -> None:
    backoff = {**AT_ONCE, "give_up_after": 3}
    made = make(client, "echo no >&2; exit 3", path="", restart="on-failure", backoff=backoff)
    with watching(server, made) as watch:
        for _ in range(2):
            act(client, made, "start")
            given_up = watch.until_state("gave_up")
            watch.latest = {**given_up, "state": ""}
    assert (given_up["returncode"], given_up["failures"], given_up["pid"]) == (3, 3, None)
    assert "gave up after 3 restarts" in given_up["reason"]
    # The second time what the feed still had to tell of the first may have come before.
    until(lambda: len(runs_of(client, made)) == 8)
    mine = f"{PROCESSES}?state=gave_up&name={made['name']}"
    found = until(lambda: client.get(mine).json()["items"])
    assert [process["id"] for process in found] == [made["id"]]
    assert len(runs_of(client, made)) == 8
    assert client.get(f"{PROCESSES}/{made['id']}/logs").text == "no\n"


@pytest.mark.parametrize(("policy", "code"), [("no", 1), ("on-failure", 0), ("no", 0)])
def test_what_is_done_stays_so(
    client: httpx.Client, server: Server, policy: str, code: int
) -> None:
    made = make(client, f"exit {code}", restart=policy)
    with watching(server, made) as watch:
        state = watch.until(lambda p: p["state"] in {"exited", "failed"})["state"]
    assert state == ("failed" if code else "exited")
    assert len(runs_of(client, made)) == 1


def test_a_stop_in_the_back_off_is_for_good_and_a_start_ends_it(
    client: httpx.Client, server: Server
) -> None:
    made = make(client, "exit 3", restart="always", backoff=LATE)
    with watching(server, made) as watch:
        waiting = watch.until_state("backoff")
        assert waiting["next_start"]
        assert "exit code 3; restart 1 in a row in 600 seconds" in waiting["reason"]
        assert act(client, made, "start")["run_id"] != waiting["run_id"]
        watch.until(lambda p: p["state"] == "backoff" and p["run_id"] != waiting["run_id"])
        assert act(client, made, "stop")["state"] == "stopped"
        watch.until_state("stopped")
    assert look(client, made)["state"] == "stopped"
    assert client.delete(f"{PROCESSES}/{made['id']}").status_code == 204


def test_stopping_its_run_stops_the_process(client: httpx.Client, server: Server) -> None:
    made = make(client, "exec sleep 60", **FOREVER)
    client.post(f"/api/v1/workflows/{made['run_id']}/stop").raise_for_status()
    with watching(server, made) as watch:
        watch.until_state("stopped")
    assert len(runs_of(client, made)) == 1


def test_a_restart_is_another_process_and_no_failure(client: httpx.Client) -> None:
    made = make(client, "exec sleep 60")
    again = act(client, made, "restart")
    assert (again["state"], again["failures"], again["restarts"]) == ("running", 0, 1)
    assert again["pid"] != made["pid"]
    act(client, made, "stop")
    assert act(client, made, "restart")["state"] == "running"
    act(client, made, "kill")


def test_removal_ends_what_runs_and_what_waits(client: httpx.Client, server: Server) -> None:
    for command, state in (("exec sleep 60", "running"), ("exit 1", "backoff")):
        made = make(client, command, restart="always", backoff=LATE)
        with watching(server, made) as watch:
            pid = watch.until_state(state)["pid"]
            answer = client.delete(f"{PROCESSES}/{made['id']}", params={"force": True})
            assert answer.status_code == 204
            while watch.next()["type"] != "removed":
                pass
        assert pid is None or is_gone(pid)
    problem(client.post(f"{PROCESSES}/{made['id']}/start"), 404, "process-not-found")


def test_names_differ_in_more_than_case_and_are_as_good_as_ids(client: httpx.Client) -> None:
    made = make(client, "true", path="")
    body = {"name": made["name"].upper(), "command": "true"}
    found = problem(client.post(PROCESSES, json=body), 409, "process-exists")
    assert "case" in found["detail"]
    assert client.get(f"{PROCESSES}/{made['name']}").json()["id"] == made["id"]
    problem(client.get(f"{PROCESSES}/{made['name'].upper()}"), 404, "process-not-found")
    client.delete(f"{PROCESSES}/{made['name']}").raise_for_status()
    assert client.post(PROCESSES, json=body).status_code == 201
    named = client.post(PROCESSES, json={"command": "/usr/bin/uptime-x --pretty"}).json()
    assert named["name"] == "uptime-x"


def test_a_change_holds_from_the_next_start_and_of_the_policy_at_once(
    client: httpx.Client, server: Server
) -> None:
    made = make(client, "exec sleep 600", args=[], **FOREVER)
    changes = {"command": "echo", "args": ["a b"], "env": {"A": "b"}, "restart": "no"}
    answer = client.patch(f"{PROCESSES}/{made['id']}", json=changes)
    changed = answer.json()
    assert (changed["state"], changed["pid"], changed["restart"]) == ("running", made["pid"], "no")
    assert changed["backoff"] == made["backoff"]
    os.kill(made["pid"], signal.SIGKILL)
    with watching(server, made) as watch:
        watch.until_state("failed")
        act(client, made, "start")
        watch.until_state("exited")
    assert client.get(f"{PROCESSES}/{made['id']}/logs").text == "a b\n"


def test_a_run_that_is_waited_for_answers_with_what_it_printed(client: httpx.Client) -> None:
    done = make(client, "echo out; echo err >&2; exit 4", detach=False)
    assert (done["state"], done["returncode"]) == ("failed", 4)
    assert (done["output"], done["error"], done["truncated"]) == ("out\n", "err\n", False)
    body = {"command": "true", "detach": False, "restart": "always"}
    problem(client.post(f"{PROCESSES}/run", json=body), 422, "invalid")


def test_logs_are_followed_through_restarts_to_the_end(
    client: httpx.Client, tmp_path: Path
) -> None:
    command = "echo x >> n; echo life $(wc -l < n); [ $(wc -l < n) -ge 3 ]"
    made = make(client, command, path="", cwd=str(tmp_path), restart="on-failure", backoff=AT_ONCE)
    path = f"{PROCESSES}/{made['id']}/logs"
    assert client.get(path, params={"follow": True}).text == ""
    gate = make(client, "true", path="")  # another one's log is another one's
    act(client, made, "start")
    said = client.get(path, params={"follow": True, "stream": "stdout"}).text
    assert said.endswith("life 3\n")
    assert client.get(f"{PROCESSES}/{gate['id']}/logs").text == ""
    lines = events(client.get(path, headers={"Accept": NDJSON}))
    assert [(e["type"], e["message"]) for e in lines] == [
        ("start", look(client, made)["run_id"]),
        ("log", "life 3\n"),
        ("end", "completed"),
    ]


def test_who_is_cut_off_goes_on_behind_what_was_read(client: httpx.Client, tmp_path: Path) -> None:
    command = "echo x >> n; echo life $(wc -l < n); echo error >&2; [ $(wc -l < n) -ge 3 ]"
    plan = {"restart": "on-failure", "backoff": AT_ONCE}
    made = make(client, command, path="", cwd=str(tmp_path), **plan)
    path = f"{PROCESSES}/{made['id']}/logs"
    first = act(client, made, "start")["run_id"]
    assert "life 3\n" in client.get(path, params={"follow": True}).text

    def said(since: str, stream: str = "stdout", *, follow: bool = True) -> str:
        asked: dict[str, Any] = {"since": since, "stream": stream, "follow": follow, "lines": 0}
        return client.get(path, params=asked).text

    assert said(first) == "life 1\nlife 2\nlife 3\n"
    assert said(f"{first},5") == "1\nlife 2\nlife 3\n"
    assert said(f"{first},7,6", "all").count("error") == 2
    assert said(f"{first},5", follow=False) == "1\n"
    latest = look(client, made)["run_id"]
    assert said(f"{latest},7,6") == ""

    behind: dict[str, Any] = {"since": f"{first},5,2", "follow": True}
    told = events(client.get(path, params=behind, headers={"Accept": NDJSON}))
    starts = [one for one in told if one["type"] == "start"]
    assert [one["since"].split(",")[1:] for one in starts] == [["5", "2"], ["0", "0"], ["0", "0"]]
    assert [one["job_id"] for one in starts][::2] == [first, latest]
    sse = {"Accept": "text/event-stream"}
    sent = client.get(path, params={"since": first, "follow": True}, headers=sse).text
    marks = [line.removeprefix("id: ") for line in sent.splitlines() if line.startswith("id: ")]
    assert marks[-1] == f"{latest},7,6"
    again = client.get(path, params=behind, headers=sse | {"Last-Event-ID": marks[-1]})
    assert "event: log" not in again.text


def test_the_log_of_no_life_of_a_process_is_refused(client: httpx.Client) -> None:
    made, other = (make(client, "true", detach=False) for _ in range(2))
    path = f"{PROCESSES}/{made['id']}/logs"
    theirs = client.get(f"{PROCESSES}/{other['id']}").json()["run_id"]
    for run_id in (theirs, "nonesuch", "\u00fc"):
        problem(client.get(path, params={"since": f"{run_id},0,0"}), 404, "run-not-found")
    for since in (",", "a,b", "a,1,2,3", "a,-1", "a" * 37, f"a,{'9' * 19}"):
        problem(client.get(path, params={"since": since}), 422, "invalid")


@pytest.mark.parametrize("policy", ["always", "no"])
def test_a_check_that_hangs_is_killed_with_its_group(
    client: httpx.Client, server: Server, policy: str
) -> None:
    health = {"command": "sleep 500 & sleep 500", "interval": 0.05, "timeout": 0.1, "retries": 2}
    made = make(client, "exec sleep 60", restart=policy, backoff=LATE, health=health)
    with watching(server, made) as watch:
        unhealthy = watch.until(lambda p: p["health"] == "unhealthy")
        assert "took longer than 0.1 seconds" in unhealthy["reason"]
        if policy == "always":
            waiting = watch.until_state("backoff")
            assert waiting["reason"].startswith("unhealthy: ")
            assert is_gone(made["pid"])
    now = look(client, made)
    assert (now["state"] == "running") == (policy == "no")
    act(client, made, "stop")
    until(lambda: not find(f"health-{made['id']}"))


def test_health_comes_and_goes_with_the_check(
    client: httpx.Client, server: Server, tmp_path: Path
) -> None:
    file = tmp_path / "well"
    file.touch()
    health = {"command": f"test -e {file}", "interval": 0.03, "retries": 2}
    made = make(client, "exec sleep 60", health=health)
    with watching(server, made) as watch:
        watch.until(lambda p: p["health"] == "healthy")
        file.unlink()
        assert "exit code 1" in watch.until(lambda p: p["health"] == "unhealthy")["reason"]
        file.touch()
        watch.until(lambda p: p["health"] == "healthy")
        client.patch(f"{PROCESSES}/{made['id']}", json={"health": None}).raise_for_status()
    assert look(client, made)["health_check"] is None
    act(client, made, "kill")


def _has_health(wanted: str, process: dict[str, Any]) -> bool:
    return bool(process["health"] == wanted)


def test_health_by_url(client: httpx.Client, server: Server) -> None:
    for path, expected in (("/livez", "healthy"), ("/nonesuch", "unhealthy")):
        url = f"{server.new}{path}"
        made = make(client, "exec sleep 60", health={"url": url, "interval": 0.03, "retries": 1})
        with watching(server, made) as watch:
            watch.until(partial(_has_health, expected))
        act(client, made, "kill")
    nobody = {"url": "http://127.0.0.1:9/", "interval": 0.03, "retries": 1}
    made = make(client, "exec sleep 60", restart="always", backoff=LATE, health=nobody)
    with watching(server, made) as watch:
        watch.until_state("backoff")
    act(client, made, "stop")


def test_what_cannot_be_started_says_why(client: httpx.Client, server: Server) -> None:
    made = make(client, "no-such-program", args=["x"], restart="always", backoff=LATE)
    with watching(server, made) as watch:
        assert "No such file" in watch.until_state("backoff")["reason"]
    act(client, made, "stop")


def test_the_list_has_pages_and_filters(client: httpx.Client) -> None:
    made = [make(client, "true", path="") for _ in range(3)]
    found: list[str] = []
    cursor: str | None = None
    while True:
        query = {"state": "created", "limit": "2"} | ({"cursor": cursor} if cursor else {})
        page = client.get(PROCESSES, params=query).json()
        assert len(page["items"]) <= 2
        found += [each["id"] for each in page["items"]]
        if (cursor := page["next_cursor"]) is None:
            break
    assert [each for each in found if each in {m["id"] for m in made}] == [m["id"] for m in made]
    problem(client.get(PROCESSES, params={"cursor": "x"}), 422, "invalid-cursor")


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"command": ""},
        {"command": "x\0"},
        {"command": "x", "name": "a/b"},
        {"command": "x", "name": "run"},
        {"command": "x", "restart": "sometimes"},
        {"command": "x", "backoff": {"delay": 0}},
        {"command": "x", "backoff": {"give_up_after": 0}},
        {"command": "x", "health": {}},
        {"command": "x", "health": {"command": "true", "url": "http://x/"}},
        {"command": "x", "health": {"url": "file:///etc/passwd"}},
        {"command": "x", "health": {"command": "true", "timeout": "5"}},
        {"command": "x", "autostart": 1},
        {"command": "x", "color": "red"},
    ],
)
def test_bad_descriptions_are_refused(client: httpx.Client, body: dict[str, Any]) -> None:
    problem(client.post(PROCESSES, json=body), 422, "invalid")


def test_null_where_something_is_needed_is_refused(client: httpx.Client) -> None:
    made = make(client, "true", path="")
    for name in ("command", "args", "env"):
        answer = client.patch(f"{PROCESSES}/{made['id']}", json={name: None})
        assert name in json.dumps(problem(answer, 422, "invalid")["errors"])


def test_states_and_restarts_are_counted(client: httpx.Client) -> None:
    make(client, "true", path="")
    text = client.get("/metrics").text
    assert 'mcli_database_processes{state="created"}' in text
    assert "mcli_process_restarts_total" in text


def test_what_was_done_to_it_is_in_the_audit_log(client: httpx.Client) -> None:
    made = make(client, "true", path="")
    client.patch(f"{PROCESSES}/{made['id']}", json={"restart": "no"}).raise_for_status()
    client.delete(f"{PROCESSES}/{made['id']}").raise_for_status()
    entries = client.get("/api/v1/audit", params={"subject": made["name"]}).json()["items"]
    actions = [entry["action"] for entry in entries]
    assert actions == ["process.delete", "process.update", "process.create"]
