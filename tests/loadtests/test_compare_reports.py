"""The comparison as files, of a run without a web UI, in one process and in several."""

from __future__ import annotations

import csv
import json
import os
import re
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from loadtests.calls import OPERATIONS
from loadtests.compare.reports import ALL_SHARED
from loadtests.compare.tally import STACKS
from loadtests.servers import ROOT

if TYPE_CHECKING:
    from pathlib import Path

    from loadtests.servers import Server

PERCENTILES = re.compile(r"^[A-Z]+ +(\w+)/([\w ]+?)((?: +\d+){12})$", re.MULTILINE)


@pytest.mark.parametrize("more", [[], ["--processes", "2"]], ids=["one process", "two workers"])
def test_csv_and_html(old: Server, both: Server, tmp_path: Path, more: list[str]) -> None:
    argv = [sys.executable, "-m", "locust", "-f", "loadtests/locustfile.py", "--headless"]
    argv += ["--only-summary", "-u", "6", "-r", "6", "-t", "3s", *more]
    argv += ["--csv", str(tmp_path / "run"), "--html", str(tmp_path / "run-{u}.html")]
    done = subprocess.run(
        argv,
        cwd=ROOT,
        env=os.environ
        | {
            "LOADTEST_LEGACY_URL": old.urls["legacy daemon"],
            "LOADTEST_SHIM_URL": both.urls["legacy API"],
            "LOADTEST_NEW_URL": both.urls["new API"],
        },
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    with (tmp_path / "run_comparison.csv").open() as lines:
        rows = {(row["operation"], row["stack"]): row for row in csv.DictReader(lines)}
    assert rows.keys() == {(o, s) for o in (*OPERATIONS, ALL_SHARED) for s in STACKS.values()}
    # Locust's own last table has the same figures.
    printed = {
        (operation, stack): cells for stack, operation, cells in PERCENTILES.findall(done.stdout)
    }
    assert len(printed) == len(OPERATIONS) * len(STACKS)
    for (operation, stack), cells in printed.items():
        row = rows[operation, STACKS[stack]]
        p95, requests = cells.split()[5], cells.split()[-1]
        assert (row["p95 ms"], row["requests"]) == (p95, requests)
        assert row["error rate"] == "0"
        if stack == "shim":
            assert row["answered by new stack"] == requests
            assert float(row["right answers/s / old daemon's"]) > 0
    page = (tmp_path / "run-6_comparison.html").read_text()
    assert "Traceback" not in done.stdout, done.stdout
    frozen = page.split('<script id="frozen" type="application/json">')[1].split("</script>")[0]
    comparison = json.loads(frozen)
    assert comparison["history"]["seconds"], (comparison["seconds"], done.stdout)
    status = {row["route"]: row for row in comparison["stages"]["routes"]}["GET /status"]
    assert status["stage"] == "new"
    assert status["answered"] == {"new": int(rows["status", "shim"]["requests"])}
