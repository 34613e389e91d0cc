"""What the comparison makes of Locust's counts."""

from __future__ import annotations

import csv
import io
import json
from dataclasses import dataclass, field
from typing import Any

import pytest
import requests

from loadtests.compare.history import WINDOW, History
from loadtests.compare.reports import ALL_SHARED, HEAD, as_csv, as_html
from loadtests.compare.shares import Shares
from loadtests.compare.tally import SHARED, Tallies, Tally, compared, shared, tallies


@dataclass(frozen=True)
class Counted:
    """As much of Locust's `StatsEntry` as is asked for."""

    name: str
    num_requests: int
    num_failures: int = 0
    response_times: dict[int, int] = field(default_factory=dict)


def steady(requests: int, milliseconds: int, failures: int = 0) -> Tally:
    return Tally(requests, failures, {milliseconds: requests})


BOTH: Tallies = {
    ("status", "legacy"): steady(100, 40, failures=2),
    ("status", "shim"): steady(200, 10, failures=1),
    ("status", "new"): steady(50, 80),
    ("execute", "legacy"): steady(100, 20),
    ("execute", "shim"): steady(100, 20),
    ("execute", "new"): steady(100, 20),
    ("follow", "new"): steady(10, 500),
}


def test_entries_that_are_not_of_a_stack_are_left_out() -> None:
    entries = [
        Counted("legacy/status", 2, 1, {5: 2}),
        Counted("legacy/status", 1, 0, {7: 1}),  # another method
        Counted("shim/status", 0),
        Counted("elsewhere/status", 3),
        Counted("Aggregated", 3),
    ]
    assert tallies(entries) == {("status", "legacy"): Tally(3, 1, {5: 2, 7: 1})}


@pytest.mark.parametrize(
    ("share", "expected"), [(0.5, 20), (0.89, 20), (0.95, 300), (0.99, 300), (1.0, 300)]
)
def test_percentiles(share: float, expected: int) -> None:
    assert Tally(20, 0, {300: 2, 10: 8, 20: 10}).percentile(share) == expected
    assert Tally().percentile(share) is None


def test_ratios_are_to_the_old_daemon_and_sums_are_of_what_all_have_done() -> None:
    rows = {row["operation"]: row["stacks"] for row in compared(BOTH, seconds=10)}
    assert list(rows) == [SHARED, "execute", "follow", "status"]
    assert shared(BOTH) == ["execute", "status"]
    assert rows["status"]["shim"]["ratios"] == {
        "rate": 19.9 / 9.8,
        "p50": 0.25,
        "p95": 0.25,
        "p99": 0.25,
        "error_rate": 0.25,
    }
    assert rows["status"]["new"]["ratios"]["rate"] == 5 / 9.8
    assert rows["status"]["legacy"]["rate"] == 9.8
    # No failure of the old daemon to divide by, and no old daemon.
    assert rows["execute"]["shim"]["ratios"]["error_rate"] is None
    assert set(rows["follow"]["new"]["ratios"].values()) == {None}
    assert rows[SHARED]["new"]["requests"] == 150
    assert "ratios" not in rows[SHARED]["legacy"]


def test_operations_of_one_stack_alone_take_nothing_from_the_others() -> None:
    only = {key: tally for key, tally in BOTH.items() if key[1] != "new"}
    assert shared(only | {("follow", "new"): steady(10, 500)}) == ["execute", "status"]
    assert shared({("follow", "new"): steady(10, 500)}) == ["follow"]
    assert shared({}) == []


def test_nothing_has_been_counted() -> None:
    assert compared({}, 0) == []
    assert compared({("status", "shim"): Tally()}, 0)[0]["stacks"]["shim"]["rate"] is None


