"""`mclictl cutover`: legacy routes between two stacks."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.cli.conftest import visible

if TYPE_CHECKING:
    from tests.cli.conftest import Mclictl

ROUTE = "POST /execute"


def test_routes_are_shown(mclictl: Mclictl) -> None:
    header, *lines = mclictl("cutover", "show").stdout.splitlines()
    assert header.split()[:4] == ["ROUTE", "STAGE", "PERCENT", "SINCE"]
    assert any(line.startswith(f"{ROUTE} ") for line in lines)
    rows = mclictl.json("cutover", "show")
    assert len(rows) == len(lines)
    assert {"route", "stage", "percent", "successor", "deprecated", "sunset"} <= rows[0].keys()


def test_a_route_is_moved_and_moved_back(mclictl: Mclictl) -> None:
    (before,) = (row for row in mclictl.json("cutover", "show") if row["route"] == ROUTE)
    other = "legacy" if before["stage"] == "new" else "new"
    moved = mclictl.json("cutover", "set", ROUTE, other)
    assert (moved["route"], moved["stage"]) == (ROUTE, other)
    assert moved in mclictl.json("cutover", "show")
    header, line = mclictl("cutover", "set", ROUTE, before["stage"]).stdout.splitlines()
    assert header.startswith("ROUTE")
    assert line.split()[2] == before["stage"]


def test_the_table_fits_the_terminal(mclictl: Mclictl) -> None:
    shown = visible(mclictl.on_terminal("cutover", "show", columns=72))
    assert max(map(len, shown)) <= 72


def test_an_unknown_route_is_told(mclictl: Mclictl) -> None:
    done = mclictl("cutover", "set", "GET /nonesuch", "new", exits=1)
    assert done.stdout == ""
    assert done.stderr.startswith("Error: ")


def test_a_wrong_stage_is_a_wrong_command_line(mclictl: Mclictl) -> None:
    assert "legacy" in mclictl("cutover", "set", ROUTE, "sideways", exits=2).stderr


@pytest.mark.parametrize("verb", ["show", "audit", "ready"])
def test_nobody_at_home_is_told(mclictl: Mclictl, verb: str) -> None:
    assert (
        "mclictl serve" in mclictl("cutover", verb, "--url", "http://127.0.0.1:1", exits=3).stderr
    )
