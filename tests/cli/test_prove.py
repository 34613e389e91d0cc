"""`mclictl prove`: what it plays, what it says of a difference, and how it refuses."""

from __future__ import annotations

import json
import signal
import time
from typing import TYPE_CHECKING

import psutil

from cli.prove import print_report
from cli.verb import Target
from compat.diff import Difference
from compat.prove.report import Finding, Part, Report

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

    from tests.cli.conftest import Mclictl

NOWHERE = "http://127.0.0.1:1"
ROUTE = "GET /health"


def test_stages_are_proven_without_a_server(mclictl: Mclictl) -> None:
    args = ("--route", ROUTE, "--requests", "20", "--seed", "3", "--stage", "new")
    header, line, *_, last = mclictl("prove", *args, MCLI_URL=NOWHERE).stdout.splitlines()
    assert header.split() == ["ROUTE", "STAGE", "REQUESTS", "EXPLAINED", "DIFFERENT"]
    assert line.split()[:3] == ["GET", "/health", "new"]
    assert line.split()[-1] == "0"
    assert last.endswith("seed 3: the same in all of them")


def test_a_saved_case_is_played(mclictl: Mclictl, tmp_path: Path) -> None:
    corpus = tmp_path / "saved.jsonl"
    case = {"route": ROUTE, "steps": [{"method": "GET", "target": "/health", "headers": []}]}
    corpus.write_text(json.dumps(case) + "\n")
    report = mclictl.json("prove", "--corpus", str(corpus), "--stage", "shadow", MCLI_URL=NOWHERE)
    (part,) = report["parts"]
    assert (part["route"], part["stage"], part["requests"]) == (ROUTE, "shadow", 1)
    assert report["proven"] is True


def test_what_cannot_be_played_is_told(mclictl: Mclictl, tmp_path: Path) -> None:
    assert "There is no route" in mclictl("prove", "--route", "GET /nope", exits=1).stderr
    corpus = tmp_path / "broken.jsonl"
    corpus.write_text("{\n")
    assert "broken.jsonl" in mclictl("prove", "--corpus", str(corpus), exits=1).stderr
    assert "sideways" in mclictl("prove", "--stage", "sideways", exits=2).stderr


def test_its_servers_end_with_it(mclictl: Mclictl) -> None:
    args = ("--route", ROUTE, "--requests", "1000000", "--stage", "new")
    proving = mclictl.spawn("prove", *args)
    own = psutil.Process(proving.pid)
    deadline = time.monotonic() + 60
    try:
        while not own.net_connections():
            assert time.monotonic() < deadline, "it does not play"
        servers = own.children()
        assert len(servers) == 2
    finally:
        proving.terminate()
        proving.communicate(timeout=60)
    assert proving.returncode == 128 + signal.SIGTERM
    assert [server for server in servers if server.is_running()] == []


def test_a_difference_is_shown_as_text(capsys: pytest.CaptureFixture[str]) -> None:
    difference = Difference("/running", "type", "true", "1\x1b[2J")
    finding = Finding(ROUTE, "new", difference, None, count=3, alone=False)
    part = Part(ROUTE, "new", requests=7, findings=[finding])
    print_report(Target(), Report(5, 1.0, [part]).as_json())
    shown = capsys.readouterr().out
    assert f"{ROUTE} in new, 3 times: type at /running" in shown
    assert "  old:  true\n  new:  1\\x1b[2J\n" in shown
    assert "alone this case does not show it" in shown
    assert shown.endswith("7 requests, seed 5: DIFFERENT\n")