def test_a_point_is_of_the_time_before_it() -> None:
    history = History()
    for second in range(1, 31):
        slow = max(0, second - 20)
        tally = Tally(10 * second, 0, {5: 10 * (second - slow), 100: 10 * slow})
        history.add(second, 3, {("status", "legacy"): tally})
    series = history.series("status")["stacks"]["legacy"]
    assert series["rate"] == [10.0] * 30
    assert series["p95"][19] == 5
    assert series["p95"][29] == 100
    assert history.series("nothing")["stacks"] == {}
    history.add(30, 3, {})  # no time has passed
    assert len(history.points) == 30


def test_an_operation_that_begins_later_is_no_leap_in_the_sums() -> None:
    history = History()
    for second in range(1, 6):
        found = {("status", "legacy"): steady(10 * second, 5)}
        found["status", "shim"] = found["status", "legacy"]
        found["execute", "legacy"] = steady(1000, 5)
        if second > 3:
            found["execute", "shim"] = steady(1, 5)
        history.add(second, 2, found)
    rates = history.series(SHARED)["stacks"]["shim"]["rate"]
    assert all(0 <= rate <= 11 for rate in rates)


def test_a_long_test_is_kept_whole_in_a_bounded_number_of_points() -> None:
    history = History(most=50)
    for second in range(1, 5001):
        history.add(second, 1, {("status", "new"): steady(second * 7, 3)})
        assert len(history.points) <= 50
    series = history.series("status")
    assert series["seconds"][0] < 5000 / 10
    assert series["seconds"][-1] > 4800
    gaps = {b - a for a, b in zip(series["seconds"], series["seconds"][1:], strict=False)}
    assert len(gaps) == 1
    assert set(series["stacks"]["new"]["rate"]) == {7.0}
    assert len(history._recent) <= WINDOW + 2
    history.clear()
    history.add(1, 1, {("status", "new"): steady(7, 3)})
    assert history.series("status")["stacks"]["new"]["rate"] == [7.0]


def answered_by(stack: str | None, path: str) -> requests.Response:
    response = requests.Response()
    response.request = requests.Request("GET", f"http://127.0.0.1{path}").prepare()
    if stack is not None:
        response.headers["X-Served-By"] = stack
    return response


def test_shares_of_workers_add_up_on_the_master() -> None:
    master, workers = Shares(), [Shares(), Shares()]
    for worker in workers:
        worker.count("GET", "shim/status", answered_by("new", "/status?x=1"))
        worker.count("GET", "shim/status", answered_by("legacy", "/status"))
        worker.count("GET", "legacy/status", answered_by(None, "/status"))
        worker.count("GET", "shim/status", None)
    workers[0].count("GET", "shim/status", answered_by("new", "/status"))
    for _ in range(2):  # what was reported is not reported again
        for worker in workers:
            master.merge(json.loads(json.dumps(worker.report())))
    assert master.by_route() == {"GET /status": {"new": 3, "legacy": 2}}
    assert master.by_operation() == {"status": {"new": 3, "legacy": 2}}


def comparison(**more: object) -> dict[str, Any]:
    return {
        "operations": compared(BOTH, 10),
        "answered": {"status": {"new": 150, "legacy": 50}},
        **more,
    }


def test_csv() -> None:
    lines = list(csv.reader(io.StringIO(as_csv(comparison()))))
    assert tuple(lines[0]) == HEAD
    rows = {(line[0], line[1]): dict(zip(HEAD, line, strict=True)) for line in lines[1:]}
    assert rows["status", "shim"]["p95 / old daemon's"] == "0.25"
    assert rows["status", "shim"]["answered by new stack"] == "150"
    assert rows["status", "old daemon"]["p95 / old daemon's"] == ""
    assert rows["status", "old daemon"]["error rate"] == "0.02"
    assert (ALL_SHARED, "/api/v1") in rows


def test_html_stands_alone_and_holds_no_markup_of_others() -> None:
    page = as_html(comparison(problem="</script><script>alert(1)</script>"))
    assert "alert(1)</script>" not in page
    assert "page/compare" not in page
    frozen = page.split('<script id="frozen" type="application/json">')[1].split("</script>")[0]
    assert json.loads(frozen)["problem"] == "</script><script>alert(1)</script>"
