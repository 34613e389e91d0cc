"""Whether the old stack can be deleted: every reason against it, and none left."""

from __future__ import annotations

from dataclasses import replace

import pytest

from compat.measures import Tally, Totals
from compat.readiness import DAY, readiness, verdict
from compat.routes import ROWS
from compat.stages import Place, Stack, Stage

NOW = 2_000_000_000.0
ROW = replace(ROWS[0], sunset=int(NOW - DAY))
OLD_ENOUGH = replace(Place.at(Stage.NEW), changed_at=NOW - 40 * DAY)


def compared(same: int, different: int) -> Totals:
    tally = Tally()
    tally.counts.update(compared=same + different, mismatched=different)
    return Totals({(ROW.name, Stack.SHADOW): tally})


def because(place: Place, *, callers: int = 0, totals: Totals | None = None) -> list[str]:
    totals = Totals() if totals is None else totals
    return list(readiness(ROW, place, totals, callers, days=30, now=NOW).because)


@pytest.mark.parametrize("totals", [Totals(), compared(1000, 0), compared(99_999, 1)])
def test_what_is_new_for_long_and_called_by_nobody_is_ready(totals: Totals) -> None:
    assert because(OLD_ENOUGH, totals=totals) == []


@pytest.mark.parametrize(
    ("place", "reason"),
    [
        (Place.at(Stage.LEGACY), "the old stack still answers it (stage legacy)"),
        (Place.at(Stage.SHADOW), "the old stack still answers it (stage shadow)"),
        (Place.at(Stage.CANARY, 99), "the old stack still answers it (stage canary 99%)"),
        (Place.at(Stage.NEW), "it was never moved: nobody has seen it leave the old stack"),
        (replace(OLD_ENOUGH, changed_at=NOW - 3 * DAY), "it is new for 3.0 days only, of 30"),
    ],
)
def test_where_it_stands_speaks_against_it(place: Place, reason: str) -> None:
    assert because(place) == [reason]


def test_callers_parity_and_sunset_speak_against_it() -> None:
    assert because(OLD_ENOUGH, callers=1) == ["1 client still calls it (in the last 30 days)"]
    assert because(OLD_ENOUGH, callers=2) == ["2 clients still call it (in the last 30 days)"]
    assert because(OLD_ENOUGH, totals=compared(990, 10)) == ["parity was 99.0000%, below 99.9%"]
    early = readiness(ROW, OLD_ENOUGH, Totals(), 0, days=30, now=ROW.sunset - 12 * DAY)
    assert "its sunset is 12 days away" in early.because


def test_who_calls_what_is_gone_keeps_nothing() -> None:
    assert because(Place.at(Stage.GONE), callers=7) == []


def test_the_verdict_names_each_route_that_is_not_ready() -> None:
    ready = readiness(ROW, OLD_ENOUGH, Totals(), 0, days=30, now=NOW)
    called = readiness(ROW, OLD_ENOUGH, Totals(), 1, days=30, now=NOW)
    assert verdict([ready]) == (True, ["nothing keeps any of its routes"])
    assert verdict([ready, called]) == (
        False,
        [f"{ROW.name}: 1 client still calls it (in the last 30 days)"],
    )
